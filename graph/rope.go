package graph

import (
	"errors"
	"fmt"
	"math"

	"tritflow/gguf"
)

// ropeScale reads the scaling of positions. A silent type with a factor means
// linear, as in llama.cpp; kinds other than YaRN (yarn.go) change angles in ways
// that this version does not compute, so they are refused by name. (The scaling of Llama
// 3.1 is no kind here: its files carry the divisors as rope_freqs.weight.)
func (r *reader) ropeScale(_ *architecture, p *Params) *KeyError {
	p.RopeScale = 1
	kind, err := r.md.Str(r.arch + ".rope.scaling.type")
	switch {
	case errors.Is(err, gguf.ErrNoKey):
		kind = "linear"
	case err == nil && kind == "yarn":
		return r.readYarn(p)
	case err != nil || (kind != "none" && kind != "linear"):
		return r.bad("rope.scaling.type", quoted(kind, err), `"none", "linear" or "yarn"; other scalings are not supported`, err)
	}
	if kind == "none" {
		return nil
	}
	for _, suffix := range []string{"rope.scaling.factor", "rope.scale_linear"} { // the second is the older name
		factor, err := r.md.Float(r.arch + "." + suffix)
		if errors.Is(err, gguf.ErrNoKey) {
			continue
		}
		if err != nil {
			return r.bad(suffix, "", "a number", err)
		}
		if factor == 0 { // "none" in llama.cpp
			return nil
		}
		p.RopeScale = 1 / float32(factor)
		if !(p.RopeScale > 0 && p.RopeScale <= math.MaxFloat32) {
			return r.bad(suffix, fmt.Sprint(factor), "a finite number above 0 (or 0 for none)", nil)
		}
		return nil
	}
	return nil
}
