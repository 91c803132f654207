//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFileShrinksDuringRun: the model's file is cut to half while answers are
// under way.
func TestFileShrinksDuringRun(t *testing.T) {
	model := slow(t)
	trace := filepath.Join(t.TempDir(), "t.json")
	p := start(t, "run", "-m", model, "-p", "abc", "-p", "def", "-n", "2000", "--ignore-eos", "--json", "--trace", trace)
	p.logged("model loaded")
	info, err := os.Stat(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(model, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	out, code := p.end()
	said, err := oneSentence(p.stderr.String())
	if err != nil {
		t.Fatal(err)
	}
	if code != 1 {
		t.Errorf("exit code %d, want 1; stderr: %s", code, p.stderr.String())
	}
	for _, want := range []string{model, `tensor "`, "it became shorter", "restore the file and load it again"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	if n := strings.Count(out, `"finish_reason":"error"`); n != 2 || strings.Count(out, "\n") != 2 {
		t.Errorf("%d of 2 requests ended with the error: %s", n, out)
	}
	if data, err := os.ReadFile(trace); err != nil || !strings.Contains(string(data), "traceEvents") {
		t.Errorf("the trace was not finished: %v", err)
	}
}
