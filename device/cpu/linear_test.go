package cpu

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// tensor packs values [rows, cols] as a type.
func tensor(t rapid.TB, typ string, values []float32, rows, cols int) *gguf.Tensor {
	ty, ok := gguf.TypeByName(typ)
	if !ok {
		t.Fatalf("no type %s", typ)
	}
	c, err := quantkern.Lookup(typ)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, c.Size(rows, cols))
	if err := c.Encode(data, values, rows, cols); err != nil {
		t.Fatal(err)
	}
	return &gguf.Tensor{Name: "t.weight", Type: ty, Dims: []uint64{uint64(cols), uint64(rows)}, Data: data}
}

// TestLinear compares outputs, with and without scale and bias and cut into
// pieces, with a float64 product of the decoded weights.
func TestLinear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]string{"F32", "F16", "Q8_0", "I2_S", "TQ2_0"}).Draw(t, "type")
		rows, cols := 4*rapid.IntRange(1, 6).Draw(t, "rows/4"), 256*rapid.IntRange(1, 2).Draw(t, "cols/256")
		n := rapid.IntRange(1, 3).Draw(t, "n")
		values := make([]float32, rows*cols)
		for i := range values {
			values[i] = 0.5 * float32(rapid.IntRange(-1, 1).Draw(t, "trit"))
		}
		values[0] = 0.5 // so that every quantizer sees the magnitude
		spec := graph.Linear{Weight: tensor(t, typ, values, rows, cols), In: cols, Out: rows}
		scale, bias := float32(1), make([]float32, rows)
		if rapid.Bool().Draw(t, "scaled") {
			scale = -1.75
			spec.Scale = tensor(t, "F32", []float32{scale}, 1, 1)
		}
		if rapid.Bool().Draw(t, "biased") {
			for i := range bias {
				bias[i] = float32(i) - 3
			}
			spec.Bias = tensor(t, "F32", bias, 1, rows)
		}
		var ledger device.Ledger
		h := holding{all: &weights{device: "cpu:0", ledger: &ledger, mapped: map[*gguf.Tensor]int{}}}
		l, err := h.linear(&spec)
		if err != nil {
			t.Fatal(err)
		}
		in := input{n: n, width: cols, x: make([]float32, n*cols), acts: &quantkern.Acts{}}
		in.acts.Reset(n, cols)
		for i := range in.x {
			// Multiples of 1/127 with the largest present survive the activation's quantization.
			in.x[i] = float32(rapid.IntRange(-127, 127).Draw(t, "x")) / 127
		}
		for i := range n {
			in.x[i*cols] = 1
			in.acts.Quantize(i, in.x[i*cols:(i+1)*cols])
		}
		const offset = 3
		stride := rows + 5
		dst := make([]float32, n*stride)
		var scratch quantkern.Scratch
		cut := rapid.IntRange(0, rows).Draw(t, "cut")
		l.mul(dst[offset:], stride, 0, cut, &in, &scratch)
		l.mul(dst[offset:], stride, cut, rows, &in, &scratch)
		for i := range n {
			for r := range rows {
				var sum float64
				for c := range cols {
					sum += float64(float64(values[r*cols+c]) * float64(in.x[i*cols+c]))
				}
				want := float64(sum*float64(scale)) + float64(bias[r])
				got := float64(dst[offset+i*stride+r])
				if math.Abs(got-want) > 1e-3*(1+math.Abs(want)) {
					t.Fatalf("%s: output %d of row %d is %v, want %v", typ, r, i, got, want)
				}
			}
		}
		h.release()
		for use, bytes := range ledger.Snapshot().Now {
			if bytes != 0 {
				t.Fatalf("%s: %d bytes after release", use, bytes)
			}
		}
	})
}
