package crossval

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"tritflow/quantkern"
	"tritflow/stages"
)

// tops is how many logits a sketch keeps of its last position.
const tops = 16

// sketch is what is kept of a prompt's numbers.
type sketch struct {
	SHA256 string    // of all logits: float32, little-endian, row-major
	IDs    []int32   // largest logits of the last position
	Logits []float32 // their values
}

// digest runs a prompt and hashes its logits.
func digest(ctx context.Context, e Engine, ids []int32, step bool) (*sketch, error) {
	h := sha256.New()
	s := &sketch{}
	var buf []byte
	pos := 0
	for row, err := range e.Logits(ctx, ids, step) {
		if err != nil {
			return nil, err
		}
		buf = buf[:0]
		for _, v := range row {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf)
		if pos++; pos == len(ids) {
			s.IDs, s.Logits = quantkern.TopK(row, tops, nil, nil)
		}
	}
	s.SHA256 = hex.EncodeToString(h.Sum(nil))
	return s, nil
}

// greedy continues a prompt by n tokens and tells how fast.
func greedy(ctx context.Context, e Engine, ids []int32, n int) (answer []int32, speed rate, err error) {
	if n == 0 {
		return []int32{}, speed, nil
	}
	s, err := e.Submit(ctx, stages.Request{Tokens: ids, MaxTokens: n, IgnoreEOS: true})
	if err != nil {
		return nil, speed, err
	}
	for t, err := range s.Tokens() {
		if err != nil {
			return nil, speed, err
		}
		answer = append(answer, t.ID)
	}
	speed.add(len(answer)-1, s.Result().Decode.Seconds())
	return answer, speed, nil
}

// checkPrompts refuses prompts that are none of this model's.
func checkPrompts(prompts []Prompt) error {
	if i := slices.IndexFunc(prompts, func(p Prompt) bool { return len(p.Tokens) == 0 }); i >= 0 || len(prompts) == 0 {
		return fmt.Errorf("crossval: prompt %d has no tokens", max(i, 0))
	}
	return nil
}
