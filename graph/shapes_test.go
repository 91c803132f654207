package graph

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf/gguftest"
)

// The reference model was written by other means: "tiny" must say the same.
func TestTinyShapeIsTheReferenceModel(t *testing.T) {
	f := gguftest.Open(t, "testdata/tiny-i2_s-seed1.gguf")
	s, err := ShapeByName("Tiny")
	if err != nil {
		t.Fatal(err)
	}
	type tensor struct {
		Name string
		Dims []uint64
	}
	var got, want []tensor
	for _, x := range s.Tensors() {
		got = append(got, tensor{x.Name, x.Dims})
		x2, ok := f.Tensor(x.Name)
		if !ok {
			t.Fatalf("the reference model has no %s", x.Name)
		}
		role := map[string]Role{"I2_S": RoleMatrix, "F32": RoleNorm, "F16": RoleEmbedding}[x2.Type.String()]
		if x.Role != role {
			t.Errorf("%s is %v, in the file %v", x.Name, x.Role, role)
		}
	}
	for _, x := range f.Tensors() {
		want = append(want, tensor{x.Name, x.Dims})
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, m := range s.Metadata() {
		v, ok := f.Metadata().Get(m.Key)
		if m.Key != "general.name" && (!ok || v.Any() != m.Value) {
			t.Errorf("%s is %v, in the file %v", m.Key, m.Value, v)
		}
	}
	for _, key := range f.Metadata().Keys() {
		if len(key) > 12 && key[:12] == "bitnet-b1.58" && !slices.ContainsFunc(s.Metadata(), func(m MetaValue) bool { return m.Key == key }) {
			t.Errorf("%s is not written", key)
		}
	}
}

// Every shape, with fewer blocks and tokens and a narrower FFN, is a file that
// binds to the same hyper-parameters.
func TestEveryShapeBinds(t *testing.T) {
	for _, s := range Shapes() {
		t.Run(s.Name, func(t *testing.T) {
			full := s
			s.Blocks, s.Vocab, s.FFN = 1, 16, min(s.FFN, 1024)
			m := bind(t, draftOf(t, s, "I2_S").file(t))
			b := &m.Blocks[0]
			got := Params{Vocab: m.Vocab, Context: m.Context, Hidden: m.Hidden, Blocks: len(m.Blocks), FFN: b.FFN,
				Heads: b.Heads, KVHeads: b.KVHeads, KeyDim: b.KeyDim, ValueDim: b.ValueDim, RopeDims: b.Rope.Dims,
				Eps: b.AttnNorm.Eps, RopeBase: b.Rope.Base, RopeScale: b.Rope.Scale, Activation: b.Activation}
			if d := cmp.Diff(s.Params, got); d != "" {
				t.Error(d)
			}
			if m.Head.Tied == full.OwnHead || len(m.Surplus) > 0 || m.Arch != full.Arch {
				t.Errorf("tied %v, surplus %v, arch %s", m.Head.Tied, m.Surplus, m.Arch)
			}
			if full.Heads*full.KeyDim != full.Hidden {
				t.Errorf("%d heads of %d are not %d wide", full.Heads, full.KeyDim, full.Hidden)
			}
		})
	}
}

// Numbers that the format description gives for the published models.
func TestPublishedSizes(t *testing.T) {
	for _, c := range []struct {
		name    string
		tensors int
		params  uint64 // 0: not given
		head    int
	}{{"2b4t", 332, 2412820480, 128}, {"llama3-8b", 291, 0, 128}, {"falcon3-1b", 165, 0, 256}, {"3b", 288, 0, 100}} {
		s, err := ShapeByName(c.name)
		if err != nil {
			t.Fatal(err)
		}
		var params uint64
		for _, x := range s.Tensors() {
			n := uint64(1)
			for _, d := range x.Dims {
				n *= d
			}
			params += n
		}
		if n := len(s.Tensors()); n != c.tensors || s.KeyDim != c.head || (c.params > 0 && params != c.params) {
			t.Errorf("%s: %d tensors, %d parameters, heads of %d", c.name, n, params, s.KeyDim)
		}
	}
}

func TestUnknownShape(t *testing.T) {
	_, err := ShapeByName("huge")
	var e *ShapeError
	if !errors.As(err, &e) || !slices.Contains(e.Known, "2b4t") {
		t.Errorf("got %v, want a *ShapeError", err)
	}
}
