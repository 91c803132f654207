package score_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/score"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

// TestTrainersForward: perplexity of the built-in model is that of the trainer's
// exact forward pass within 0.1 %. Rounding flips move single tokens by a few
// hundredths of a nat, which 19,346 tokens average out.
func TestTrainersForward(t *testing.T) {
	var want struct {
		Window, Tokens int
		CRC            uint32 `json:"ids_crc32"`
		NLL            float64
		Perplexity     float64
	}
	data, err := os.ReadFile("testdata/reference.json")
	if err == nil {
		err = json.Unmarshal(data, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/stories.txt")
	if err != nil {
		t.Fatal(err)
	}
	e, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ids := e.Vocab().Encode(string(text), vocab.EncodeOptions{})
	if crc := crc32.ChecksumIEEE([]byte(strings.Trim(fmt.Sprint(ids), "[]"))); crc != want.CRC {
		t.Fatalf("%d tokens of checksum %d, the reference has %d of %d", len(ids), crc, want.Tokens, want.CRC)
	}
	bos, _ := e.Vocab().BOS()
	r, err := score.Perplexity(t.Context(), e, ids, score.Options{Window: want.Window, First: bos, HasFirst: true})
	if err != nil {
		t.Fatal(err)
	}
	off := r.Perplexity/want.Perplexity - 1
	t.Logf("perplexity %.4f, the trainer's %.4f: %+.4f %%", r.Perplexity, want.Perplexity, 100*off)
	if r.Tokens != want.Tokens || math.Abs(off) > 1e-3 {
		t.Errorf("%d tokens of %d, off by %.4f %%", r.Tokens, want.Tokens, 100*off)
	}
}
