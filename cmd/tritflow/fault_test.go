//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// complaint returns the one error that a program has logged.
func complaint(t *testing.T, stderr string) string {
	t.Helper()
	var said []string
	for line := range strings.Lines(stderr) {
		var entry struct{ Level, Message string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("not a line of the log: %q", line)
		}
		if entry.Level == "error" {
			said = append(said, entry.Message)
		}
	}
	if len(said) != 1 || strings.Contains(said[0], "\n") {
		t.Fatalf("want one sentence, got %q", said)
	}
	return said[0]
}

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
	said := complaint(t, p.stderr.String())
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
