package graph

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tritflow/gguf"
)

// bad is one spoiled key and what the error must say.
type bad struct {
	key   string // after the architecture
	value any    // nil: missing
	want  string // part of KeyError.Want
}

var badKeys = []bad{
	{"block_count", nil, "from 1"},
	{"block_count", uint32(0), "from 1"},
	{"block_count", uint64(1 << 40), "from 1"},
	{"block_count", uint32(34), "at most 33"},
	{"block_count", "three", "from 1"},
	{"block_count", int32(-3), "from 1"},
	{"embedding_length", nil, "from 1"},
	{"embedding_length", uint64(math.MaxUint64), "from 1"},
	{"feed_forward_length", nil, "from 1"},
	{"feed_forward_length", []uint32{512, 512, 512}, "from 1"},
	{"context_length", nil, "from 1"},
	{"context_length", uint64(1 << 31), "from 1"},
	{"vocab_size", uint32(0), "number of tokens"},
	{"attention.head_count", nil, "from 1"},
	{"attention.head_count", uint32(0), "from 1"},
	{"attention.head_count_kv", uint32(0), "divisor"},
	{"attention.head_count_kv", uint32(3), "divisor"},
	{"attention.head_count_kv", uint32(8), "divisor"},
	{"attention.head_count_kv", []int32{2, 2, 2}, "divisor"},
	{"attention.key_length", uint32(0), "width"},
	{"attention.key_length", uint32(1 << 30), "width"},
	{"attention.value_length", uint32(1 << 30), "width"},
	{"rope.dimension_count", uint32(0), "even"},
	{"rope.dimension_count", uint32(33), "even"},
	{"rope.dimension_count", uint32(66), "even"},
	{"rope.dimension_count", uint32(32), "rotates whole heads"},
	{"rope.freq_base", float32(0), "finite"},
	{"rope.freq_base", float32(-1), "finite"},
	{"rope.freq_base", math.Inf(1), "finite"},
	{"rope.freq_base", 1e300, "finite"},
	{"rope.freq_base", math.NaN(), "finite"},
	{"rope.freq_base", "large", "finite"},
	{"attention.layer_norm_rms_epsilon", nil, "above 0"},
	{"attention.layer_norm_rms_epsilon", float32(0), "above 0"},
	{"attention.layer_norm_rms_epsilon", float32(math.NaN()), "above 0"},
	{"attention.layer_norm_rms_epsilon", 1e-300, "above 0"},
	{"attention.layer_norm_rms_epsilon", float32(1), "above 0"},
	{"pooling_type", uint32(2), "0 (none), 1 (mean) or 3 (last)"},
	{"pooling_type", "last", "0 (none), 1 (mean) or 3 (last)"},
	{"attention.sliding_window", uint32(512), "windows of attention"},
	{"rope.scaling.type", "dynamic", `"linear"`},
	{"rope.scaling.type", "longrope", `"linear"`},
	{"rope.scaling.type", uint32(1), `"linear"`},
	{"rope.scaling.factor", float32(-2), "finite"},
	{"rope.scaling.factor", math.NaN(), "finite"},
	{"rope.scaling.factor", 1e-300, "finite"},
	{"rope.scaling.factor", "2", "number"},
	{"hidden_activation", "tanh", "silu relu2 gelu"},
	{"hidden_activation", uint32(2), "silu relu2 gelu"},
	{"expert_count", uint32(8), "mixtures"},
	{"expert_count", "8", "mixtures"},
}

func TestBadKeys(t *testing.T) {
	for _, c := range badKeys {
		t.Run(fmt.Sprintf("%s=%v", c.key, c.value), func(t *testing.T) {
			d := draftOf(t, shapeNamed(t, "tiny", 3, 512), "I2_S").set("bitnet-b1.58."+c.key, c.value)
			_, err := Bind(d.file(t))
			var e *KeyError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *KeyError", err)
			}
			if e.Key != "bitnet-b1.58."+c.key || !strings.Contains(e.Want, c.want) {
				t.Errorf("got %q, expecting %q; want key %s, expecting %q", e.Key, e.Want, c.key, c.want)
			}
			if text := err.Error(); !strings.HasPrefix(text, "graph: draft: metadata key ") || (c.value == nil) != strings.Contains(text, "is missing") {
				t.Error(text)
			}
			var g *gguf.KeyError
			if errors.As(err, &g) == (e.Err == nil) {
				t.Errorf("the reader's error is not carried along: %v", e.Err)
			}
		})
	}
}

