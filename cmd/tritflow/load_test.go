package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/graph"
)

var errEnough = errors.New("enough")

// beginning is a sink that takes the first bytes and then fails.
type beginning struct {
	f    *os.File
	left int
}

func (b *beginning) Write(p []byte) (int, error) {
	n, err := b.f.Write(p[:min(len(p), b.left)])
	b.left -= n
	if err == nil && n < len(p) {
		err = errEnough
	}
	return n, err
}

// large writes a model with the vocabulary and the size of a real one. Behind
// the first bytes, among them the whole header, it is a hole of zeros, which
// takes neither time nor room on the disk and is legal weights.
func large(t *testing.T) string {
	t.Helper()
	const written, size = 32 << 20, 1 << 31
	shape, err := graph.ShapeByName("2b4t")
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := gguf.TypeByName("I2_S")
	path := filepath.Join(t.TempDir(), "large.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = synth.Write(t.Context(), gguf.NewWriter(&beginning{f, written}), synth.Options{Shape: shape, Type: typ, Seed: 1})
	if !errors.Is(err, errEnough) {
		t.Fatalf("writing the beginning: %v", err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInterruptWhileTheModelIsLoaded: the trace's temporary file appears when
// the program listens to signals and is about to load, so that is the moment
// for Ctrl-C. Should the load be over when it arrives, the answer has begun at
// most; the end is the same.
func TestInterruptWhileTheModelIsLoaded(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	if testing.Short() {
		t.Skip("writes a model of the size of a real one")
	}
	model := large(t)
	inLoad := 0
	const times = 4
	for range times {
		dir := t.TempDir()
		p := start(t, "run", "-m", model, "-p", "abc", "-n", "2000", "--ignore-eos", "--trace", filepath.Join(dir, "t.json"))
		appeared(t, dir)
		p.interrupt()
		text, code := p.end()
		said := p.stderr.String()
		if code != 130 {
			t.Errorf("exit code %d, want 130; stderr: %s", code, said)
		}
		if strings.Contains(said, `"level":"error"`) {
			t.Errorf("an interrupt is no error: %s", said)
		}
		if !strings.Contains(said, "model loaded") {
			inLoad++
			if text != "" {
				t.Errorf("printed %q before the model was loaded", text)
			}
		} else if strings.Count(text, "\n") > 1 {
			t.Errorf("more than a broken-off answer: %q", text)
		}
		// The trace is finished, and its temporary file is gone.
		if got := files(t, dir); len(got) != 1 || got[0] != "t.json" {
			t.Errorf("left behind: %v", got)
		}
	}
	t.Logf("%d of %d interrupts came before the model was loaded", inLoad, times)
}

// TestInterruptWhileAFileIsWritten: nothing stays of a model half written.
func TestInterruptWhileAFileIsWritten(t *testing.T) {
	dir := t.TempDir()
	p := start(t, "synth", filepath.Join(dir, "out.gguf"), "--shape", "2b4t")
	appeared(t, dir)
	p.interrupt()
	if text, code := p.end(); code != 130 || text != "" {
		t.Errorf("exit code %d, output %q; stderr: %s", code, text, p.stderr.String())
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// appeared waits for the first file in a folder.
func appeared(t *testing.T, dir string) {
	t.Helper()
	if !comes(func() bool { return len(files(t, dir)) > 0 }) {
		t.Fatal("the program wrote no file")
	}
}

// files names what is in a folder.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
