package check

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// survive examines and repairs bytes; only a panic or a hang can fail.
func survive(t *testing.T, dir string, data []byte) {
	t.Helper()
	path, out := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "out.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Path(ctx, path, gguf.Options{}, Options{Against: "llama.cpp"})
	if err != nil {
		t.Fatal(err)
	}
	if r.OK != (len(r.Reasons) == 0) || r.Healthy != (r.OK && len(r.Wrong) == 0) {
		t.Errorf("contradicts itself: %+v", r)
	}
	var names []string
	for _, p := range r.Problems() {
		if p.Message == "" || p.Cause == "" || p.Kind == "" || !(p.Sure > 0 && p.Sure <= 1) {
			t.Errorf("incomplete: %+v", p)
		}
		if p.Fix != nil && p.Fix.Name != "" {
			names = append(names, p.Fix.Name)
		}
	}
	rep, err := Repair(ctx, path, out, gguf.Options{}, Options{Trials: TrialsOff}, names)
	if err != nil {
		return // a fix that does not fit says so
	}
	if _, err := os.Stat(out); (err == nil) != (rep.Out != "") {
		t.Errorf("file %v, report %q", err, rep.Out)
	}
	_ = os.Remove(out)
}

func FuzzCheck(f *testing.F) {
	for _, c := range gguftest.Hostile() {
		f.Add(c.Data)
	}
	for _, data := range gguftest.Odd() {
		f.Add(data)
	}
	f.Add(seedModel(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		survive(t, t.TempDir(), data)
	})
}

// TestDamagedAnywhere: a valid model with bytes changed at random, mostly in
// its header, never brings check down.
func TestDamagedAnywhere(t *testing.T) {
	good := seedModel(t)
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 120
	if testing.Short() {
		rounds = 30
	}
	dir := t.TempDir()
	for range rounds {
		data := append([]byte(nil), good...)
		for range 1 + rng.IntN(4) {
			at := rng.IntN(len(data))
			if rng.IntN(4) > 0 {
				at = rng.IntN(min(len(data), headerBytes))
			}
			switch rng.IntN(3) {
			case 0:
				data[at] ^= 1 << rng.IntN(8)
			case 1:
				data[at] = byte(rng.Uint32())
			default:
				end := min(at+rng.IntN(64), len(data))
				clear(data[at:end])
			}
		}
		if rng.IntN(8) == 0 {
			data = data[:rng.IntN(len(data))]
		}
		survive(t, dir, data)
	}
}

// headerBytes is about the length of the seed's header.
const headerBytes = 20_000

// seedModel is a small model, small enough to be changed many times.
func seedModel(t testing.TB) []byte {
	t.Helper()
	return tiny(t)
}
