package graph

import (
	"math"
	"math/bits"

	"tritflow/gguf"
)

// WeightBytes is the size of the token table in the file.
func (e *Embed) WeightBytes() uint64 { return size(e.Weight) }

// WeightBytes is the size of all the block's tensors in the file. Factors of
// the RoPE, which all blocks share, are left out.
func (b *Block) WeightBytes() uint64 {
	total := b.AttnNorm.bytes() + b.FFNNorm.bytes()
	for _, n := range []*Norm{b.QNorm, b.KNorm, b.AttnSubNorm, b.AttnPostNorm, b.FFNSubNorm, b.FFNPostNorm} {
		if n != nil {
			total += n.bytes()
		}
	}
	for _, l := range []*Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
		total += l.bytes()
	}
	return total
}

// WeightBytes is the size of the head's tensors in the file, the embedding
// included where it serves as projection (Tied).
func (h *Head) WeightBytes() uint64 { return h.Norm.bytes() + h.Out.bytes() }

// KVElements is the number of keys and values that the block keeps for each
// position of a sequence.
func (b *Block) KVElements() uint64 {
	return uint64(b.KVHeads) * (uint64(b.KeyDim) + uint64(b.ValueDim))
}

func (n *Norm) bytes() uint64 { return size(n.Weight) }

func (l *Linear) bytes() uint64 {
	total := size(l.Weight) + size(l.Bias) + size(l.Scale)
	if l.Pre != nil {
		total += l.Pre.bytes()
	}
	return total
}

func size(t *gguf.Tensor) uint64 {
	if t == nil {
		return 0
	}
	return uint64(len(t.Data))
}

// KVShape tells the planner how large the KV cache gets.
type KVShape struct {
	BytesPerElement float64 // with the share of block scales, where the type has any
	Positions       int     // summed over all sequences
}

// bytes is what the block's keys and values take, rounded up to whole bytes a
// position; false when 64 bits cannot hold it.
func (kv KVShape) bytes(b *Block) (uint64, bool) {
	position := math.Ceil(kv.BytesPerElement * float64(b.KVElements()))
	if position >= 1<<63 {
		return 0, false
	}
	high, low := bits.Mul64(uint64(position), uint64(kv.Positions))
	return low, high == 0
}

func (kv KVShape) check() error {
	if !(kv.BytesPerElement >= 0 && kv.BytesPerElement <= maxElementBytes) || kv.Positions < 0 {
		return &PlanError{What: "kv cache", Want: "0 or more positions of 0 to 8 bytes an element"}
	}
	return nil
}

const maxElementBytes = 8
