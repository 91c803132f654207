package layout

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tritflow/cmd/tritflow/internal/requant"
	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// as writes a file with I2_S of a type's layout, and without the key that tells it
// unless told.
func as(t *testing.T, f *gguf.File, typ gguf.Type, told bool) string {
	t.Helper()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	p, err := requant.NewPlan(t.Context(), f, requant.Options{Type: typ})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	if !told {
		data = bytes.Replace(data, []byte(gguf.I2SLayoutKey), bytes.Repeat([]byte("x"), len(gguf.I2SLayoutKey)), 1)
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var types = map[string]gguf.Type{"A": gguf.TypeI2_S, "B": gguf.TypeI2_S_B, "C": gguf.TypeI2_S_C}

// TestTrained: the layout of a trained model is found in every case, with and
// without the forward pass where that is possible, and it is sure.
func TestTrained(t *testing.T) {
	f := gguftest.Open(t, "")
	for want, typ := range types {
		path := as(t, f, typ, false)
		v, err := Detect(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if v.Layout != want || v.Sure < 0.99 || v.Told || len(v.Scores) != 3 {
			t.Errorf("%s: %+v", want, v)
		}
		v, err = Detect(t.Context(), path, Options{Fast: true})
		if err != nil {
			t.Fatal(err)
		}
		if v.Layout != want || v.Sure < 0.9 {
			t.Errorf("%s by structure alone: %+v", want, v)
		}
		if v, err = Detect(t.Context(), as(t, f, typ, true), Options{}); err != nil || v.Layout != want || !v.Told || v.Sure != 1 {
			t.Errorf("%s, told: %+v, %v", want, v, err)
		}
	}
}

// TestRandom: random weights have no layout; it says that it does not know and
// takes the usual one.
func TestRandom(t *testing.T) {
	s, err := graph.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	for name, typ := range types {
		var b bytes.Buffer
		w := gguf.NewWriter(&b)
		if err := synth.Write(t.Context(), w, synth.Options{Shape: s, Type: typ, Seed: 4}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Parse("synth", b.Bytes(), gguf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		v, err := Detect(t.Context(), as(t, f, typ, false), Options{})
		if err != nil || v.Layout != "A" || v.Sure > 0.5 || !strings.Contains(v.Why, "assumed") {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := Detect(t.Context(), filepath.Join(t.TempDir(), "absent"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	f := gguftest.Open(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Detect(ctx, as(t, f, gguf.TypeI2_S, false), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
