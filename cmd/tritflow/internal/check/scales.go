package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"tritflow/gguf"
)

// scales looks at the scales of whole ternary matrices: missing ones, and ones
// that cannot be those of a trained network.
func (r *Report) scales(tensors []readable, found []findings) {
	byName := map[string]readable{}
	for _, t := range tensors {
		byName[t.Name] = t
	}
	whole, ones, large := 0, 0, 0
	for i, t := range tensors {
		f := &found[i]
		if !t.codec.Ternary || !f.uniform || !f.trits {
			continue
		}
		whole++
		beside, value, known := scaleBeside(t, byName)
		switch {
		case f.scale == 0 || f.nonFinite > 0 || f.scale < 1e-30 && f.scale > -1e-30:
			var p *Problem
			if p = r.findAt("scale-not-finite", t.Name); p == nil {
				p = r.wrong("values", "scale-missing", t.Name, "tensor %q has the scale %g: all its weights are nothing", t.Name, f.scale)
			}
			p.Fix = advice(convertAgain)
			if known {
				p.Fix = fixScale(t.Name, beside, value)
			}
		case f.scale == 1 && !known:
			ones++
		case f.scale > 8:
			large++
		}
	}
	switch {
	case whole > 3 && ones == whole:
		p := r.wrong("values", "scales-dropped", "", "the scale of every ternary matrix is exactly 1 and there are no scale tensors: the converter dropped them")
		p.Sure = 0.9
		p.Fix = advice(convertAgain)
	case whole > 3 && large*10 > whole*9:
		p := r.wrong("values", "scales-inverted", "", "the scales of %d of %d ternary matrices are above 8: the converter wrote the checkpoint's inverse scales (formats with linear_class bitlinear divide by theirs)", large, whole)
		p.Sure = 0.9
		p.Fix = advice(convertAgain)
	}
}

func (r *Report) findAt(cause, tensor string) *Problem {
	for _, list := range [][]Problem{r.Reasons, r.Wrong} {
		for i := range list {
			if list[i].Cause == cause && list[i].Tensor == tensor {
				return &list[i]
			}
		}
	}
	return nil
}

// scaleBeside finds a matrix's scale where else a converter may have left it:
// in a tensor of its own, or in the copies behind an I2_S scale.
func scaleBeside(t readable, all map[string]readable) (tensor string, value float32, ok bool) {
	base := strings.TrimSuffix(t.Name, ".weight")
	for _, name := range []string{base + ".scale", base + ".weight_scale", t.Name + "_scale", base + "_scale"} {
		s, there := all[name]
		if !there || s.Elements() != 1 || s.codec.Ternary {
			continue
		}
		v := make([]float32, 1)
		s.codec.Decode(v, s.Data, 1, 1, 0)
		if saneScale(v[0]) {
			return name, v[0], true
		}
	}
	if strings.HasPrefix(t.codec.Name, "I2_S") && len(t.Data) >= 32 {
		tail := t.Data[len(t.Data)-32:]
		v := math.Float32frombits(binary.LittleEndian.Uint32(tail[4:]))
		if saneScale(v) && binary.LittleEndian.Uint32(tail[4:]) == binary.LittleEndian.Uint32(tail[8:]) {
			return "", v, true
		}
	}
	return "", 0, false
}

// fixScale writes a scale where it belongs and takes the tensor away that had it.
func fixScale(name, from string, value float32) *Fix {
	where := "its copies behind it"
	if from != "" {
		where = from
	}
	return &Fix{Name: "scale-missing", What: fmt.Sprintf("write the scale %g, taken from %s", value, where), Lossless: true, apply: func(d *draft) error {
		t := d.tensor(name)
		if t == nil || !strings.HasPrefix(t.typ.String(), "I2_S") && t.typ != gguf.TypeTQ1_0 && t.typ != gguf.TypeTQ2_0 {
			return fmt.Errorf("check: tensor %s has no place for a scale", name)
		}
		if !strings.HasPrefix(t.typ.String(), "I2_S") {
			return errors.New("check: scales of blocks in half precision are not written anew")
		}
		t.then(func(b []byte) ([]byte, error) {
			tail := b[len(b)-32:]
			clear(tail)
			binary.LittleEndian.PutUint32(tail, math.Float32bits(value))
			return b, nil
		})
		if from != "" {
			d.dropTensor(from)
		}
		return nil
	}}
}
