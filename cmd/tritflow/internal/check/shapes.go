package check

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"tritflow/gguf"
	"tritflow/graph"
)

// implied is what the tensors' shapes say of the network, 0 where nothing.
type implied struct {
	hidden, rows, blocks, ffn, queries, keys, values, qnorm uint64
}

func impliedBy(f *gguf.File) implied {
	var s implied
	dim := func(name string, i int) uint64 {
		t, ok := f.Tensor(name)
		if !ok || len(t.Dims) <= i {
			return 0
		}
		return t.Dims[i]
	}
	s.hidden, s.rows = dim("token_embd.weight", 0), dim("token_embd.weight", 1)
	s.ffn = dim("blk.0.ffn_gate.weight", 1)
	s.queries, s.keys, s.values = dim("blk.0.attn_q.weight", 1), dim("blk.0.attn_k.weight", 1), dim("blk.0.attn_v.weight", 1)
	s.qnorm = dim("blk.0.attn_q_norm.weight", 0)
	for _, t := range f.Tensors() {
		if n, ok := blockOf(t.Name); ok {
			s.blocks = max(s.blocks, uint64(n)+1)
		}
	}
	return s
}

// contradictions finds hyper-parameters that the shapes of the tensors refute.
func (r *Report) contradictions(f *gguf.File) {
	md := f.Metadata()
	arch, err := md.Str("general.architecture")
	if err != nil {
		return
	}
	prefix := keyPrefix(md)
	if prefix != "" && !slices.Contains(graph.Architectures(), arch) {
		arch = prefix
	}
	s := impliedBy(f)
	want := map[string]uint64{
		"embedding_length": s.hidden, "block_count": s.blocks, "feed_forward_length": s.ffn,
	}
	if tokens, ok := md.Get(keyTokens); ok && uint64(tokens.Len()) == s.rows {
		want["vocab_size"] = s.rows
	}
	for suffix, n := range headWants(md, arch, s) {
		want[suffix] = n
	}
	for _, suffix := range []string{"vocab_size", "embedding_length", "block_count", "feed_forward_length",
		"attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.dimension_count"} {
		n, known := want[suffix]
		key := arch + "." + suffix
		got, err := md.Uint(key)
		if !known || n == 0 || n > math.MaxInt32 || err != nil || got == n {
			continue
		}
		p := r.reason("network", "contradicting-key", "", "metadata key %s is %d, the tensors' shapes say %d", key, got, n)
		p.Sure = 0.97
		p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("set %s to %d", key, n), Lossless: true, apply: func(d *draft) error {
			d.set(key, uint32(n))
			return nil
		}}
	}
}

// headWants finds the width of a head on which most of the stated keys agree,
// and what the others should be then.
func headWants(md *gguf.Metadata, arch string, s implied) map[string]uint64 {
	if s.queries == 0 || s.keys == 0 {
		return nil
	}
	stated := func(suffix string) uint64 {
		n, err := md.Uint(arch + "." + suffix)
		if err != nil || n > math.MaxInt32 {
			return 0
		}
		return n
	}
	heads, kv, rope := stated("attention.head_count"), stated("attention.head_count_kv"), stated("rope.dimension_count")
	key, value := stated("attention.key_length"), stated("attention.value_length")
	over := func(a, b uint64) uint64 {
		if b == 0 || a%b != 0 {
			return 0
		}
		return a / b
	}
	best, votes := uint64(0), 0
	for _, width := range []uint64{s.qnorm, key, rope, over(s.queries, heads), over(s.keys, kv), 128, 64} {
		if width == 0 || width%2 != 0 || s.queries%width != 0 || s.keys%width != 0 {
			continue
		}
		n := 0
		for _, agrees := range []bool{s.qnorm == width, key == width, rope == width, heads == s.queries/width, kv == s.keys/width} {
			if agrees {
				n++
			}
		}
		if s.qnorm == width {
			n += 3 // a norm over heads has their width
		}
		if n > votes {
			best, votes = width, n
		}
	}
	if votes < 2 {
		return nil
	}
	want := map[string]uint64{"attention.head_count": s.queries / best, "attention.head_count_kv": s.keys / best}
	if key != 0 {
		want["attention.key_length"] = best
	}
	if value != 0 && s.values%(s.keys/best) == 0 {
		want["attention.value_length"] = s.values / (s.keys / best)
	}
	if rope != 0 && (rope > best || slices.Contains(bitnetArchs, arch)) {
		want["rope.dimension_count"] = best
	}
	return want
}

// fixKey mends a key that is missing or of the wrong kind, where what it
// should be is known.
func fixKey(f *gguf.File, k *graph.KeyError) *Fix {
	md := f.Metadata()
	arch, _ := md.Str("general.architecture")
	set := func(value any, lossless bool, why string) *Fix {
		return &Fix{Name: "bad-key", What: fmt.Sprintf("set %s to %v%s", k.Key, value, why), Lossless: lossless, Asked: !lossless,
			apply: func(d *draft) error { d.set(k.Key, value); return nil }}
	}
	var wrong *gguf.KeyError
	if errors.As(k.Err, &wrong) {
		if v, ok := md.Get(k.Key); ok {
			if x, ok := number(v.Any()); ok {
				switch wrong.Want {
				case "a float":
					return set(float32(x), true, ", as a float")
				case "an integer that is not negative":
					if x >= 0 && x == math.Trunc(x) && x <= math.MaxInt32 {
						return set(uint32(x), true, ", as an integer")
					}
				}
			}
		}
	}
	s := impliedBy(f)
	for suffix, n := range map[string]uint64{"embedding_length": s.hidden, "block_count": s.blocks, "feed_forward_length": s.ffn, "vocab_size": s.rows} {
		if k.Key == arch+"."+suffix && n > 0 && n <= math.MaxInt32 {
			return set(uint32(n), true, ", as the tensors' shapes say")
		}
	}
	switch k.Key {
	case arch + ".attention.layer_norm_rms_epsilon":
		return set(float32(1e-5), false, ", as all published BitNet models have")
	case arch + ".context_length":
		return set(uint32(2048), false, ", which is a guess")
	}
	return advice(convertAgain)
}

func number(x any) (float64, bool) {
	switch n := x.(type) {
	case uint8:
		return float64(n), true
	case int8:
		return float64(n), true
	case uint16:
		return float64(n), true
	case int16:
		return float64(n), true
	case uint32:
		return float64(n), true
	case int32:
		return float64(n), true
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	case float32:
		return float64(n), true
	case float64:
		return n, true
	case string:
		var v float64
		if _, err := fmt.Sscanf(n, "%g", &v); err == nil {
			return v, true
		}
	}
	return 0, false
}
