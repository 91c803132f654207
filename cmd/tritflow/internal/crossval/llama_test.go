package crossval_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

const testdata = "../../../../graph/testdata/"

// python is an interpreter with the package llama-cpp-python, or the test is skipped.
func python(t testing.TB) string {
	t.Helper()
	name := cmp.Or(os.Getenv("TRITFLOW_PYTHON"), "python3")
	if out, err := exec.CommandContext(t.Context(), name, "-c", "import llama_cpp").CombinedOutput(); err != nil {
		t.Skipf("no Python with the package llama-cpp-python (TRITFLOW_PYTHON names one): %v %s", err, out)
	}
	return name
}

// TestLlama: llama.cpp in a child process and tritflow agree about tiny models,
// in every logit, greedy token and layer.
func TestLlama(t *testing.T) {
	name := python(t)
	for _, model := range []string{"tiny-llama-f32.gguf", "tiny-qwen3-f32.gguf"} {
		t.Run(model, func(t *testing.T) {
			path := testdata + model
			e, err := stages.Open(t.Context(), path, stages.Options{Devices: "cpu", KV: "f32"})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ids := e.Vocab().Encode("the cat", vocab.EncodeOptions{AddSpecial: true})
			p := []crossval.Prompt{{Text: "the cat", Tokens: ids}, {Tokens: []int32{3, 1, 4, 1, 5}}}
			dir := t.TempDir()
			l := crossval.Llama{Python: name, Model: path, Threads: 1, KV: "f32", Tensors: true}
			if err := l.Write(t.Context(), dir, p, 8); err != nil {
				t.Fatal(err)
			}
			d, err := crossval.OpenDump(dir, model, false)
			if err != nil {
				t.Fatal(err)
			}
			r, err := crossval.Run(t.Context(), d, crossval.Options{Engine: e, Model: model, KV: "f32", Tolerance: crossval.Strict()})
			if err != nil {
				t.Fatal(err)
			}
			f := r.Logits
			t.Logf("%d rows, correlation %.8f, largest difference %.3g, %d layers", f.Rows, f.Correlation, f.Max, len(r.Layers))
			if !r.Pass || len(r.Layers) == 0 || r.Tokens.Equal != 16 || !strings.Contains(r.Reference, "llama-cpp-python") || r.Speed.ReferenceDecode == 0 {
				t.Errorf("pass %v, %v; %+v", r.Pass, r.Problems, r)
			}
		})
	}
	var child *crossval.ChildError
	l := crossval.Llama{Python: name, Model: "nowhere.gguf", Threads: 1, KV: "f32"}
	if err := l.Write(t.Context(), t.TempDir(), []crossval.Prompt{{Tokens: []int32{1}}}, 1); !errors.As(err, &child) || !strings.Contains(err.Error(), "cannot load nowhere.gguf") {
		t.Errorf("got %v", err)
	}
}

// TestLlamaFails: no Python, one without the package, one that must be stopped.
func TestLlamaFails(t *testing.T) {
	p := []crossval.Prompt{{Tokens: []int32{1}}}
	var child *crossval.ChildError
	l := crossval.Llama{Python: filepath.Join(t.TempDir(), "nowhere"), Model: "m.gguf"}
	if err := l.Write(t.Context(), t.TempDir(), p, 1); !errors.As(err, &child) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	l.Python = "no-such-python"
	if err := l.Write(t.Context(), t.TempDir(), p, 1); !errors.As(err, &child) || !strings.Contains(err.Error(), "--python") {
		t.Errorf("got %v", err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("what follows are shell scripts")
	}
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "python")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o777); err != nil {
			t.Fatal(err)
		}
		return path
	}
	l.Python = script("echo Traceback >&2; echo \"ModuleNotFoundError: No module named 'llama_cpp'\" >&2; exit 1")
	if err := l.Write(t.Context(), t.TempDir(), p, 1); !errors.As(err, &child) || !strings.Contains(err.Error(), "No module named 'llama_cpp'; name a Python that has the package llama-cpp-python") ||
		strings.Contains(err.Error(), "Traceback") {
		t.Errorf("got %v", err)
	}
	l.Python = script("exec sleep 60")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	if err := l.Write(ctx, t.TempDir(), p, 1); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
