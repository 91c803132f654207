package check

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tritflow/gguf"
)

// hiding is a model whose first fault hides others, so that its repair takes several rounds.
func hiding(t *testing.T) string {
	t.Helper()
	f := forgeOf(t, tiny(t))
	f.keys = append(f.keys, f.keys[1])
	return store(t, "hiding.gguf", f.bytes())
}

// TestRepairInRounds: what the rounds make is not to be seen, other files stay what they
// are, and a link stays one.
func TestRepairInRounds(t *testing.T) {
	dir := t.TempDir()
	out, target := filepath.Join(dir, "out.gguf"), filepath.Join(dir, "target.gguf")
	if err := os.Symlink("target.gguf", out); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{target, out + ".next"} {
		if err := os.WriteFile(name, []byte("mine"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := Repair(t.Context(), hiding(t), out, gguf.Options{}, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Done) < 2 || rep.Done[0].Cause != "duplicate-name" || rep.After.File != out || !rep.After.Healthy {
		t.Fatalf("%+v, %+v", rep.Done, rep.After)
	}
	if info, err := os.Lstat(out); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("%v: the link is no more: %v", info.Mode(), err)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mended file: %v, %v", info.Mode(), err)
	}
	if after, err := Path(t.Context(), target, gguf.Options{}, Options{}); err != nil || !after.Healthy || after.find("no-template") != nil {
		t.Errorf("behind the link: %s, %v", tell(after), err)
	}
	if data, err := os.ReadFile(out + ".next"); err != nil || string(data) != "mine" {
		t.Errorf("another file holds %.20q, %v", data, err)
	}
	if got := left(t, dir); !slices.Equal(got, []string{"out.gguf", "out.gguf.next", "target.gguf"}) {
		t.Errorf("in the folder: %v", got)
	}
}

// endAfter is a context that ends when it has been asked so often.
type endAfter struct {
	context.Context
	left int
}

func (c *endAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestRepairInterrupted: wherever it ends, what was there before is there, and nothing else.
func TestRepairInterrupted(t *testing.T) {
	path := hiding(t)
	for asked := 1; ; asked += 7 {
		out := store(t, "out.gguf", []byte("mine"))
		ctx := &endAfter{t.Context(), asked}
		_, err := Repair(ctx, path, out, gguf.Options{}, Options{Trials: TrialsOff, Speed: SpeedOff}, nil)
		if err == nil {
			if asked < 40 {
				t.Errorf("a whole repair asks %d times", asked)
			}
			return
		}
		if data, err := os.ReadFile(out); err != nil || string(data) != "mine" {
			t.Fatalf("ended after %d: OUT has %d bytes, %v", asked, len(data), err)
		}
		if got := left(t, filepath.Dir(out)); len(got) != 1 {
			t.Fatalf("ended after %d: in the folder %v", asked, got)
		}
	}
}

func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
