package i2slayout

import (
	"bytes"
	"testing"

	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
	"tritflow/quantkern"
)

// stored gives a model's I2_S matrices another byte order, still labelled as they were.
func stored(t *testing.T, m *graph.Model, layout string) {
	t.Helper()
	from, err := quantkern.Lookup("I2_S")
	if err != nil {
		t.Fatal(err)
	}
	to, err := quantkern.Lookup(layout)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
			x := *l.Weight
			values := make([]float32, l.In*l.Out)
			for r := range l.Out {
				from.Decode(values[r*l.In:][:l.In], x.Data, l.Out, l.In, r)
			}
			x.Data = make([]byte, len(x.Data))
			if err := to.Encode(x.Data, values, l.Out, l.In); err != nil {
				t.Fatal(err)
			}
			l.Weight = &x
		}
	}
}

func TestTrainedWeightsTell(t *testing.T) {
	for _, layout := range Layouts {
		m, err := graph.Bind(gguftest.Open(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		stored(t, m, layout)
		v := Detect(FromModel(m, 0))
		t.Logf("stored as %s: %s by %.0f nats, %v", layout, v.Layout, v.Odds, v.Score)
		if !v.Known || v.Layout != layout {
			t.Errorf("stored as %s: %+v", layout, v)
		}
	}
}

// TestRandomWeightsSayNothing in whatever order they are stored.
func TestRandomWeightsSayNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	shape, err := graph.ShapeByName("small")
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := gguf.TypeByName("I2_S")
	for seed := uint64(1); seed <= 3; seed++ {
		var b bytes.Buffer
		w := gguf.NewWriter(&b)
		if err := synth.Write(t.Context(), w, synth.Options{Shape: shape, Type: typ, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for _, layout := range Layouts {
			f, err := gguf.Parse("random", b.Bytes(), gguf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := graph.Bind(f)
			if err != nil {
				t.Fatal(err)
			}
			stored(t, m, layout)
			if v := Detect(FromModel(m, 0)); v.Known || v.Sure() != 0 || v.Layout != "I2_S" {
				t.Errorf("seed %d stored as %s: %+v", seed, layout, v)
			}
		}
	}
}

// TestFewBlocksAreEnough: every block of a trained network tells by itself.
func TestFewBlocksAreEnough(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	m, err := graph.Bind(gguftest.Open(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	stored(t, m, "I2_S_B")
	for i := range m.Blocks {
		one := &graph.Model{Blocks: m.Blocks[i : i+1]}
		if v := Detect(FromModel(one, 0)); !v.Known || v.Layout != "I2_S_B" {
			t.Errorf("block %d: %+v", i, v)
		}
	}
	if n, all := len(FromModel(m, 2)), len(FromModel(m, 0)); n*3 != all {
		t.Errorf("%d groups of 2 blocks, %d of 6", n, all)
	}
}
