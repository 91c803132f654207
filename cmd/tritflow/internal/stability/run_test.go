package stability_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/score"
	"tritflow/cmd/tritflow/internal/stability"
	_ "tritflow/device/cpu"
	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/gguf/vocab"
)

func open(t testing.TB, name string) *gguf.File {
	t.Helper()
	if name != "" {
		name = filepath.Join("../../../../graph/testdata", name)
	}
	return gguftest.Open(t, name)
}

func run(t testing.TB, opt stability.Options) *stability.Report {
	t.Helper()
	if opt.Tolerance.Name == "" {
		opt.Tolerance = stability.Standard()
	}
	r, err := stability.Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Errorf("no JSON: %v", err)
	}
	return r
}

// The trained model keeps a correlation above 0.999 with its F32 forward in
// every layer, and the CPU has the walk's bits.
func TestBuiltin(t *testing.T) {
	f := open(t, "")
	v, err := vocab.Load(f.Metadata(), vocab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids := v.Encode(score.Text, vocab.EncodeOptions{AddSpecial: true})[:96]
	stages := 0
	r := run(t, stability.Options{File: f, Tokens: ids, Devices: "cpu:1,cpu:1", Progress: func(done, total int) { stages = done*100 + total }})
	if !r.Pass || len(r.Problems) != 0 || len(r.Layers) != 8 || stages != 808 {
		t.Fatalf("pass %v, %d layers, progress %d, %v", r.Pass, len(r.Layers), stages, r.Problems)
	}
	if r.Logits.Correlation <= 0.999 || r.Logits.Rows != 96 || r.Logits.MSE == 0 {
		t.Errorf("logits: %+v", r.Logits)
	}
	for _, l := range r.Layers {
		last := l.Last()
		t.Logf("%s: correlation %.6f, MSE %.3g", l.Stage, last.Figures.Correlation, last.Figures.MSE)
		if l.Device == nil || *l.Device != 0 {
			t.Errorf("%s: the CPU differs by %v", l.Stage, l.Device)
		}
		blocks := strings.HasPrefix(l.Stage, "block ")
		if last.Figures.Correlation <= 0.999 || blocks && (last.Figures.MSE == 0 || len(l.Products) != 7) {
			t.Errorf("%s: %+v, %d products", l.Stage, last.Figures, len(l.Products))
		}
		for _, p := range l.Products {
			if p.Figures.Correlation <= 0.999 || p.Crest <= 1 || p.Saturated <= 0 || p.Vanished <= 0 || p.InAbsMax <= 0 {
				t.Errorf("%s: %+v", p.Name, p)
			}
		}
	}
}

// Without ternary weights only the cache's type is between the two walks.
func TestFloat(t *testing.T) {
	r := run(t, stability.Options{File: open(t, "tiny-llama-f32.gguf"), Tokens: []int32{5, 6, 7}, KV: "f32"})
	if !r.Pass || r.Logits.MSE != 0 || r.Logits.Correlation != 1 || r.Layers[1].Device != nil || r.Layers[1].WorstProduct() != nil {
		t.Errorf("%+v", r)
	}
}

// A NaN in a weight is named where it first shows, and the walk ends there.
func TestNotFinite(t *testing.T) {
	f := open(t, "tiny-llama-f32.gguf")
	w, ok := f.Tensor("blk.1.ffn_up.weight")
	if !ok {
		t.Fatal("no such tensor")
	}
	data := append([]byte(nil), w.Data...)
	copy(data[4*(7*w.Cols()+3):], []byte{0, 0, 0xc0, 0x7f})
	w.Data = data
	r := run(t, stability.Options{File: f, Tokens: []int32{5, 6, 7}, Devices: ""})
	if r.Pass || len(r.Layers) != 3 || len(r.Problems) == 0 {
		t.Fatalf("%+v", r)
	}
	p := r.Problems[0]
	if p.Stage != "block 1" || p.Layer != "ffn_up-1" || p.Metric != "non-finite values" || p.Value != 3 || p.Threshold != 0 || p.Row != 0 || p.Column != 7 {
		t.Errorf("%+v", p)
	}
	var ne *stability.NumericalError
	if err := error(p); !errors.As(err, &ne) || !strings.Contains(err.Error(), "block 1, ffn_up-1: non-finite values is 3, the limit is 0 (worst at position 0, element 7)") {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	f := open(t, "tiny-i2_s-seed1.gguf")
	ids := []int32{1, 300, 17, 44, 23, 99, 200, 301}
	for name, c := range map[string]struct{ json, stage, layer, metric string }{
		"correlation": {`{"stages": {"block 1": {"correlation": 0.9999999}}}`, "block 1", "l_out-1", "correlation"},
		"mse":         {`{"stages": {"block 2": {"relative_mse": 1e-9}}}`, "block 2", "l_out-2", "relative MSE"},
		"product":     {`{"stages": {"block 0": {"product_mse": 1e-4}}}`, "block 0", "ffn_down-0", "product relative MSE"},
		"absmax":      {`{"default": {"absmax": 25}}`, "head", "result_output", "absmax"},
		"saturated":   {`{"stages": {"block 0": {"saturated": 0.001}}}`, "block 0", "Qcur-0", "saturated share"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "limits.json")
			if err := os.WriteFile(path, []byte(c.json), 0o666); err != nil {
				t.Fatal(err)
			}
			tol, err := stability.ToleranceNamed(path)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, stability.Options{File: f, Tokens: ids, Tolerance: tol})
			if r.Pass || len(r.Problems) == 0 {
				t.Fatal("passed")
			}
			if p := r.Problems[0]; p.Stage != c.stage || p.Layer != c.layer || p.Metric != c.metric || math.IsNaN(p.Value) {
				t.Errorf("%+v", p)
			}
		})
	}
	for _, text := range []string{`{"defaults": {}}`, `{"default": {"corelation": 1}}`, `{"stages": {"head": {"x": 1}}}`, `[`,
		`{"stages": {"blk 0": {}}}`, `{"stages": {"block0": {}}}`, `{"stages": {"block 01": {}}}`, `{"stages": {"block -1": {}}}`} {
		path := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := stability.ToleranceNamed(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := stability.ToleranceNamed("lax"); err == nil {
		t.Error("lax was taken")
	}
	if s, err := stability.ToleranceNamed("strict"); err != nil || s.Default.Correlation <= stability.Standard().Default.Correlation {
		t.Errorf("strict: %+v, %v", s, err)
	}
}

func TestRefused(t *testing.T) {
	f := open(t, "")
	if _, err := stability.Run(t.Context(), stability.Options{File: f}); err == nil {
		t.Error("walked with nothing")
	}
	if _, err := stability.Run(t.Context(), stability.Options{File: f, Tokens: []int32{1}, Devices: "nothing"}); err == nil {
		t.Error("walked on nothing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stability.Run(ctx, stability.Options{File: f, Tokens: []int32{1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
