//go:build cuda

package cuda

import (
	"testing"

	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/graph"
)

// A driver that takes no cubins gets the kernels of all cards; these, and those of newer cards, wait for nothing, so
// that none may begin before the kernel before it has ended.
func TestKernelsOfAllCards(t *testing.T) {
	for name, c := range map[string]struct {
		env   string
		exact bool
	}{
		"driver of the compiler's version": {"FAKE_REFUSE=0", true},
		"older driver":                     {"FAKE_REFUSE=209", false},
		"newer card":                       {"FAKE_CAPABILITY=120", false},
		"older card":                       {"FAKE_CAPABILITY=80", false},
	} {
		t.Run(name, func(t *testing.T) {
			if fakedriver.Elsewhere(t, c.env) {
				return
			}
			k := fakeGPU(t).kern
			if k.exact != c.exact || k.spanned != c.exact {
				t.Errorf("kernels for 9.0 alone: %t, spans: %t", k.exact, k.spanned)
			}
			for source, list := range k.named() {
				for name, kn := range list {
					if kn.dependent != c.exact {
						t.Errorf("%s of %s may begin early: %t", name, source, kn.dependent)
					}
				}
			}
		})
	}
}

func TestTellers(t *testing.T) {
	for _, c := range []struct{ hidden, ffn, want int }{
		{2560, 6912, 160}, // BitNet 2B4T
		{1040, 4096, 65},  // tiles of the output layer: 66, of which one is padding
		{1024, 504, 63},
	} {
		var layers []*layer
		for _, out := range []int{2 * c.hidden, c.hidden, 2 * c.ffn, c.hidden} {
			tiles := ceilDiv(out, tileRows*tileEven) * tileEven
			layers = append(layers, &layer{groups: []group{{t: &ternary{tiles: tiles}}}})
		}
		if n := tellers(&graph.Block{Hidden: c.hidden, FFN: c.ffn}, layers); n != c.want {
			t.Errorf("hidden %d, FFN %d: %d, want %d", c.hidden, c.ffn, n, c.want)
		}
	}
}