// Every key of the table is spoiled above at least once.
func TestBadKeysAreComplete(t *testing.T) {
	for _, k := range keyTable {
		if !slices.ContainsFunc(badKeys, func(b bad) bool { return b.key == k.suffix }) {
			t.Errorf("no bad value of %s is tried", k.suffix)
		}
	}
}

// Every key that is at fault by itself is told, and nothing that only follows.
func TestAllBadKeysAreTold(t *testing.T) {
	const arch = "bitnet-b1.58."
	d := draftOf(t, shapeNamed(t, "tiny", 3, 512), "I2_S").
		set(arch+"context_length", "long").
		set(arch+"attention.head_count", nil).
		set(arch+"attention.head_count_kv", uint32(3)). // divides nothing, but of what is not known
		set(arch+"feed_forward_length", uint32(0)).
		set(arch+"expert_count", uint32(8))
	_, err := Bind(d.file(t))
	var e *KeyError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *KeyError", err)
	}
	var got []string
	for _, k := range append([]*KeyError{e}, e.Also...) {
		got = append(got, strings.TrimPrefix(k.Key, arch))
		if !strings.Contains(err.Error(), k.Fault()) {
			t.Errorf("%q does not say %q", err, k.Fault())
		}
	}
	want := []string{"context_length", "feed_forward_length", "attention.head_count", "expert_count"}
	if !slices.Equal(got, want) {
		t.Errorf("at fault are %q, want %q", got, want)
	}
}

