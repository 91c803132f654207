package crossval_test

import (
	"os"
	"path/filepath"
	"testing"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/stages"
)

const shared = "../../../../../shared/reference"

// reference skips where the dumps are not beside the repository.
func reference(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat(shared); err != nil {
		t.Skipf("reference dumps are not beside the repository: %v", err)
	}
	return shared
}

// against compares a model with a dump.
func against(t testing.TB, dump, model string, opt stages.Options, tol crossval.Tolerance) *crossval.Report {
	t.Helper()
	opt.Devices = "cpu"
	e, err := stages.Open(t.Context(), model, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := crossval.OpenDump(dump, filepath.Base(model), false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := crossval.Run(t.Context(), d, crossval.Options{Engine: e, Model: model, KV: opt.KV, Tolerance: tol})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBitnetCpp(t *testing.T) {
	dir := reference(t)
	model := filepath.Join(dir, "tiny-i2_s-seed1.gguf")
	r := against(t, dir, model, stages.Options{}, crossval.Standard())
	f := r.Logits
	t.Logf("%d rows, agreement %.4f, correlation %.6f, MSE %.3g, mean %.3g, max %.3g, KL %.3g; perplexity %.4f and %.4f", f.Rows, f.Agreement,
		f.Correlation, f.MSE, f.Mean, f.Max, f.KL, r.Text.Perplexity, r.Text.Reference)
	for _, c := range r.Cases {
		t.Logf("%s: %+v", c.Name, c.Logits)
	}
	for _, l := range r.Layers {
		t.Logf("%s %v rel %.3g", l.Point, l.Pass, l.Figures.RelativeMSE)
	}
	if !r.Pass || len(r.Cases) != 4 {
		t.Errorf("%d cases, %v", len(r.Cases), r.Problems)
	}
	for o, want := range map[string]string{
		"rope.freq_base=20000": "Qcur-0#1", "attn_sub_norm=off": "attn_sub_norm-0", "swap=gate,up": "ffn_gate-0", "1:swap=gate,up": "ffn_gate-1",
	} {
		r := against(t, dir, model, stages.Options{Network: crossval.Override([]string{o})}, crossval.Standard())
		if r.Pass || r.First == nil || r.First.Point != want {
			t.Errorf("%s: pass %v, first layer %+v, want %s", o, r.Pass, r.First, want)
		}
	}
}
