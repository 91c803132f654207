package convert

import (
	"fmt"
	"math"

	"tritflow/quantkern"
)

// matrix is a tensor in memory: values, or trits and one scale for all.
type matrix struct {
	values  []float32 // [rows, cols]; −1, 0, +1 where it is ternary
	ternary bool
	scale   float32
}

// load reads a matrix whole. Packed ones are unpacked; those of networks that
// were trained with ternary weights, or that hold nothing but one value and its
// negative, become trits.
func (p *part) load(o *job) (*matrix, error) {
	var m *matrix
	var err error
	if p.factor != nil {
		m, err = p.unpack(o)
	} else if m, err = p.read(); err == nil {
		if !m.exact() && (o.net.bitnet || o.opt.Absmean) {
			m.absmean()
		}
	}
	if err != nil {
		return nil, err
	}
	p.permute(m.values)
	return m, nil
}

// read decodes the tensor's values.
func (p *part) read() (*matrix, error) {
	m := &matrix{values: make([]float32, p.rows*p.cols)}
	if err := p.decode(m.values, 0, p.rows); err != nil {
		return nil, err
	}
	for i, v := range m.values {
		if v-v != 0 {
			return nil, p.fault(fmt.Sprintf("value %d of row %d is not finite; the weights are damaged", i%p.cols, i/p.cols))
		}
	}
	return m, nil
}

// decode reads rows [first, first+n) into dst.
func (p *part) decode(dst []float32, first, n int) error {
	codec, err := quantkern.Lookup(p.from.Type)
	if err != nil {
		return p.fault(err.Error())
	}
	row := codec.Size(1, p.cols)
	raw := make([]byte, n*row)
	if _, err := p.from.ReadAt(raw, int64(first)*int64(row)); err != nil {
		return err
	}
	for r := range n {
		codec.Decode(dst[r*p.cols:(r+1)*p.cols], raw, n, p.cols, r)
	}
	return nil
}

// unpack reads packed trits: row r + i·⌈rows/4⌉ is in bits 2i of packed row r,
// as code trit + 1.
func (p *part) unpack(o *job) (*matrix, error) {
	raw := make([]byte, p.from.Bytes())
	if _, err := p.from.ReadAt(raw, 0); err != nil {
		return nil, err
	}
	scale, err := p.packedScale(o)
	if err != nil {
		return nil, err
	}
	m := &matrix{values: make([]float32, p.rows*p.cols), ternary: true, scale: scale}
	group := (p.rows + 3) / 4
	for r := range p.rows {
		from, shift := raw[r%group*p.cols:][:p.cols], 2*(r/group)
		to := m.values[r*p.cols:][:p.cols]
		for c, b := range from {
			code := b >> shift & 3
			if code == 3 {
				return nil, p.fault(fmt.Sprintf("row %d, column %d holds code 3, which is no trit; the weights are damaged", r, c))
			}
			to[c] = float32(code) - 1
		}
	}
	return m, nil
}

// packedScale is what a trit stands for: the stored scale, or 1 over it, as the
// class of the layers says.
func (p *part) packedScale(o *job) (float32, error) {
	s, err := (&part{from: p.factor, rows: 1, cols: 1}).read()
	if err != nil {
		return 0, err
	}
	stored := s.values[0]
	over := true
	if q := o.folder.Config.Quantization; q != nil && q.LinearClass == "autobitlinear" && q.Mode == "offline" {
		over = false
	}
	switch o.opt.Scale {
	case ScaleTimes:
		over = false
	case ScaleOver:
		over = true
	}
	scale := stored
	if over {
		scale = 1 / stored
	}
	const most = 10 // trained weights are around 0.01 to 2; the inverse of one is far beyond
	if !(scale > 0 && scale <= most) {
		how := map[bool]string{false: "times", true: "over"}
		return 0, &Error{File: p.factor.File(), Tensor: p.factor.Name,
			Reason: fmt.Sprintf("weights of %v (trits %s %v) are out of range: quantization_config may not say how the scale is meant; try --scale %s", scale, how[over], stored, how[!over])}
	}
	return scale, nil
}

// oneScale finds the number that values are, or its negative, or 0; false: they
// are more than that.
func oneScale(values []float32) (scale float32, ok bool) {
	for _, v := range values {
		a := abs(v)
		switch {
		case a == 0 || a == scale:
		case scale == 0:
			scale = a
		default:
			return 0, false
		}
	}
	return scale, true
}

// exact makes trits of values that are one number, its negative, and 0.
func (m *matrix) exact() bool {
	scale, ok := oneScale(m.values)
	if !ok || scale == 0 { // zeros alone say nothing of a scale
		return false
	}
	for i, v := range m.values {
		m.values[i] = v / scale
	}
	m.ternary, m.scale = true, scale
	return true
}

// absmean rounds to trits as in training (Ma et al., arXiv:2402.17764): in
// units of the mean magnitude.
func (m *matrix) absmean() {
	const least = 1e-5
	sum := 0.0
	for _, v := range m.values {
		sum += float64(abs(v))
	}
	mean := max(float32(sum/float64(len(m.values))), least)
	per := 1 / mean
	for i, v := range m.values {
		m.values[i] = min(max(float32(math.RoundToEven(float64(v*per))), -1), 1)
	}
	m.ternary, m.scale = true, mean
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

// permute brings the rows of Q and K (and their biases) from pairs that stand
// half a head apart to pairs side by side.
func (p *part) permute(values []float32) {
	if p.heads == 0 {
		return
	}
	cols, rows := p.cols, p.rows
	if rows == 1 { // a bias
		cols, rows = 1, p.cols
	}
	size := rows / p.heads
	head := make([]float32, size*cols)
	for h := range p.heads {
		at := values[h*size*cols:][:size*cols]
		for j := range size / 2 {
			for i := range 2 {
				copy(head[(2*j+i)*cols:][:cols], at[(i*size/2+j)*cols:])
			}
		}
		copy(at, head)
	}
}
