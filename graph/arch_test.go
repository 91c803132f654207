package graph

import (
	"os"
	"slices"
	"testing"
)

func TestArchitectures(t *testing.T) {
	want := []string{"bitnet", "bitnet-1.58", "bitnet-25", "bitnet-b1.58", "llama"}
	if got := Architectures(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A new architecture is a table of what its files hold and nothing else: one
// with norms over each head, which none of the three has, binds
// without further code.
func TestNewArchitecture(t *testing.T) {
	const path = "../../shared/reference/arch/tiny-qwen3-f32.gguf"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("reference models are not beside the repository: %v", err)
	}
	register(&architecture{
		names:      []string{"qwen3"},
		rope:       RopeNeoX,
		activation: SiLU,
		first:      []slot{tokenEmbd, output.maybe()},
		block: []slot{attnNorm, ffnNorm, attnQ, attnK, attnV, attnOutput,
			ffnGate, ffnUp, ffnDown, attnQNorm, attnKNorm},
		last: []slot{outputNorm},
	})
	defer delete(known, "qwen3")
	f := open(t, path)
	m := bind(t, f)
	everyTensorInPlace(t, f, m)
	if n := m.Blocks[2].QNorm; n == nil || n.Name != "blk.2.attn_q_norm" || n.Eps != 1e-6 {
		t.Errorf("query norm is %+v", n)
	}
}

func TestRegisterTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second llama was accepted")
		}
	}()
	register(&architecture{names: []string{"llama"}})
}
