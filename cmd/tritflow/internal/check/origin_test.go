package check

import (
	"strings"
	"testing"

	"tritflow/gguf"
)

// TestOrigins: who wrote a file, by the marks that its writer leaves.
func TestOrigins(t *testing.T) {
	eight := func(f *forge) {
		f.matrices(func(x *forged) {
			tail := x.data[len(x.data)-32:]
			for i := 4; i < 32; i += 4 {
				copy(tail[i:], tail[:4])
			}
		})
	}
	for _, c := range []struct {
		how           func(f *forge)
		program, mark string
		sure          float64
	}{
		{func(*forge) {}, "tritflow synth", "random weights, seed 1", 0.99},
		{func(f *forge) { f.drop("general.description"); eight(f) }, "bitnet.cpp", "eight times", 0.6},
		{func(f *forge) {
			f.drop("general.description")
			f.drop("tokenizer.ggml.pre")
			f.set("general.name", "bitnet2b")
		}, "official BitNet b1.58 2B-4T", "no tokenizer.ggml.pre", 0.95},
		{func(f *forge) { f.drop("general.description"); f.set(keyChat, "BITNETAssistant: ") }, "bitnet.cpp's converter", "placeholder", 0.9},
		{func(f *forge) { f.drop("general.description"); f.set("general.architecture", "bitnet-25") }, "early upload", "bitnet-25", 0.9},
		{func(f *forge) { f.drop("general.description"); f.set("general.name", "tritflow mini") }, "tritflow's trainer", "tritflow mini", 0.95},
	} {
		f := forgeOf(t, tiny(t))
		c.how(f)
		r, err := Path(t.Context(), store(t, "x.gguf", f.bytes()), gguf.Options{}, Options{Trials: TrialsOff})
		if err != nil {
			t.Fatal(err)
		}
		o := r.Origin
		if o == nil || !strings.Contains(o.Program, c.program) || !strings.Contains(strings.Join(o.Marks, "\n"), c.mark) || o.Sure != c.sure {
			t.Errorf("want %q by %q, got %+v", c.program, c.mark, o)
		}
	}
}

// TestContents: what is in the file, counted.
func TestContents(t *testing.T) {
	r, err := Path(t.Context(), store(t, "x.gguf", tiny(t)), gguf.Options{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Contents
	if c.Format != "GGUF v3" || c.Tensors != 35 || c.Parameters != 1_904_640 || c.Blocks != 3 || c.Arch != "bitnet-b1.58" || c.FileType != "I2_S" ||
		!strings.Contains(c.Tokenizer, "512 tokens") || c.Ternary < 0.92 || c.Ternary > 0.94 {
		t.Errorf("%+v", c)
	}
	h := r.Here
	if h == nil || !h.Fits || h.Memory == 0 || h.ReadBytes == 0 || h.Positions != 2048 {
		t.Errorf("%+v", h)
	}
}

// TestSpeedIsEstimated from the bandwidth that is measured.
func TestSpeedIsEstimated(t *testing.T) {
	r, err := Path(t.Context(), store(t, "x.gguf", tiny(t)), gguf.Options{}, Options{Speed: SpeedQuick})
	if err != nil {
		t.Fatal(err)
	}
	h := r.Here
	if h == nil || !(h.Bandwidth > 0) || h.Decode != h.Bandwidth/float64(h.ReadBytes) || !strings.Contains(h.How, "measured now") {
		t.Errorf("%+v", h)
	}
}
