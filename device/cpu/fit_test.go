package cpu

import (
	"math/rand/v2"
	"testing"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// TestFitsTiles: a matrix in tiles that its file does not tell is loaded with those that
// its weights show, and another file's matrix of the same shape with its own.
func TestFitsTiles(t *testing.T) {
	const rows, cols = 640, 1024
	d := open(t, "1")
	defer closeAll(t, d)
	h := holding{all: &d.weights}
	defer h.release()
	for _, want := range []string{"320/64/64", "64/128/32", "128/32/32"} {
		c, err := quantkern.Lookup("TL1:" + want)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(7, 7))
		values := make([]float32, rows*cols)
		for i := range values {
			if zeros := 0.2 + 0.2*float64(i/cols%7)/7 + 0.2*float64(i%cols%5)/5; r.Float64() >= zeros {
				values[i] = float32(2*r.IntN(2) - 1)
			}
		}
		data := make([]byte, c.Size(rows, cols))
		if err := c.Encode(data, values, rows, cols); err != nil {
			t.Fatal(err)
		}
		tensor := &gguf.Tensor{Name: "w", Type: gguf.TypeTL1, Dims: []uint64{cols, rows}, Data: data, File: want}
		m, err := h.matrix(tensor, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := m.codec.Tile(rows, cols); got.String() != want {
			t.Errorf("found %v, packed as %s", got, want)
		}
		tensor.Tile = "32/8/32"
		if m, err = h.matrix(tensor, rows, cols); err != nil {
			t.Fatal(err)
		}
		if got, _ := m.codec.Tile(rows, cols); got.String() != tensor.Tile {
			t.Errorf("took %v, told %s", got, tensor.Tile)
		}
	}
}
