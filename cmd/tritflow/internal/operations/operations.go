package operations

import (
	"fmt"
	"math"
	"math/rand/v2"

	"tritflow/cmd/tritflow/internal/compare"
	"tritflow/quantkern"
)

// Operation is one that every token passes, and how far its result is from float64's.
type Operation struct {
	Name    string          `json:"name"`
	Figures compare.Figures `json:"figures"`
}

// Shape says how large the operands are.
type Shape struct{ Hidden, FFN, HeadDim, Heads, KVHeads int }

// Shapes of a model; what it does not say is taken from a usual one.
func (s Shape) filled() Shape {
	or := func(n *int, usual int) {
		if *n <= 0 {
			*n = usual
		}
	}
	or(&s.Hidden, 256)
	or(&s.FFN, 768)
	or(&s.HeadDim, 64)
	or(&s.KVHeads, 2)
	or(&s.Heads, 2*s.KVHeads)
	return s
}

const (
	rows      = 6   // of activations
	outputs   = 128 // rows of a matrix
	positions = 200 // of an attention
	ropeBase  = 500000
	eps       = 1e-5
)

// Measure runs all operations. The same seed gives the same inputs on every machine.
func Measure(s Shape, seed uint64) ([]Operation, error) {
	m := &meter{Shape: s.filled(), rng: rand.New(rand.NewPCG(seed, 1))}
	for _, op := range []struct {
		name string
		run  func(*compare.Values) error
	}{
		{"RMSNorm", m.norm}, {"RoPE", m.rope}, {"softmax", m.softmax},
		{"ReLU² gate", m.relu2}, {"SiLU gate", m.silu},
		{"ternary product of int8 values", m.ternary}, {"product with f16 weights", m.dense},
		{"attention, f32 cache", m.attention("f32")}, {"attention, f16 cache", m.attention("f16")},
	} {
		var v compare.Values
		if err := op.run(&v); err != nil {
			return nil, fmt.Errorf("operations: %s: %w", op.name, err)
		}
		m.done = append(m.done, Operation{op.name, v.Figures()})
	}
	return m.done, nil
}

// Worst is the largest mean squared error, relative to the variance of the result, so
// that it does not depend on the size of the numbers.
func Worst(ops []Operation) (mse float64, name string) {
	for _, o := range ops {
		if e := o.Figures.RelativeMSE; name == "" || e > mse || math.IsNaN(e) || o.Figures.NonFinite > 0 {
			mse, name = e, o.Name
			if o.Figures.NonFinite > 0 {
				return math.Inf(1), name
			}
		}
	}
	return mse, name
}

type meter struct {
	Shape
	rng  *rand.Rand
	done []Operation
}

// normal makes n values as activations are.
func (m *meter) normal(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(m.rng.NormFloat64())
	}
	return x
}

