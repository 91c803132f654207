package graph

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"tritflow/gguf"
)

// maxCount bounds every count that a key gives, so that the product of two
// never overflows and positions and ids fit 32 bits.
const maxCount = math.MaxInt32

// key is one hyper-parameter in a file's metadata: read by Bind, written by
// Shape.Metadata.
type key struct {
	suffix   string // after "<arch>."
	count    func(*Params) *int
	real     func(*Params) *float32 // instead of count
	fallback func(*Params)          // sets the value of a key that is not there; nil: it must be
	assumed  bool                   // a fallback that Model.Notes mentions
	valid    func(*Params) bool     // nil: any count from 1 to maxCount
	want     string                 // what valid accepts
	implied  bool                   // files leave it out where the fallback gives its value
}

// keyTable is in the order of a file, and a fallback uses only keys above it.
var keyTable = []key{
	{suffix: "vocab_size", count: func(p *Params) *int { return &p.Vocab },
		fallback: func(*Params) {}, // the caller has put the embedding's rows there
		want:     "a number of tokens, or a token_embd.weight whose rows can be counted"},
	{suffix: "context_length", count: func(p *Params) *int { return &p.Context }},
	{suffix: "embedding_length", count: func(p *Params) *int { return &p.Hidden }},
	{suffix: "block_count", count: func(p *Params) *int { return &p.Blocks }},
	{suffix: "feed_forward_length", count: func(p *Params) *int { return &p.FFN }},
	{suffix: "attention.head_count", count: func(p *Params) *int { return &p.Heads }},
	{suffix: "attention.head_count_kv", count: func(p *Params) *int { return &p.KVHeads },
		fallback: func(p *Params) { p.KVHeads = p.Heads },
		valid:    func(p *Params) bool { return p.Heads%p.KVHeads == 0 },
		want:     "a divisor of attention.head_count"},
	{suffix: "attention.key_length", count: func(p *Params) *int { return &p.KeyDim },
		fallback: func(p *Params) { p.KeyDim = headDim(p) },
		valid:    func(p *Params) bool { return p.Heads <= maxCount/p.KeyDim },
		want:     "a head's width; without this key embedding_length must be a multiple of attention.head_count",
		implied:  true},
	{suffix: "attention.value_length", count: func(p *Params) *int { return &p.ValueDim },
		fallback: func(p *Params) { p.ValueDim = headDim(p) },
		valid:    func(p *Params) bool { return p.Heads <= maxCount/p.ValueDim },
		want:     "a head's width; without this key embedding_length must be a multiple of attention.head_count",
		implied:  true},
	{suffix: "rope.dimension_count", count: func(p *Params) *int { return &p.RopeDims },
		fallback: func(p *Params) { p.RopeDims = p.KeyDim },
		valid:    func(p *Params) bool { return p.RopeDims%2 == 0 && p.RopeDims <= p.KeyDim },
		want:     "an even number of elements, at most those of a head (attention.key_length)"},
	{suffix: "attention.layer_norm_rms_epsilon", real: func(p *Params) *float32 { return &p.Eps },
		valid: func(p *Params) bool { return p.Eps > 0 && p.Eps < 1 },
		want:  "a number above 0 and below 1"},
	{suffix: "rope.freq_base", real: func(p *Params) *float32 { return &p.RopeBase },
		fallback: func(p *Params) { p.RopeBase = 10000 }, assumed: true,
		valid: func(p *Params) bool { return p.RopeBase > 0 && p.RopeBase <= math.MaxFloat32 },
		want:  "a finite number above 0"},
}

// headDim is the width of a head where no key gives it, 0 where there is none.
func headDim(p *Params) int {
	if p.Hidden%p.Heads != 0 {
		return 0
	}
	return p.Hidden / p.Heads
}

// ok checks the value; NaN fails every comparison of valid. alone checks no
// more than the range of a count.
func (k *key) ok(p *Params, alone bool) bool {
	if k.count != nil {
		if n := *k.count(p); n < 1 || n > maxCount {
			return false
		}
	}
	return alone || k.valid == nil || k.valid(p)
}

// expected is want, or the range of a plain count.
func (k *key) expected() string {
	if k.want == "" {
		return fmt.Sprintf("a number from 1 to %d", maxCount)
	}
	return k.want
}

// reader reads an architecture's keys and notes what it assumed.
type reader struct {
	file  string
	arch  string
	md    *gguf.Metadata
	notes []string
}

// params reads every key. rows is what the embedding says of the vocabulary
// (0: nothing). The error is a *KeyError with all keys at fault.
func (r *reader) params(a *architecture, rows int) (*Params, error) {
	p := &Params{Vocab: rows}
	var all *KeyError
	fault := func(e *KeyError) {
		switch {
		case e == nil:
		case all == nil:
			all = e
		default:
			all.Also = append(all.Also, e)
		}
	}
	for i := range keyTable {
		k := &keyTable[i]
		fault(r.read(k, p, all != nil))
		if all != nil && k.count != nil {
			*k.count(p) = max(*k.count(p), 1) // the fallbacks of keys below divide by some
		}
	}
	if all == nil && a.wholeHead && p.RopeDims != p.KeyDim {
		fault(r.bad("rope.dimension_count", fmt.Sprint(p.RopeDims),
			fmt.Sprintf("%d: architecture %s rotates whole heads", p.KeyDim, r.arch), nil))
	}
	for _, step := range []func(*architecture, *Params) *KeyError{r.activation, r.ropeScale, r.experts, r.pooling, r.window} {
		fault(step(a, p))
	}
	if all != nil {
		return nil, all
	}
	return p, nil
}

