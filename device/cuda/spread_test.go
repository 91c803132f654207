//go:build cuda

package cuda

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// ownScales is a matrix of a type with a scale a block, each of its own.
func ownScales(t *testing.T, c *quantkern.Codec, rows, cols int) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	values := make([]float32, rows*cols)
	for at := 0; at < len(values); at += c.BlockValues {
		scale := quantkern.F16ToF32(uint16(rng.IntN(0x7c00))) // all that are finite, the least ones too
		for i := range c.BlockValues {
			values[at+i] = scale * float32(rng.IntN(3)-1)
		}
	}
	data := make([]byte, c.Size(rows, cols))
	if err := c.Encode(data, values, rows, cols); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSpread: in Q8_0 all values of blocks with scales of their own are what they were.
func TestSpread(t *testing.T) {
	const rows, cols = 37, 768
	q8, err := quantkern.Lookup("Q8_0")
	if err != nil {
		t.Fatal(err)
	}
	spreading := 0
	for _, name := range quantkern.Names() {
		c, err := quantkern.Lookup(name)
		if err != nil || !spreads(c) {
			continue
		}
		spreading++
		data := ownScales(t, c, rows, cols)
		all, err := spread(c, data, rows, cols)
		if err != nil || len(all) != q8.Size(rows, cols) {
			t.Fatalf("%s: %d bytes, %v", name, len(all), err)
		}
		got, want := make([]float32, cols), make([]float32, cols)
		for r := range rows {
			q8.Decode(got, all, rows, cols, r)
			c.Decode(want, data, rows, cols, r)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%s, row %d: %v, want %v", name, r, got, want)
			}
		}
	}
	if spreading < 3 {
		t.Errorf("%d types", spreading)
	}
}

// Beside a matrix with one scale, one with many is loaded, reckoned and told as what it is kept as.
func TestSpreadIsLoaded(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	c, err := quantkern.Lookup("TQ2_0")
	if err != nil {
		t.Fatal(err)
	}
	const rows, cols = 64, 512
	l := &graph.Linear{Weight: &gguf.Tensor{Name: "own", Dims: []uint64{cols, rows}, Type: gguf.TypeTQ2_0, Data: ownScales(t, c, rows, cols)}, Out: rows, In: cols}
	h := holding{g: g}
	if err := g.queue.do(func() error {
		got, err := h.layer([]*graph.Linear{l}, []int{0})
		if err == nil && (got.ternary || !got.real || denseTypes[got.groups[0].d.kind] != "Q8_0") {
			t.Errorf("%+v", got)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	e := newEstimate(g)
	if _, err := e.layer([]*graph.Linear{l}, below); err != nil || e.weights != h.shared[0].mem.bytes {
		t.Errorf("%d bytes were estimated, %d taken, %v", e.weights, h.shared[0].mem.bytes, err)
	}
}
