//go:build cuda

package cuda

import (
	"math"
	"math/rand/v2"
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/quantkern"
)

// Rows of every width are normalized and quantized as on the CPU. The sum of squares is another,
// so a mean may be off by a unit in the last place, but seldom.
func TestNormIsTheCPUs(t *testing.T) {
	g := openGPU(t).(*gpu)
	defer g.Close()
	const rows, eps = 24, 1e-5
	rng := rand.New(rand.NewPCG(5, 6))
	all, off := 0, 0
	for _, cols := range []int{1, 2, 3, 4, 5, 64, 130, 255, 1000, 2047, 2560, 3071, 3072, 3073, 6912, 8189, 8192, 8193, 11008, 20001, 32768} {
		x, w := make([]float32, rows*cols), make([]float32, cols)
		for i := range w {
			w[i] = float32(1 + 0.2*rng.NormFloat64())
		}
		for i := range x {
			x[i] = float32(rng.NormFloat64() * math.Exp(6*float64(i/cols%5-2)))
		}
		row := func(r int) []float32 { return x[r*cols:][:cols] }
		clear(row(0))
		row(1)[cols/2] = 3e5 // outweighs the rest
		row(2)[cols-1] = float32(math.Inf(-1))
		row(3)[0] = float32(math.NaN())
		row(4)[cols/3] = 1e25 // has no finite square
		got := g.normed(t, x, w, rows, eps)
		for r := range rows {
			want, q := make([]float32, cols), make([]int8, cols)
			quantkern.RMSNorm(want, row(r), w, eps)
			s := quantkern.QuantizeRow(q, want)
			all++
			if math.Float32bits(s) != math.Float32bits(got.s[r]) && s == s {
				off++
			}
			if d := math.Abs(float64(s - got.s[r])); d > 4e-7*float64(s) || (s == s) != (got.s[r] == got.s[r]) {
				t.Fatalf("row %d of %d: scale %v, want %v", r, cols, got.s[r], s)
			}
			sum := int32(0)
			for i := range got.stride {
				c := got.q[r*got.stride+i]
				sum += int32(c)
				if i >= cols {
					if c != 0 {
						t.Fatalf("row %d of %d: code %d behind the row is %d", r, cols, i, c)
					}
					continue
				}
				v := got.out[r*cols+i]
				if d := math.Abs(float64(v - want[i])); d > 4e-7*math.Abs(float64(want[i])) || (v == v) != (want[i] == want[i]) {
					t.Fatalf("row %d of %d: value %d is %v, want %v", r, cols, i, v, want[i])
				}
				if d := int(c) - int(q[i]); d < -1 || d > 1 {
					t.Fatalf("row %d of %d: code %d is %d, want %d", r, cols, i, c, q[i])
				}
			}
			if sum != got.sum[r] {
				t.Fatalf("row %d of %d: sum %d, want %d", r, cols, got.sum[r], sum)
			}
		}
	}
	t.Logf("%d of %d scales are not the CPU's", off, all)
	if off > all/20 {
		t.Errorf("%d of %d scales are not the CPU's", off, all)
	}
}

// normedRows are what the norm kernels write.
type normedRows struct {
	out    []float32
	q      []int8
	stride int
	s      []float32
	sum    []int32
}

func (g *gpu) normed(t *testing.T, x, w []float32, rows int, eps float32) *normedRows {
	t.Helper()
	cols := len(w)
	r := &normedRows{out: make([]float32, len(x)), stride: ceilDiv(cols, chunkCols) * chunkCols, s: make([]float32, rows), sum: make([]int32, rows)}
	r.q = make([]int8, rows*r.stride)
	err := g.queue.do(func() error {
		var from, weight, out, q, s, sum driver.Ptr
		scratch := arena{g: g, what: "rows"}
		defer scratch.drop()
		if err := scratch.place([]sized{{&from, 4 * len(x)}, {&weight, 4 * cols}, {&out, 4 * len(x)}, {&q, len(r.q)}, {&s, 4 * rows}, {&sum, 4 * rows}}); err != nil {
			return err
		}
		if err := g.ctx.CopyIn(from, bytesOf(x)); err != nil {
			return err
		}
		if err := g.ctx.CopyIn(weight, bytesOf(w)); err != nil {
			return err
		}
		if err := g.ctx.Fill(q, 0x55, int64(len(r.q))); err != nil {
			return err
		}
		sp := &space{norm: out, q: q, s: s, sum: sum}
		if _, err := g.feed(&layer{ternary: true, real: true}, sp, from, cols, rows, &norm{weight, eps}, false); err != nil {
			return err
		}
		if err := g.stream.Synchronize(); err != nil {
			return err
		}
		for _, c := range []struct {
			to   []byte
			from driver.Ptr
		}{{bytesOf(r.out), out}, {bytesOf(r.q), q}, {bytesOf(r.s), s}, {bytesOf(r.sum), sum}} {
			if err := g.ctx.CopyOut(c.to, c.from); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
