package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tritflow/gguf"
)

// Yarn is YaRN (Peng et al., arXiv:2309.00071), by which a model is used
// beyond the positions that it was trained for: pairs of a head that turn
// slowly are slowed down by factor, fast ones are not, and between the two the
// change is gradual. Divisors and a larger score scale say all of it.
type Yarn struct {
	Factor     float32 // positions now / positions then
	Original   int     // positions that the model was first trained for
	Fast, Slow float32 // turns over these positions above which and below which a pair is fast, slow
}

// readYarn reads the keys of a file that says rope.scaling.type "yarn".
func (r *reader) readYarn(p *Params) *KeyError {
	y := Yarn{Original: p.Context, Fast: 32, Slow: 1}
	for _, k := range []struct {
		suffix string
		to     *float32
	}{{"rope.scaling.factor", &y.Factor}, {"rope.scaling.yarn_beta_fast", &y.Fast}, {"rope.scaling.yarn_beta_slow", &y.Slow}} {
		x, err := r.md.Float(r.arch + "." + k.suffix)
		if errors.Is(err, gguf.ErrNoKey) && *k.to != 0 {
			continue
		}
		if err != nil || !(x > 0 && x <= math.MaxInt32) {
			return r.bad(k.suffix, fmt.Sprint(x), "a number above 0 beside rope.scaling.type yarn", err)
		}
		*k.to = float32(x)
	}
	const original = "rope.scaling.original_context_length"
	n, err := r.md.Uint(r.arch + "." + original)
	switch {
	case err == nil && n > 0 && n <= maxCount:
		y.Original = int(n)
	case !errors.Is(err, gguf.ErrNoKey):
		return r.bad(original, fmt.Sprint(n), "a number of positions", err)
	}
	for _, suffix := range []string{"rope.scaling.attn_factor", "rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor", "rope.scaling.yarn_log_multiplier"} {
		if _, there := r.md.Get(r.arch + "." + suffix); there {
			return r.bad(suffix, "there", "no such key: YaRN is supported in its plain form", nil)
		}
	}
	if !(p.RopeBase > 1) {
		return r.bad("rope.freq_base", fmt.Sprint(p.RopeBase), "a number above 1 beside rope.scaling.type yarn", nil)
	}
	if p.RopeDims != p.KeyDim {
		return r.bad("rope.dimension_count", fmt.Sprint(p.RopeDims), fmt.Sprintf("%d: YaRN is supported where whole heads rotate", p.KeyDim), nil)
	}
	p.Yarn = y
	return nil
}

// magnitude is what queries and keys are multiplied by.
func (y Yarn) magnitude() float32 {
	if y.Factor <= 1 {
		return 1
	}
	return 1 + float32(0.1*math.Log(float64(y.Factor)))
}

// divisors is a tensor [dims/2] of what divides the angles. Values are rounded
// to float32 once, at the end, so that every machine makes the same ones.
func (y Yarn) divisors(dims int, base float32) *gguf.Tensor {
	// edge is the pair that turns so many times over the original positions.
	edge := func(turns float32) float64 {
		return float64(dims) * math.Log(float64(y.Original)/(float64(turns)*2*math.Pi)) / (2 * math.Log(float64(base)))
	}
	low := max(0, math.Floor(edge(y.Fast)))
	high := min(float64(dims-1), math.Ceil(edge(y.Slow)))
	typ, _ := gguf.TypeByName("F32")
	t := &gguf.Tensor{Name: "rope.scaling", Type: typ, Dims: []uint64{uint64(dims / 2)}, Data: make([]byte, 2*dims)}
	for i := range dims / 2 {
		own := 1 - min(max((float64(i)-low)/max(0.001, high-low), 0), 1) // the share of the pair's own speed
		d := 1 / (float64((1-own)/float64(y.Factor)) + own)
		binary.LittleEndian.PutUint32(t.Data[4*i:], math.Float32bits(float32(d)))
	}
	return t
}
