package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

func bind(t *testing.T, f *gguf.File) *Model {
	t.Helper()
	m, err := Bind(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// facts is what the test files are known to be, apart from their tensors.
type facts struct {
	Arch, Name                            string
	Context, Hidden, Vocab, Blocks        int
	Heads, KVHeads, KeyDim, ValueDim, FFN int
	Eps, Base, Scale                      float32
	Rope                                  RopeKind
	Dims                                  int
	Activation                            Activation
	SubNorms, Tied, Factors, Scales       bool
	HeadNorms                             bool
}

func factsOf(m *Model) facts {
	b := &m.Blocks[len(m.Blocks)-1]
	return facts{
		Arch: m.Arch, Name: m.Name, Context: m.Context, Hidden: m.Hidden, Vocab: m.Vocab, Blocks: len(m.Blocks),
		Heads: b.Heads, KVHeads: b.KVHeads, KeyDim: b.KeyDim, ValueDim: b.ValueDim, FFN: b.FFN,
		Eps: b.FFNNorm.Eps, Base: b.Rope.Base, Scale: b.Rope.Scale, Rope: b.Rope.Kind, Dims: b.Rope.Dims,
		Activation: b.Activation,
		SubNorms:   b.AttnSubNorm != nil && b.FFNSubNorm != nil,
		Tied:       m.Head.Tied, Factors: b.Rope.Factors != nil, Scales: b.Q.Scale != nil && b.Down.Scale != nil,
		HeadNorms: b.QNorm != nil && b.KNorm != nil,
	}
}

func TestBindRealFiles(t *testing.T) {
	mini := gguftest.Open(t, "")
	for _, c := range []struct {
		file *gguf.File
		want facts
	}{
		{gguftest.Open(t, "testdata/tiny-i2_s-seed1.gguf"), facts{
			Arch: "bitnet-b1.58", Name: "synthetic-tiny", Context: 2048, Hidden: 256, Vocab: 512, Blocks: 3,
			Heads: 4, KVHeads: 2, KeyDim: 64, ValueDim: 64, FFN: 512, Eps: 1e-5, Base: 500000, Scale: 1,
			Rope: RopeNeoX, Dims: 64, Activation: ReLU2, SubNorms: true, Tied: true}},
		{gguftest.Open(t, "testdata/tiny-llama-f32.gguf"), facts{
			Arch: "llama", Name: "tiny-llama", Context: 1024, Hidden: 128, Vocab: 512, Blocks: 3,
			Heads: 4, KVHeads: 2, KeyDim: 32, ValueDim: 32, FFN: 320, Eps: 1e-5, Base: 500000, Scale: 1,
			Rope: RopeNormal, Dims: 32, Activation: SiLU, Factors: true}},
		{gguftest.Open(t, "testdata/tiny-bitnet-f32.gguf"), facts{
			Arch: "bitnet", Name: "tiny-bitnet", Context: 1024, Hidden: 128, Vocab: 512, Blocks: 3,
			Heads: 4, KVHeads: 2, KeyDim: 32, ValueDim: 32, FFN: 320, Eps: 1e-5, Base: 10000, Scale: 1,
			Rope: RopeNeoX, Dims: 32, Activation: SiLU, SubNorms: true, Tied: true, Scales: true}},
		{gguftest.Open(t, "testdata/tiny-qwen3-f32.gguf"), facts{
			Arch: "qwen3", Name: "tiny-qwen3", Context: 1024, Hidden: 128, Vocab: 512, Blocks: 3,
			Heads: 4, KVHeads: 2, KeyDim: 32, ValueDim: 32, FFN: 320, Eps: 1e-6, Base: 1e6, Scale: 1,
			Rope: RopeNeoX, Dims: 32, Activation: SiLU, Tied: true, HeadNorms: true}},
		{mini, facts{
			Arch: "bitnet-b1.58", Name: "tritflow mini", Context: 512, Hidden: 256, Vocab: 1536, Blocks: 6,
			Heads: 4, KVHeads: 2, KeyDim: 64, ValueDim: 64, FFN: 768, Eps: 1e-5, Base: 10000, Scale: 1,
			Rope: RopeNeoX, Dims: 64, Activation: ReLU2, SubNorms: true, Tied: true}},
	} {
		t.Run(c.want.Name, func(t *testing.T) {
			m := bind(t, c.file)
			if d := cmp.Diff(c.want, factsOf(m)); d != "" {
				t.Error(d)
			}
			if len(m.Surplus) > 0 {
				t.Errorf("surplus: %v", m.Surplus)
			}
			everyTensorInPlace(t, c.file, m)
		})
	}
}

// everyTensorInPlace collects what the model points to and compares it, name
// by name, with what the file has.
func everyTensorInPlace(t *testing.T, f *gguf.File, m *Model) {
	t.Helper()
	got := map[string]*gguf.Tensor{}
	put := func(name string, x *gguf.Tensor) {
		if x != nil {
			got[name] = x
		}
	}
	var norm func(name string, n *Norm)
	linear := func(name string, l Linear) {
		if l.Name != name || l.Weight.Cols() != l.In || l.Weight.Rows() != l.Out {
			t.Errorf("%s: is %s, %d → %d, weight %v", name, l.Name, l.In, l.Out, l.Weight.Dims)
		}
		put(name+".weight", l.Weight)
		put(name+".bias", l.Bias)
		put(name+".scale", l.Scale)
		if l.Pre != nil {
			norm(name+"_norm_in", l.Pre)
		}
	}
	norm = func(name string, n *Norm) {
		if n != nil {
			if n.Name != name || n.Eps == 0 {
				t.Errorf("%s: is %s with eps %v", name, n.Name, n.Eps)
			}
			put(name+".weight", n.Weight)
		}
	}
	put("token_embd.weight", m.Embed.Weight)
	norm("output_norm", &m.Head.Norm)
	switch {
	case m.Head.Pooling != PoolNone:
		if m.Head.Out.Weight != nil || m.Head.Width() != m.Hidden {
			t.Errorf("a head that pools has a projection, or answers with %d values", m.Head.Width())
		}
	case m.Head.Tied:
		linear("token_embd", m.Head.Out)
	default:
		linear("output", m.Head.Out)
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		if b.Index != i {
			t.Errorf("block %d has index %d", i, b.Index)
		}
		put("rope_freqs.weight", b.Rope.Factors)
		p := fmt.Sprintf("blk.%d.", i)
		linear(p+"attn_q", b.Q)
		linear(p+"attn_k", b.K)
		linear(p+"attn_v", b.V)
		linear(p+"attn_output", b.O)
		linear(p+"ffn_gate", b.Gate)
		linear(p+"ffn_up", b.Up)
		linear(p+"ffn_down", b.Down)
		norm(p+"attn_norm", &b.AttnNorm)
		norm(p+"ffn_norm", &b.FFNNorm)
		norm(p+"attn_q_norm", b.QNorm)
		norm(p+"attn_k_norm", b.KNorm)
		norm(p+"post_attention_norm", b.AttnPostNorm)
		norm(p+"post_ffw_norm", b.FFNPostNorm)
		if b.Q.Pre != nil { // the input of one product alone comes to the same
			norm(p+"attn_output_norm_in", b.AttnSubNorm)
			norm(p+"ffn_down_norm_in", b.FFNSubNorm)
			continue
		}
		norm(p+"attn_sub_norm", b.AttnSubNorm)
		norm(p+"ffn_sub_norm", b.FFNSubNorm)
	}
	if len(got) != len(f.Tensors()) {
		t.Errorf("%d tensors bound, the file has %d", len(got), len(f.Tensors()))
	}
	for name, x := range got {
		if want, ok := f.Tensor(name); !ok || want != x {
			t.Errorf("%s is bound to %s", name, x.Name)
		}
	}
}

// What the ternary test models answer is checked in stages; here it is that
// every tensor of them has its place.
func TestBindTernaryFiles(t *testing.T) {
	for name, pooling := range map[string]Pooling{
		"llama-ternary": PoolNone, "qwen3-ternary": PoolNone, "bitnet-ternary": PoolNone, "bitnet-scales": PoolNone,
		"qwen3-embedding": PoolLast, "qwen3-mean": PoolMean, "gemma3-embedding": PoolLast,
	} {
		t.Run(name, func(t *testing.T) {
			f := gguftest.Open(t, "testdata/tiny-"+name+".gguf")
			m := bind(t, f)
			everyTensorInPlace(t, f, m)
			if m.Head.Pooling != pooling || len(m.Surplus) > 0 || (m.Embed.Scale != 0) != (m.Arch == "gemma3") {
				t.Errorf("pooling %v, surplus %v, embedding times %v", m.Head.Pooling, m.Surplus, m.Embed.Scale)
			}
		})
	}
}

// The real widths of the official file, with one block and few tokens.
func TestBindOfficialShapes(t *testing.T) {
	for _, arch := range []string{"bitnet-b1.58", "bitnet-25", "bitnet-1.58"} {
		s := shapeNamed(t, "2b4t", 1, 64)
		s.Arch = arch
		m := bind(t, draftOf(t, s, "I2_S").file(t))
		b := &m.Blocks[0]
		if m.Arch != arch || b.Activation != ReLU2 || b.Rope.Kind != RopeNeoX || !m.Head.Tied {
			t.Errorf("%s: %+v", arch, factsOf(m))
		}
		for _, c := range []struct {
			l    Linear
			want int
		}{{b.Q, 1638432}, {b.Gate, 4423712}, {b.K, 409632}} {
			if len(c.l.Weight.Data) != c.want {
				t.Errorf("%s has %d bytes, the official file %d", c.l.Name, len(c.l.Weight.Data), c.want)
			}
		}
		if want := float32(0.088388347); b.AttnScale != want { // 1/sqrt(128)
			t.Errorf("attention scale %v, want %v", b.AttnScale, want)
		}
		want := uint64(2*1638432 + 2*409632 + 3*4423712 + 4*(3*2560+6912))
		if got := b.WeightBytes(); got != want {
			t.Errorf("block has %d bytes, want %d", got, want)
		}
		if got := b.KVElements(); got != 2*640 {
			t.Errorf("a position keeps %d elements, want 1280", got)
		}
	}
}

func TestBindOptionalTensors(t *testing.T) {
	s := shapeNamed(t, "tiny", 2, 512)
	d := draftOf(t, s, "I2_S").
		add(t, "output.weight", "F16", 256, 512).
		add(t, "rope_freqs.weight", "F32", 32).
		add(t, "blk.1.attn_q.bias", "F16", 256).
		add(t, "blk.1.ffn_down.scale", "F32", 1).
		add(t, "blk.0.attn_norm.extra", "F32", 3).
		add(t, "blk.2.attn_q.weight", "F32", 3).
		add(t, "vision.weight", "F32", 3).
		change(t, "output_norm.weight", "BF16", 256, 1)
	m := bind(t, d.file(t))
	if m.Head.Tied || m.Head.Out.Name != "output" {
		t.Errorf("head is %+v", m.Head.Out)
	}
	if m.Blocks[0].Rope.Factors == nil || m.Blocks[1].Rope.Factors != m.Blocks[0].Rope.Factors {
		t.Error("blocks do not share the factors")
	}
	if m.Blocks[1].Q.Bias == nil || m.Blocks[1].Down.Scale == nil || m.Blocks[0].Q.Bias != nil {
		t.Error("bias or scale not bound where it belongs")
	}
	if d := cmp.Diff([]string{"blk.0.attn_norm.extra", "blk.2.attn_q.weight", "vision.weight"}, m.Surplus); d != "" {
		t.Error(d)
	}
}

func TestBindAlwaysTied(t *testing.T) {
	s := shapeNamed(t, "large-0.7b", 1, 8)
	m := bind(t, draftOf(t, s, "I2_S").add(t, "output.weight", "F16", 1536, 8).file(t))
	if !m.Head.Tied || m.Head.Out.Weight != m.Embed.Weight {
		t.Error("architecture bitnet has no head of its own")
	}
	if d := cmp.Diff([]string{"output.weight"}, m.Surplus); d != "" {
		t.Error(d)
	}
}

func TestBindProblems(t *testing.T) {
	tiny := shapeNamed(t, "tiny", 3, 512)
	llama := tiny
	llama.Arch = "llama"
	for _, c := range []struct {
		name  string
		draft *draft
		want  []string // all problems
	}{
		{"missing", draftOf(t, tiny, "I2_S").drop("blk.1.ffn_up"),
			[]string{"blk.1.ffn_up.weight is missing (expected [256 512])"}},
		{"misshapen", draftOf(t, tiny, "I2_S").change(t, "blk.2.attn_k.weight", "I2_S", 256, 256),
			[]string{"blk.2.attn_k.weight is [256 256], expected [256 128]"}},
		{"transposed", draftOf(t, tiny, "I2_S").change(t, "blk.0.ffn_down.weight", "F32", 256, 512),
			[]string{"blk.0.ffn_down.weight is [256 512], expected [512 256]"}},
		{"norm type", draftOf(t, tiny, "I2_S").change(t, "blk.0.ffn_norm.weight", "Q8_0", 256),
			[]string{"blk.0.ffn_norm.weight has type Q8_0, expected F32, F16 or BF16"}},
		{"no embedding", draftOf(t, tiny, "I2_S").drop("token_embd"),
			[]string{"token_embd.weight is missing (expected [256 512])"}},
		{"scale shape", draftOf(t, tiny, "I2_S").add(t, "blk.0.attn_v.scale", "F32", 2),
			[]string{"blk.0.attn_v.scale is [2], expected [1]"}},
		{"factors shape", draftOf(t, tiny, "I2_S").add(t, "rope_freqs.weight", "F32", 64),
			[]string{"rope_freqs.weight is [64], expected [32]"}},
		{"head shape", draftOf(t, tiny, "I2_S").add(t, "output.weight", "F16", 256, 511),
			[]string{"output.weight is [256 511], expected [256 512]"}},
		{"of another architecture", draftOf(t, llama, "I2_S").add(t, "blk.0.attn_sub_norm.weight", "F32", 256),
			[]string{"blk.0.attn_sub_norm.weight has no place in this architecture, and the network is another without it"}},
		{"head norms", draftOf(t, tiny, "I2_S").add(t, "blk.0.attn_q_norm.weight", "F32", 64),
			[]string{"blk.0.attn_q_norm.weight has no place in this architecture, and the network is another without it"}},
		{"layer norm", draftOf(t, tiny, "I2_S").add(t, "blk.0.attn_norm.bias", "F32", 256),
			[]string{"blk.0.attn_norm.bias has no place in this architecture, and the network is another without it"}},
		{"two at once", draftOf(t, tiny, "I2_S").drop("blk.2.attn_norm").change(t, "blk.0.attn_q.weight", "I2_S", 256, 128),
			[]string{"blk.0.attn_q.weight is [256 128], expected [256 256]", "blk.2.attn_norm.weight is missing (expected [256])"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Bind(c.draft.file(t))
			var e *BindError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *BindError", err)
			}
			var got []string
			for _, p := range e.Problems {
				got = append(got, p.String())
				if !strings.Contains(err.Error(), p.String()) {
					t.Errorf("%q is not in %q", p, err)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" || e.More != 0 {
				t.Error(d, e.More)
			}
		})
	}
}

func TestBindErrorNamesTwenty(t *testing.T) {
	d := draftOf(t, shapeNamed(t, "tiny", 3, 512), "I2_S").drop("ffn_").drop("blk.0.attn_").drop("blk.1.attn_q").drop("blk.1.attn_k")
	d.drop("blk.2.attn_output").drop("output_norm")
	_, err := Bind(d.file(t)) // 3×5 + 6 + 2 + 1 + 1 tensors are gone
	var e *BindError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *BindError", err)
	}
	if len(e.Problems) != 20 || e.More != 5 {
		t.Errorf("%d named and %d more, want 20 and 5", len(e.Problems), e.More)
	}
	if text := err.Error(); !strings.Contains(text, "25 tensors do not fit") || !strings.HasSuffix(text, "and 5 more") {
		t.Error(text)
	}
}

// Tokens that do not fit are told beside tensors that do not, and surplus ones
// beside both.
func TestBindErrorTellsAll(t *testing.T) {
	d := draftOf(t, shapeNamed(t, "tiny", 3, 512), "I2_S").
		set("tokenizer.ggml.tokens", slices.Repeat([]string{"x"}, 511)).
		drop("blk.1.attn_norm").add(t, "vision.weight", "F32", 3)
	_, err := Bind(d.file(t))
	var e *BindError
	var v *VocabError
	if !errors.As(err, &e) || !errors.As(err, &v) {
		t.Fatalf("got %v, want a *BindError with a *VocabError", err)
	}
	if len(e.Problems) != 1 || e.Problems[0].Tensor != "blk.1.attn_norm.weight" || v.Tokens != 511 || !slices.Equal(e.Surplus, []string{"vision.weight"}) {
		t.Errorf("%+v", e)
	}
	if text := err.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "attn_norm.weight is missing") || !strings.Contains(text, "has 511 entries") {
		t.Error(text)
	}
}
