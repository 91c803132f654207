package i2slayout

import (
	"testing"

	"tritflow/gguf/builtin"
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
		f, err := builtin.Open()
		if err != nil {
			t.Fatal(err)
		}
		m, err := graph.Bind(f)
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
