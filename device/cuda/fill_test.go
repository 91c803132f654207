//go:build cuda

package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// What is brought in pieces by way of both slots of the staging memory is what was written, rows wider than a slot included.
func TestFill(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	value := func(row, i int) byte { return byte(row*31 + i*7 + i>>9) }
	write := func(width int) func(to []byte, lo, hi int) {
		return func(to []byte, lo, hi int) {
			for r := lo; r < hi; r++ {
				for i := range width {
					to[(r-lo)*width+i] = value(r, i)
				}
			}
		}
	}
	for _, c := range []struct{ n, width int }{{0, 5}, {1, 1}, {3, 100}, {70, 1 << 20}, {5000, 6913}, {3, 2*stagingPiece + 17}, {9, 64}} {
		err := g.queue.do(func() error {
			m, err := g.take(device.Weights, "a test", int64(c.n*c.width))
			if err != nil {
				return err
			}
			defer m.give()
			if err := g.fill("a test", m.ptr, c.n, c.width, write(c.width)); err != nil {
				return err
			}
			got := make([]byte, c.n*c.width)
			if err := errors.Join(g.stream.Synchronize(), g.ctx.CopyOut(got, m.ptr)); err != nil && c.n > 0 {
				return err
			}
			want := make([]byte, len(got))
			write(c.width)(want, 0, c.n)
			if !bytes.Equal(got, want) {
				t.Errorf("%d rows of %d bytes came otherwise", c.n, c.width)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What the GPU packs into tiles are the trits of all matrices, one below the other.
func TestTritsComeInOrder(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	c, err := quantkern.Lookup("I2_S")
	if err != nil {
		t.Fatal(err)
	}
	const cols = 2560
	rng := rand.New(rand.NewPCG(3, 4))
	var layers []*graph.Linear
	var want []byte
	var at []int
	for i, rows := range []int{4096, 640, 32} {
		values := make([]float32, rows*cols)
		for j := range values {
			values[j] = float32(rng.IntN(3) - 1)
			want = append(want, byte(int8(values[j])))
		}
		data := make([]byte, c.Size(rows, cols))
		if err := c.Encode(data, values, rows, cols); err != nil {
			t.Fatal(err)
		}
		layers = append(layers, &graph.Linear{Weight: &gguf.Tensor{Name: fmt.Sprint("part ", i), Dims: []uint64{cols, uint64(rows)}, Type: gguf.TypeI2_S, Data: data}, Out: rows, In: cols})
		at = append(at, len(want)/cols-rows)
	}
	h := holding{g: g}
	err = g.queue.do(func() error {
		l, err := h.layer(layers, at)
		if err != nil {
			return err
		}
		if len(l.groups) != 1 || !l.ternary {
			t.Errorf("%+v", l)
		}
		got := make([]byte, len(want))
		err = errors.Join(g.stream.Synchronize(), g.ctx.CopyOut(got, g.packing.m.ptr))
		if !bytes.Equal(got, want) {
			t.Error("the trits came otherwise")
		}
		h.release()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