// A key of a type that cannot be read is not told to be 0, which it is not.
func TestUnreadableKeysAreNotZero(t *testing.T) {
	for key, value := range map[string]any{
		"expert_count": "8", "pooling_type": "last", "attention.sliding_window": []uint32{0, 512},
		"rope.scaling.factor": nil, "rope.scaling.original_context_length": "x",
	} {
		d := draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set("bitnet-b1.58.rope.scaling.type", "yarn").
			set("bitnet-b1.58.rope.scaling.factor", float32(4)).set("bitnet-b1.58."+key, value)
		_, err := Bind(d.file(t))
		var e *KeyError
		if !errors.As(err, &e) || e.Found != "" || value == nil && e.Err != nil || value != nil && e.Err == nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestHeadWidthMustDivide(t *testing.T) {
	d := draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").
		set("bitnet-b1.58.attention.head_count", uint32(6)).set("bitnet-b1.58.attention.head_count_kv", nil)
	_, err := Bind(d.file(t))
	var e *KeyError
	if !errors.As(err, &e) || e.Key != "bitnet-b1.58.attention.key_length" {
		t.Fatalf("got %v, want a *KeyError for the head's width", err)
	}
}

// Heads wider and narrower than the stream, with values unlike keys, and a
// RoPE that leaves a part of the head alone.
func TestUnusualHeads(t *testing.T) {
	s := shapeNamed(t, "tiny", 2, 512)
	s.Arch, s.KeyDim, s.ValueDim, s.RopeDims = "llama", 96, 32, 48
	m := bind(t, draftOf(t, s, "F32").file(t))
	b := &m.Blocks[1]
	got := [][2]int{{b.Q.In, b.Q.Out}, {b.K.In, b.K.Out}, {b.V.In, b.V.Out}, {b.O.In, b.O.Out}}
	want := [][2]int{{256, 384}, {256, 192}, {256, 64}, {128, 256}}
	if !slices.Equal(got, want) {
		t.Errorf("projections are %v, want %v", got, want)
	}
	if b.Rope.Dims != 48 || b.KVElements() != 2*(96+32) {
		t.Errorf("rope turns %d, a position keeps %d", b.Rope.Dims, b.KVElements())
	}
}

func TestFallbacks(t *testing.T) {
	s := shapeNamed(t, "tiny", 1, 512)
	s.KVHeads = 4
	d := draftOf(t, s, "I2_S")
	for _, key := range []string{"vocab_size", "attention.head_count_kv", "rope.dimension_count", "rope.freq_base"} {
		d.set("bitnet-b1.58."+key, nil)
	}
	m := bind(t, d.file(t))
	b := &m.Blocks[0]
	if m.Vocab != 512 || b.KVHeads != 4 || b.Rope.Dims != 64 || b.Rope.Base != 10000 {
		t.Errorf("got %+v", factsOf(m))
	}
	want := []string{
		"bitnet-b1.58.rope.freq_base is not in the file: assumed 10000",
		"bitnet-b1.58.hidden_activation is not in the file: assumed relu2",
	}
	if !slices.Equal(m.Notes, want) {
		t.Errorf("notes %q, want %q", m.Notes, want)
	}
}

func TestActivationRule(t *testing.T) {
	for _, c := range []struct {
		arch string
		key  any
		want Activation
	}{
		{"bitnet-b1.58", nil, ReLU2}, {"bitnet-25", nil, ReLU2}, {"bitnet-1.58", nil, ReLU2},
		{"bitnet-b1.58", "silu", SiLU}, {"bitnet", nil, SiLU}, {"bitnet", "relu2", ReLU2},
		{"llama", nil, SiLU}, {"llama", "ReLU2", ReLU2},
	} {
		s := shapeNamed(t, "tiny", 1, 512)
		s.Arch = c.arch
		m := bind(t, draftOf(t, s, "I2_S").set(c.arch+".hidden_activation", c.key).file(t))
		if got := m.Blocks[0].Activation; got != c.want {
			t.Errorf("%s with %v: got %v, want %v", c.arch, c.key, got, c.want)
		}
	}
}

func TestRopeScaling(t *testing.T) {
	for _, c := range []struct {
		kind, factor, old any
		want              float32
	}{
		{nil, nil, nil, 1}, {"linear", float32(1), nil, 1}, {"linear", float32(4), nil, 0.25}, {nil, 2.0, nil, 0.5},
		{"none", float32(4), nil, 1}, {nil, float32(0), nil, 1}, {nil, nil, float32(8), 0.125}, {"linear", nil, nil, 1},
	} {
		d := draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set("bitnet-b1.58.rope.scaling.type", c.kind).
			set("bitnet-b1.58.rope.scaling.factor", c.factor).set("bitnet-b1.58.rope.scale_linear", c.old)
		if got := bind(t, d.file(t)).Blocks[0].Rope.Scale; got != c.want {
			t.Errorf("%v: scale %v, want %v", c, got, c.want)
		}
	}
}

// What YaRN does to the scores and angles is checked against llama.cpp
// (device/devtest); this is what its keys may be.
func TestYarnKeys(t *testing.T) {
	yarn := func() *draft {
		return draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set("bitnet-b1.58.rope.scaling.type", "yarn").
			set("bitnet-b1.58.rope.scaling.factor", float32(4))
	}
	b := bind(t, yarn().file(t)).Blocks[0]
	if b.Rope.Factors == nil || b.Rope.Scale != 1 || b.AttnScale <= 1/float32(8) {
		t.Errorf("rope %+v, scores times %v", b.Rope, b.AttnScale)
	}
	for _, c := range []bad{
		{"rope.scaling.factor", nil, "above 0"},
		{"rope.scaling.factor", float32(0), "above 0"},
		{"rope.scaling.yarn_beta_fast", math.NaN(), "above 0"},
		{"rope.scaling.yarn_beta_slow", "one", "above 0"},
		{"rope.scaling.original_context_length", uint32(0), "positions"},
		{"rope.scaling.original_context_length", "x", "positions"},
		{"rope.scaling.attn_factor", float32(2), "plain form"},
		{"rope.freq_base", float32(1), "above 1"},
	} {
		_, err := Bind(yarn().set("bitnet-b1.58."+c.key, c.value).file(t))
		var e *KeyError
		if !errors.As(err, &e) || e.Key != "bitnet-b1.58."+c.key || !strings.Contains(e.Want, c.want) {
			t.Errorf("%s = %v: got %v", c.key, c.value, err)
		}
	}
	_, err := Bind(yarn().add(t, "rope_freqs.weight", "F32", 32).file(t))
	var e *BindError
	if !errors.As(err, &e) || e.Problems[0].Tensor != "rope_freqs.weight" {
		t.Errorf("with rope_freqs: %v", err)
	}
}

func TestVocabularySize(t *testing.T) {
	tokens := slices.Repeat([]string{"x"}, 511)
	for _, source := range []string{"bitnet-b1.58.vocab_size", "token_embd.weight"} {
		d := draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set("tokenizer.ggml.tokens", tokens)
		if source == "token_embd.weight" {
			d.set("bitnet-b1.58.vocab_size", nil)
		}
		_, err := Bind(d.file(t))
		var e *VocabError
		if !errors.As(err, &e) || e.Source != source || e.Vocab != 512 || e.Tokens != 511 {
			t.Errorf("got %v, want a *VocabError of %s", err, source)
		}
	}
}

func TestUnknownArchitecture(t *testing.T) {
	_, err := Bind(draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set(archKey, "mamba").file(t))
	var e *ArchError
	if !errors.As(err, &e) || e.Arch != "mamba" || !slices.Equal(e.Known, Architectures()) {
		t.Fatalf("got %v, want an *ArchError", err)
	}
	for _, name := range append(Architectures(), "mamba") {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestArchitectureKey(t *testing.T) {
	for _, value := range []any{nil, uint32(7)} {
		_, err := Bind(draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set(archKey, value).file(t))
		var e *KeyError
		if !errors.As(err, &e) || e.Key != archKey {
			t.Errorf("%v: got %v, want a *KeyError of %s", value, err, archKey)
		}
	}
	_, err := Bind(draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S").set(archKey, strings.Repeat("a", 1<<20)).file(t))
	var e *ArchError
	if !errors.As(err, &e) || len(err.Error()) > 500 {
		t.Errorf("a long name makes a message of %d bytes", len(err.Error()))
	}
}

// Whatever the keys say, Bind answers with a model that is sound or with one
// of its errors.
func TestAnyKeysAreAnswered(t *testing.T) {
	counts := []any{uint32(0), uint32(1), uint32(2), uint32(4), uint32(64), uint32(256), uint32(512), int32(-1),
		uint32(math.MaxUint32), uint64(math.MaxInt64), uint64(math.MaxUint64), 0.5, math.NaN(), "4", []uint32{4}, true, nil}
	rapid.Check(t, func(rt *rapid.T) {
		d := draftOf(t, shapeNamed(t, "tiny", 1, 8), "I2_S")
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			k := rapid.SampledFrom(keyTable).Draw(rt, "key")
			d.set("bitnet-b1.58."+k.suffix, rapid.SampledFrom(counts).Draw(rt, "value"))
		}
		m, err := Bind(d.file(t))
		var key *KeyError
		var tensors *BindError
		if err != nil {
			if !errors.As(err, &key) && !errors.As(err, &tensors) {
				rt.Fatalf("got %v", err)
			}
			return
		}
		b := &m.Blocks[0]
		if len(m.Blocks) != 1 || b.Q.Weight.Rows() != b.Heads*b.KeyDim || b.V.Weight.Rows() != b.KVHeads*b.ValueDim ||
			b.Heads%b.KVHeads != 0 || b.Rope.Dims != b.KeyDim || !(b.AttnNorm.Eps > 0) {
			rt.Fatalf("unsound: %+v", factsOf(m))
		}
	})
}

func TestHostileCountsDoNotAllocate(t *testing.T) {
	for _, key := range []string{"block_count", "embedding_length", "attention.head_count", "feed_forward_length", "vocab_size", "yarn"} {
		d := draftOf(t, shapeNamed(t, "tiny", 1, 512), "I2_S")
		if d.set("bitnet-b1.58."+key, uint32(math.MaxInt32)); key == "yarn" { // its divisors are as many as a head is wide
			for k, v := range map[string]any{
				"attention.head_count": uint32(1), "attention.head_count_kv": uint32(1), "attention.key_length": uint32(1 << 24),
				"rope.dimension_count": uint32(1 << 24), "rope.scaling.type": "yarn", "rope.scaling.factor": float32(4),
			} {
				d.set("bitnet-b1.58."+k, v)
			}
		}
		f := d.file(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Bind(f)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", key)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<18 {
			t.Errorf("%s: %d bytes allocated", key, got)
		}
	}
}
