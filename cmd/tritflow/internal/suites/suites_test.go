package suites

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tritflow/bench"
	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/cmd/tritflow/internal/crossval/servertest"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun: what a suite cannot do is a failed check of its own, what says nothing counts
// for neither side, and the end of the context ends everything.
func TestRun(t *testing.T) {
	good := suite{"good", func(context.Context) ([]Check, error) {
		return []Check{{Name: "a", Pass: true}, skipped("b", "not here")}, nil
	}}
	bad := suite{"bad", func(context.Context) ([]Check, error) { return []Check{{Name: "c", Pass: true}}, errors.New("no disk") }}
	calls := 0
	r, err := Run(t.Context(), "m", []Suite{good}, func(int, int) { calls++ })
	if err != nil || !r.Pass || len(r.Checks) != 2 || calls != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = Run(t.Context(), "m", []Suite{bad, good}, nil); err != nil || r.Pass || len(r.Checks) != 4 || len(r.Timings) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"could not look", "no disk", "not here", "FAIL: m: 2 checks passed, 1 failed, 1 say nothing here"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("without %q:\n%s", want, b.String())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := suite{"stop", func(context.Context) ([]Check, error) { cancel(); return nil, errors.New("x") }}
	if _, err := Run(ctx, "m", []Suite{stop, good}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestDumpOfBitnetCpp: the tiny reference passes beside bitnet.cpp's numbers; a file
// that is not that model does not.
func TestDumpOfBitnetCpp(t *testing.T) {
	folder := "../../../../../shared/reference"
	path := filepath.Join(folder, "tiny-i2_s-seed1.gguf")
	if _, err := os.Stat(path); err != nil {
		t.Skip("the reference is not beside the repository")
	}
	m := &model{Options: Options{Path: path, Dumps: []string{folder}, Engine: stages.Options{Devices: "cpu", KV: "f16"}}}
	checks, err := m.dumps(t.Context())
	if err != nil || len(checks) != 1 || !checks[0].Pass {
		t.Fatalf("%+v, %v", checks, err)
	}
	m.Engine.KV = "q4_0"
	if checks, err = m.dumps(t.Context()); err != nil || checks[0].Pass {
		t.Errorf("with a cache of 4 bits: %+v, %v", checks, err)
	}
}

// TestDumpOfServer: what a server listed, and was kept, is a dump like any other.
func TestDumpOfServer(t *testing.T) {
	e, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := (&servertest.Server{Engine: e}).Llama()
	defer s.Close()
	dir := t.TempDir()
	server := crossval.Server{Options: remote.Options{Address: s.URL, Top: 5, Vocab: e.Vocab()}}
	if err := server.Write(t.Context(), dir, []crossval.Prompt{{Tokens: e.Vocab().Encode("Once upon", vocab.EncodeOptions{AddSpecial: true})}}, 8); err != nil {
		t.Fatal(err)
	}
	m := &model{Options: Options{Dumps: []string{dir}, Engine: stages.Options{Devices: "cpu", KV: "f16"}}}
	checks, err := m.dumps(t.Context())
	if err != nil || len(checks) != 1 || !checks[0].Pass || !strings.Contains(checks[0].Value, "8 rows of listed log-probabilities") {
		t.Errorf("%+v, %v", checks, err)
	}
}

// TestSpeeds takes the figures of all threads under the names that targets have.
func TestSpeeds(t *testing.T) {
	r := &bench.Report{LoadMS: 3, PeakRSS: 7, Results: []bench.Result{
		{Name: "decode", Threads: 1, N: 1, TokS: bench.Spread{Median: 1}},
		{Name: "decode", Threads: 2, N: 1, TokS: bench.Spread{Median: 2}, Fraction: .5},
		{Name: "decode", Threads: 2, N: 1, Context: 2048, TokS: bench.Spread{Median: 9}},
		{Name: "prefill", Threads: 2, N: 512, TokS: bench.Spread{Median: 100}, Fraction: .25},
	}}
	v := map[string]float64{}
	Speeds(v, r)
	for name, want := range map[string]float64{
		"load_ms": 3, "peak_rss_bytes": 7, "cpu.decode_tok_s": 2, "cpu.decode_fraction": .5, "cpu.prefill_512_tok_s": 100, "cpu.prefill_512_fraction": .25,
	} {
		if v[name] != want {
			t.Errorf("%s is %v, want %v", name, v[name], want)
		}
	}
	if len(v) != 6 {
		t.Errorf("%v", v)
	}
	r.GPU, r.GPUBytes = true, 5
	r.Against = &bench.Comparison{Speedups: []bench.Speedup{
		{Name: "decode", N: 1, Times: 20}, {Name: "decode", N: 1, Context: 4096, Times: 15}, {Name: "batch", N: 8, Context: 32, Times: 40},
	}}
	clear(v)
	if Speeds(v, r); v["gpu.decode_tok_s"] != 2 || v["gpu.decode_fraction"] != .5 || v["gpu_memory_bytes"] != 5 || v["speedup.decode"] != 20 || v["speedup.batch_8"] != 40 || v["cpu.decode_tok_s"] != 0 {
		t.Errorf("%v", v)
	}
}