// read reads one key. alone leaves out how it relates to the keys above, one
// of which is at fault already.
func (r *reader) read(k *key, p *Params, alone bool) *KeyError {
	name := r.arch + "." + k.suffix
	var found string
	var err error
	if k.count != nil {
		var n uint64
		if n, err = r.md.Uint(name); err == nil {
			found = fmt.Sprint(n)
			if n > maxCount {
				n = 0 // refused like any other count that is none
			}
			*k.count(p) = int(n)
		}
	} else {
		var x float64
		if x, err = r.md.Float(name); err == nil {
			found = fmt.Sprint(x)
			*k.real(p) = float32(x)
		}
	}
	if errors.Is(err, gguf.ErrNoKey) && k.fallback != nil {
		k.fallback(p)
		if k.assumed {
			r.note(k.suffix, k.value(p))
		}
		if err = nil; alone {
			return nil // what it was made of may be at fault
		}
	}
	if err != nil || !k.ok(p, alone) {
		return r.bad(k.suffix, found, k.expected(), err)
	}
	return nil
}

func (k *key) zero(p *Params) bool {
	if k.count != nil {
		return *k.count(p) == 0
	}
	return *k.real(p) == 0
}

// value is what Metadata writes: uint32 or float32.
func (k *key) value(p *Params) any {
	if k.count != nil {
		return uint32(*k.count(p))
	}
	return *k.real(p)
}

func (r *reader) bad(suffix, found, want string, err error) *KeyError {
	if err != nil {
		found = "" // nothing was read
	}
	if errors.Is(err, gguf.ErrNoKey) {
		err = nil // "is missing" says it
	}
	return &KeyError{File: r.file, Key: r.arch + "." + suffix, Found: found, Want: want, Err: err}
}

func (r *reader) note(suffix string, value any) {
	r.notes = append(r.notes, fmt.Sprintf("%s.%s is not in the file: assumed %v", r.arch, suffix, value))
}

// activation applies the rule of newer converters: the key decides, the
// architecture where it is silent.
func (r *reader) activation(a *architecture, p *Params) *KeyError {
	const suffix = "hidden_activation"
	name, err := r.md.Str(r.arch + "." + suffix)
	if errors.Is(err, gguf.ErrNoKey) {
		p.Activation = a.activation
		r.note(suffix, a.activation)
		return nil
	}
	all := []Activation{SiLU, ReLU2, GELU}
	i := slices.IndexFunc(all, func(a Activation) bool { return strings.EqualFold(a.String(), name) })
	if err != nil || i < 0 {
		return r.bad(suffix, quoted(name, err), fmt.Sprintf("one of %v", all), err)
	}
	p.Activation = all[i]
	return nil
}

// experts refuses mixtures, whose files look like plain ones otherwise.
func (r *reader) experts(_ *architecture, _ *Params) *KeyError {
	const suffix = "expert_count"
	n, err := r.md.Uint(r.arch + "." + suffix)
	if errors.Is(err, gguf.ErrNoKey) || (err == nil && n == 0) {
		return nil
	}
	return r.bad(suffix, fmt.Sprint(n), "0: mixtures of experts are not supported", err)
}

// poolings are the kinds that files number: llama.cpp's 0 to 3 less that of the first
// token, which sees nothing of a text where attention looks back alone.
var poolings = map[uint64]Pooling{0: PoolNone, 1: PoolMean, 3: PoolLast}

// pooling reads what makes the model one of embeddings.
func (r *reader) pooling(_ *architecture, p *Params) *KeyError {
	const suffix = "pooling_type"
	n, err := r.md.Uint(r.arch + "." + suffix)
	if errors.Is(err, gguf.ErrNoKey) {
		return nil
	}
	kind, ok := poolings[n]
	if err != nil || !ok {
		return r.bad(suffix, fmt.Sprint(n), "0 (none), 1 (mean) or 3 (last)", err)
	}
	p.Pooling = kind
	return nil
}

// window refuses attention that does not look back to the first position.
func (r *reader) window(_ *architecture, p *Params) *KeyError {
	const suffix = "attention.sliding_window"
	n, err := r.md.Uint(r.arch + "." + suffix)
	if errors.Is(err, gguf.ErrNoKey) || (err == nil && (n == 0 || n >= uint64(p.Context))) {
		return nil
	}
	return r.bad(suffix, fmt.Sprint(n), fmt.Sprintf("0 or at least the context of %d: windows of attention are not supported", p.Context), err)
}

func quoted(s string, err error) string {
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%.40q", s)
}
