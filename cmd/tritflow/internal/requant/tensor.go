package requant

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// Tensor is one tensor of the file to be: announced with Info, its bytes made
// when Write is called.
type Tensor struct {
	Info       gguf.TensorInfo
	Rows, Cols int
	open       func(ctx context.Context) (io.Reader, error)
}

// Add announces the tensor.
func (t *Tensor) Add(w *gguf.Writer) error { return w.Add(t.Info) }

// Write makes the bytes and writes them.
func (t *Tensor) Write(ctx context.Context, w *gguf.Writer) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r, err := t.open(ctx)
	if err != nil {
		return fmt.Errorf("requant: tensor %q: %w", t.Info.Name, err)
	}
	return w.WriteTensor(t.Info.Name, r)
}

// RefusedError says why a tensor cannot be written as asked without making
// garbage, and what to do.
type RefusedError struct {
	Tensor string
	Type   string // that it was to have
	Reason string
	Hint   string
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("requant: tensor %q as %s: %s", e.Tensor, e.Type, e.Reason)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Values is a matrix of real values, read row by row; Row may be called from
// several goroutines.
type Values struct {
	Rows, Cols int
	Row        func(dst []float32, r int) error
}

// Copy is a tensor whose bytes stay as they are.
func Copy(info gguf.TensorInfo, data []byte) *Tensor {
	t := &Tensor{Info: info, Rows: 1, Cols: 1}
	for i, d := range info.Dims {
		if i == 0 {
			t.Cols = int(d)
		} else {
			t.Rows *= int(d)
		}
	}
	t.open = func(context.Context) (io.Reader, error) { return bytes.NewReader(data), nil }
	return t
}

// Scalar is an F32 tensor of one value.
func Scalar(name string, v float32) *Tensor {
	b := make([]byte, 4)
	binary.LittleEndian.PutUint32(b, math.Float32bits(v))
	return Copy(gguf.TensorInfo{Name: name, Type: gguf.TypeF32, Dims: []uint64{1}}, b)
}

// FromTrits is a matrix of trits, whose rows may be asked for by several goroutines, as any
// type, nothing rounded, and, where the type cannot hold the scale, the tensor beside it that does (else nil).
// round rounds the scale to the type's half precision instead. A type of
// floats gets trit × scale.
func FromTrits(name string, src quantkern.TritSource, to gguf.Type, round bool) (weight, scale *Tensor, err error) {
	c, err := codec(to)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Check(src.Rows, src.Cols); err != nil {
		return nil, nil, &RefusedError{name, to.String(), shapeReason(err), "choose another --type; I2_S, TQ2_0 and F16 fit most shapes"}
	}
	if src.Scales == nil {
		if s := float64(src.Scale); s == 0 || math.IsNaN(s) || math.IsInf(s, 0) {
			if s != 0 || !zeros(src) {
				return nil, nil, &RefusedError{name, to.String(), fmt.Sprintf("its scale is %v: the program that wrote the file lost it", src.Scale), "convert the original model again"}
			}
		}
		holds := c.HoldsScale
		if !c.Ternary {
			holds = func(s float32) bool { return holdsFloat(to, s) }
		}
		switch {
		case holds(src.Scale):
		case round:
			half := quantkern.F16ToF32(quantkern.F32ToF16(src.Scale))
			if half-half != 0 || half == 0 && !zeros(src) {
				return nil, nil, &RefusedError{name, to.String(), fmt.Sprintf("its scale %v is %v in half precision", src.Scale, half), "leave out --round-scales, or choose a type with an F32 scale (i2_s, tl1, tl2, iq2_bn)"}
			}
			src.Scale = half
		default:
			scale = Scalar(scaleName(name), src.Scale)
			src.Scale = 1
		}
	}
	if src.Scales != nil && !c.Ternary {
		if row, s, found := roundedScale(&src, to, round); found {
			return nil, nil, &RefusedError{name, to.String(), fmt.Sprintf("row %d has the scale %v, which the type cannot hold as it is", row, s), "choose f32, or --round-scales"}
		}
	}
	weight = &Tensor{Info: info(name, to, src.Rows, src.Cols), Rows: src.Rows, Cols: src.Cols}
	if !c.Ternary {
		v := Values{Rows: src.Rows, Cols: src.Cols, Row: valuesOf(src)}
		weight.open = v.open(c)
		return weight, scale, nil
	}
	weight.open = func(ctx context.Context) (io.Reader, error) {
		data := make([]byte, c.Size(src.Rows, src.Cols))
		if err := c.EncodeTernary(data, cancellable(ctx, src), spread); err != nil {
			return nil, err
		}
		return bytes.NewReader(data), nil
	}
	return weight, scale, nil
}

// FromValues is a matrix of real values as a type that rounds as it does.
func FromValues(name string, v Values, to gguf.Type) (*Tensor, error) {
	c, err := codec(to)
	if err != nil {
		return nil, err
	}
	if !c.CanEncode() {
		return nil, &RefusedError{name, to.String(), "the type can be read but not written", "choose another type"}
	}
	if err := c.Check(v.Rows, v.Cols); err != nil {
		return nil, &RefusedError{name, to.String(), shapeReason(err), "choose another type for it; F16 and F32 fit every shape"}
	}
	return &Tensor{Info: info(name, to, v.Rows, v.Cols), Rows: v.Rows, Cols: v.Cols, open: v.open(c)}, nil
}

func info(name string, t gguf.Type, rows, cols int) gguf.TensorInfo {
	return gguf.TensorInfo{Name: name, Type: t, Dims: []uint64{uint64(cols), uint64(rows)}}
}

// scaleName is the tensor beside a weight that holds its scale.
func scaleName(weight string) string { return strings.TrimSuffix(weight, ".weight") + ".scale" }

// holdsFloat tells whether a float type stores a value as it is.
func holdsFloat(t gguf.Type, v float32) bool {
	switch t {
	case gguf.TypeF16:
		return quantkern.F16ToF32(quantkern.F32ToF16(v)) == v
	case gguf.TypeF32:
		return true
	}
	return false
}

// cancellable is a source that ends with its context.
func cancellable(ctx context.Context, src quantkern.TritSource) quantkern.TritSource {
	trits := src.Trits
	src.Trits = func(dst []int8, r int) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return trits(dst, r)
	}
	return src
}

