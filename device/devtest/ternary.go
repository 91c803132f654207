package devtest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"tritflow/device"
	"tritflow/graph"
)

// ternary compares every architecture with ternary matrices with the forward
// pass of graph/testdata/ternary.py. A device may refuse models that pool or
// that normalize the input of single products, with a *device.TensorError; one
// that takes them must be right. Devices whose floats are not the CPU's (Within)
// may round an activation to the other side, so there the mean is compared.
func (s *suite) ternary(t *testing.T) {
	const (
		closeBound = 1e-4 // of the values' size
		meanBound  = 0.05
	)
	for _, name := range []string{
		"llama-ternary", "qwen3-ternary", "bitnet-ternary", "bitnet-scales", "qwen3-embedding", "gemma3-embedding",
	} {
		t.Run(name, func(t *testing.T) {
			m := OpenModel(t, "tiny-"+name+".gguf")
			d := s.device(t)
			pools := m.Head.Pooling != graph.PoolNone
			if parts, err := Load(context.Background(), m, pagesOf("f32"), d); err != nil {
				if te := (*device.TensorError)(nil); pools && errors.As(err, &te) {
					t.Logf("refused: %v", err)
					return
				}
				t.Fatal(err)
			} else if err := Close(parts); err != nil {
				t.Fatal(err)
			}
			r := load(t, m, pagesOf("f32"), d)
			for _, it := range ternaryItems(t, name) {
				got := r.prompt(t, it.IDs)
				if pools {
					got = got[len(got)-1:]
				}
				most, mean := apart(t, got, it.Answer)
				if t.Logf("%d tokens: off by %.2g at most, %.2g in the mean", len(it.IDs), most, mean); s.bound == 0 && !(most < closeBound) || !(mean < meanBound) {
					t.Error("that is too much")
				}
			}
		})
	}
}

type ternaryItem struct {
	IDs    []int32
	Answer [][]float32
}

func ternaryItems(t testing.TB, name string) []ternaryItem {
	t.Helper()
	var f struct{ Items []ternaryItem }
	if err := json.Unmarshal(dataFile(t, "tiny-"+name+".json"), &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Items) == 0 {
		t.Fatalf("devtest: tiny-%s.json has no items", name)
	}
	return f.Items
}

// apart is the largest and the mean difference, in units of the values' size.
func apart(t testing.TB, got, want [][]float32) (most, mean float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	squares, n := 0.0, 0
	for r := range want {
		if len(got[r]) != len(want[r]) {
			t.Fatalf("row %d has %d values, want %d", r, len(got[r]), len(want[r]))
		}
		for c, w := range want[r] {
			diff := math.Abs(float64(got[r][c]) - float64(w))
			most, mean = max(most, diff), mean+diff
			squares += float64(w) * float64(w)
			n++
		}
	}
	size := math.Sqrt(squares / float64(n))
	return most / size, mean / float64(n) / size
}