// single rounds a float64 row for the comparison.
func single(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func (m *meter) norm(v *compare.Values) error {
	w := m.normal(m.Hidden)
	for r := range rows {
		x := m.normal(m.Hidden)
		got, want := make([]float32, m.Hidden), make([]float64, m.Hidden)
		quantkern.RMSNorm(got, x, w, eps)
		sum := 0.0
		for _, a := range x {
			sum += float64(a) * float64(a)
		}
		scale := 1 / math.Sqrt(sum/float64(m.Hidden)+eps)
		for i, a := range x {
			want[i] = float64(a) * scale * float64(w[i])
		}
		v.Add(r, got, single(want))
	}
	return nil
}

// rope is exact about the rotation and gives llama.cpp's angles, which are float32, as they
// are: their distance from true ones is a property of the models' training.
func (m *meter) rope(v *compare.Values) error {
	cos, sin := make([]float32, m.HeadDim/2), make([]float32, m.HeadDim/2)
	for r := range rows {
		quantkern.RopeAngles(cos, sin, int32(r*97), m.HeadDim, ropeBase, 1, nil)
		x := m.normal(m.HeadDim)
		want := make([]float64, m.HeadDim)
		theta, step := float32(r*97), float32(math.Pow(ropeBase, -2/float64(m.HeadDim)))
		for i := range m.HeadDim / 2 {
			c, s := math.Cos(float64(theta)), math.Sin(float64(theta))
			a, b := float64(x[i]), float64(x[i+m.HeadDim/2])
			want[i], want[i+m.HeadDim/2] = a*c-b*s, a*s+b*c
			theta = float32(theta * step)
		}
		quantkern.Rope(x, cos, sin, true)
		v.Add(r, x, single(want))
	}
	return nil
}

func (m *meter) softmax(v *compare.Values) error {
	for r := range rows {
		x := m.normal(positions)
		want := weights(x, 1)
		quantkern.Softmax(x)
		v.Add(r, x, single(want))
	}
	return nil
}

// weights are a softmax in float64.
func weights(x []float32, scale float64) []float64 {
	w := make([]float64, len(x))
	sum := compare.LogSum(scaled(x, scale))
	for i, a := range x {
		w[i] = math.Exp(float64(a)*scale - sum)
	}
	return w
}

func scaled(x []float32, scale float64) []float32 {
	if scale == 1 {
		return x
	}
	y := make([]float32, len(x))
	for i, a := range x {
		y[i] = float32(float64(a) * scale)
	}
	return y
}

func (m *meter) gate(v *compare.Values, got func(dst, gate, up []float32), want func(float64) float64) error {
	for r := range rows {
		gate, up := m.normal(m.FFN), m.normal(m.FFN)
		exact := make([]float64, m.FFN)
		for i := range exact {
			exact[i] = want(float64(gate[i])) * float64(up[i])
		}
		got(gate, gate, up)
		v.Add(r, gate, single(exact))
	}
	return nil
}

func (m *meter) relu2(v *compare.Values) error {
	return m.gate(v, quantkern.ReLU2Mul, func(x float64) float64 { return max(x, 0) * max(x, 0) })
}

func (m *meter) silu(v *compare.Values) error {
	return m.gate(v, quantkern.SiLUMul, func(x float64) float64 { return x / (1 + math.Exp(-x)) })
}

// ternary multiplies values that are rounded to int8 already: the rounding is the
// network's, the product must add nothing.
func (m *meter) ternary(v *compare.Values) error {
	cols := (m.Hidden + 127) / 128 * 128
	codec, err := quantkern.Lookup("I2_S")
	if err != nil {
		return err
	}
	w := make([]float32, outputs*cols)
	for i := range w {
		w[i] = .25 * float32(m.rng.IntN(3)-1)
	}
	data := make([]byte, codec.Size(outputs, cols))
	if err := codec.Encode(data, w, outputs, cols); err != nil {
		return err
	}
	t, err := quantkern.NewTernary(codec, data, outputs, cols)
	if err != nil {
		return err
	}
	var acts quantkern.Acts
	acts.Reset(rows, cols)
	var scratch quantkern.Scratch
	want := make([]float64, rows*outputs)
	q := make([]int8, cols)
	for r := range rows {
		x := m.normal(cols)
		acts.Quantize(r, x)
		s := quantkern.QuantizeRow(q, x)
		for o := range outputs {
			sum := 0.0
			for i := range cols {
				sum += float64(w[o*cols+i]) * float64(q[i])
			}
			want[r*outputs+o] = sum / float64(s)
		}
	}
	got := make([]float32, rows*outputs)
	quantkern.MulTernary(got, outputs, t, 0, outputs, &acts, &scratch)
	v.Add(0, got, single(want))
	return nil
}

func (m *meter) dense(v *compare.Values) error {
	codec, err := quantkern.Lookup("F16")
	if err != nil {
		return err
	}
	data := make([]byte, codec.Size(outputs, m.Hidden))
	if err := codec.Encode(data, m.normal(outputs*m.Hidden), outputs, m.Hidden); err != nil {
		return err
	}
	x := m.normal(rows * m.Hidden)
	got, want := make([]float32, rows*outputs), make([]float64, rows*outputs)
	row := make([]float32, m.Hidden)
	for o := range outputs {
		codec.Decode(row, data, outputs, m.Hidden, o)
		for r := range rows {
			for i, a := range row {
				want[r*outputs+o] += float64(a) * float64(x[r*m.Hidden+i])
			}
		}
	}
	var scratch quantkern.Scratch
	quantkern.MulDense(got, outputs, codec, data, outputs, m.Hidden, 0, outputs, x, rows, &scratch)
	v.Add(0, got, single(want))
	return nil
}

// attention asks one position's queries of a group of heads about all before it.
func (m *meter) attention(kind string) func(*compare.Values) error {
	return func(v *compare.Values) error {
		const pageSize = 32
		pages := (positions + pageSize - 1) / pageSize
		kv, err := quantkern.NewKVPages(kind, pages, pageSize, 1, m.HeadDim, m.HeadDim, nil)
		if err != nil {
			return err
		}
		table := make([]int32, pages)
		for i := range table {
			table[i] = int32(pages - 1 - i)
		}
		keys, values := make([][]float32, positions), make([][]float32, positions)
		for p := range positions {
			keys[p], values[p] = m.normal(m.HeadDim), m.normal(m.HeadDim)
			kv.Put(table, p, keys[p], values[p])
		}
		group := max(1, m.Heads/m.KVHeads)
		q := m.normal(group * m.HeadDim)
		got := make([]float32, len(q))
		scale := 1 / math.Sqrt(float64(m.HeadDim))
		var scratch quantkern.Scratch
		quantkern.Attend(got, q, kv, table, 0, positions-1, float32(scale), &scratch)
		scores := make([]float32, positions)
		for h := range group {
			want := make([]float64, m.HeadDim)
			for p := range positions {
				sum := 0.0
				for i, a := range keys[p] {
					sum += float64(a) * float64(q[h*m.HeadDim+i])
				}
				scores[p] = float32(sum)
			}
			for p, w := range weights(scores, scale) {
				for i, a := range values[p] {
					want[i] += w * float64(a)
				}
			}
			v.Add(h, got[h*m.HeadDim:(h+1)*m.HeadDim], single(want))
		}
		return nil
	}
}