// zeros tells whether a matrix is nothing but zeros.
func zeros(src quantkern.TritSource) bool {
	row := make([]int8, src.Cols)
	for r := range src.Rows {
		if src.Trits(row, r) != nil {
			return false
		}
		for _, t := range row {
			if t != 0 {
				return false
			}
		}
	}
	return true
}

// scaleBuffer is room for the scales of a row, and how many values each serves;
// of a source with one scale it holds that.
func scaleBuffer(src *quantkern.TritSource) (scales []float32, group int) {
	if src.Scales == nil {
		return []float32{src.Scale}, max(src.Cols, 1)
	}
	return make([]float32, src.Cols/src.Group), src.Group
}

// roundedScale finds a scale that a type of floats does not hold as it is, of
// those that differ inside a matrix; where rounding is asked for, one that is no number.
func roundedScale(src *quantkern.TritSource, to gguf.Type, round bool) (row int, scale float32, found bool) {
	scales, _ := scaleBuffer(src)
	for r := range src.Rows {
		src.Scales(scales, r)
		for _, s := range scales {
			if s-s != 0 || !round && !holdsFloat(to, s) {
				return r, s, true
			}
		}
	}
	return 0, 0, false
}

// valuesOf reads a matrix of trits as values.
func valuesOf(src quantkern.TritSource) func(dst []float32, r int) error {
	trits := make([]int8, src.Cols)
	scales, group := scaleBuffer(&src)
	return func(dst []float32, r int) error {
		if err := src.Trits(trits, r); err != nil {
			return err
		}
		if src.Scales != nil {
			src.Scales(scales, r)
		}
		for i, t := range trits {
			dst[i] = float32(t) * scales[i/group]
		}
		return nil
	}
}

func shapeReason(err error) string {
	var e *quantkern.ShapeError
	if errors.As(err, &e) {
		return fmt.Sprintf("%d rows × %d columns do not fit: %s", e.Rows, e.Cols, e.Need)
	}
	return err.Error()
}
