package synth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
	"tritflow/quantkern"
)

func options(t *testing.T, shape, typ string, seed uint64) Options {
	t.Helper()
	s, err := graph.ShapeByName(shape)
	if err != nil {
		t.Fatal(err)
	}
	ty, ok := gguf.TypeByName(typ)
	if !ok {
		t.Fatalf("no type %q", typ)
	}
	return Options{Shape: s, Type: ty, Seed: seed}
}

func write(t *testing.T, opt Options) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	if err := Write(t.Context(), w, opt); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func parse(t *testing.T, data []byte) *gguf.File {
	t.Helper()
	f, err := gguf.Parse("synth", data, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestWritesModelsThatBind(t *testing.T) {
	for _, typ := range []string{"i2_s", "i2_s_b", "i2_s_c", "tl1", "tl2", "tq2_0", "tq1_0", "q2_0", "q2_0_128", "iq2_bn", "iq1_bn", "f16", "q8_0"} {
		t.Run(typ, func(t *testing.T) {
			f := parse(t, write(t, options(t, "tiny", typ, 3)))
			m, err := graph.Bind(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Surplus) > 0 || !m.Head.Tied {
				t.Errorf("surplus %v, tied %v", m.Surplus, m.Head.Tied)
			}
			v, err := vocab.Load(f.Metadata(), vocab.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if v.Size() != m.Vocab {
				t.Errorf("%d vocabulary entries, %d rows", v.Size(), m.Vocab)
			}
		})
	}
}

// TestHeadHasItsOwnType: embedding and head, and nothing else.
func TestHeadHasItsOwnType(t *testing.T) {
	for _, typ := range []string{"Q8_0", "Q6_K", "Q4_0"} {
		opt := options(t, "tiny", "i2_s", 3)
		opt.Head = typ
		m, err := graph.Bind(parse(t, write(t, opt)))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Head.Out.Weight.Type.String(); got != typ || m.Blocks[0].Q.Weight.Type.String() != "I2_S" {
			t.Errorf("head %s, asked for %s", got, typ)
		}
	}
}

func TestValuesHaveTheStatedDistributions(t *testing.T) {
	f := parse(t, write(t, options(t, "tiny", "i2_s", 9)))
	scales := map[float32]bool{}
	var trits [3]int
	for _, x := range f.Tensors() {
		c, err := quantkern.Lookup(x.Type.String())
		if err != nil {
			t.Fatal(err)
		}
		if c.Ternary {
			w, err := quantkern.NewTernary(c, x.Data, x.Rows(), x.Cols())
			if err != nil {
				t.Fatal(err)
			}
			scales[w.Scale] = true
			row := make([]int8, x.Cols())
			for r := range x.Rows() {
				w.Trits(row, r)
				for _, v := range row {
					trits[v+1]++
				}
			}
			continue
		}
		want, deviation := 0.0, 0.05
		if x.Type.String() == "F32" {
			want, deviation = 1, 0.2
		}
		mean, sd := moments(c, x)
		// Five standard errors of the estimates.
		n := math.Sqrt(float64(x.Elements()))
		if math.Abs(mean-want) > 5*deviation/n || math.Abs(sd-deviation) > 5*deviation/n {
			t.Errorf("%s: mean %.4f, deviation %.4f; want %.2f, %.2f", x.Name, mean, sd, want, deviation)
		}
	}
	total := float64(trits[0] + trits[1] + trits[2])
	for i, want := range []float64{0.3, 0.4, 0.3} {
		if got := float64(trits[i]) / total; math.Abs(got-want) > 0.002 {
			t.Errorf("P(%d) = %.4f, want %.1f", i-1, got, want)
		}
	}
	if blocks := 3; len(scales) != 7*blocks {
		t.Errorf("%d different scales for %d matrices", len(scales), 7*blocks)
	}
}

func moments(c *quantkern.Codec, x *gguf.Tensor) (mean, deviation float64) {
	row := make([]float32, x.Cols())
	var sum, squares float64
	for r := range x.Rows() {
		c.Decode(row, x.Data, x.Rows(), x.Cols(), r)
		for _, v := range row {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
	}
	n := float64(x.Elements())
	mean = sum / n
	return mean, math.Sqrt(squares/n - mean*mean)
}

func TestSeedDecides(t *testing.T) {
	a, b, c := write(t, options(t, "tiny", "i2_s", 1)), write(t, options(t, "tiny", "i2_s", 1)), write(t, options(t, "tiny", "i2_s", 2))
	if !bytes.Equal(a, b) {
		t.Error("the same seed gave different bytes")
	}
	if bytes.Equal(a, c) {
		t.Error("different seeds gave the same bytes")
	}
}

// full fails like a full disk after n bytes.
type full struct{ n int }

func (w *full) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestFailures(t *testing.T) {
	if err := Write(t.Context(), gguf.NewWriter(&full{100_000}), options(t, "small", "i2_s", 1)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, gguf.NewWriter(io.Discard), options(t, "tiny", "i2_s", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	var te *TypeError
	for _, c := range []struct{ shape, typ string }{
		{"3b", "i2_s"},   // 3,200 columns are no multiple of 128 in the FFN
		{"tiny", "q4_k"}, // read only
		{"tiny", "i32"},  // not a weight type
	} {
		if err := Write(t.Context(), gguf.NewWriter(io.Discard), options(t, c.shape, c.typ, 1)); !errors.As(err, &te) {
			t.Errorf("%s as %s: %v", c.shape, c.typ, err)
		}
	}
	for _, head := range []string{"I2_S", "I2_S_B", "I2_S_C", "TL1", "TL2"} { // which hold nothing but trits
		opt := options(t, "tiny", "i2_s", 1)
		opt.Head = head
		if err := Write(t.Context(), gguf.NewWriter(io.Discard), opt); !errors.As(err, &te) {
			t.Errorf("head as %s: %v", head, err)
		}
	}
}

func TestVocabulary(t *testing.T) {
	for _, size := range []int{512, 4096, 32002, 128256, 131072} {
		v := newVocabulary(size)
		if len(v.tokens) != size || len(v.types) != size {
			t.Fatalf("%d: %d tokens, %d types", size, len(v.tokens), len(v.types))
		}
		if got, want := len(v.merges), v.special-256; got != want {
			t.Errorf("%d: %d merges, want %d: every normal token but the bytes is made by one", size, got, want)
		}
		seen := map[string]bool{}
		for _, text := range v.tokens {
			if seen[text] {
				t.Fatalf("%d: token %q stands twice", size, text)
			}
			seen[text] = true
		}
	}
	v := newVocabulary(128256)
	got := map[int]string{}
	for _, id := range []int{128000, 128001, 128002, 128005, 128006, 128007, 128008, 128009, 128010, 128255} {
		got[id] = v.tokens[id]
	}
	want := map[int]string{
		128000: "<|begin_of_text|>", 128001: "<|end_of_text|>",
		128002: "<|reserved_special_token_0|>", 128005: "<|reserved_special_token_3|>",
		128006: "<|start_header_id|>", 128007: "<|end_header_id|>",
		128008: "<|reserved_special_token_4|>", 128009: "<|eot_id|>",
		128010: "<|reserved_special_token_5|>", 128255: "<|reserved_special_token_250|>",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestByteRunes(t *testing.T) {
	for b, want := range map[byte]rune{' ': 'Ġ', '\n': 'Ċ', 0xad: 'Ń', 'a': 'a', 0: 'Ā', 0xff: 'ÿ'} {
		if got := byteRune(b); got != want {
			t.Errorf("byte %#x is %q, want %q", b, got, want)
		}
	}
}
