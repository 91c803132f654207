package devtest

import (
	"context"
	"testing"

	"tritflow/device"
)

// imports: a model that is spread over two devices, in either order, gives the
// bits of one; so do activations that come from a device of another kind.
func (s *suite) imports(t *testing.T) {
	ctx := context.Background()
	ids := tokens(50, 25)
	m := OpenModel(t, Ternary)
	kv := pagesOf("f16")
	a, b := s.device(t), s.device(t)
	want := load(t, m, kv, a).prompt(t, ids)
	same(t, "two devices", want, load(t, m, kv, a, b).prompt(t, ids), 0)
	same(t, "there and back", want, load(t, m, kv, b, a, b).prompt(t, ids), 0)

	r := load(t, m, kv, b)
	batch := NewBatch(device.Output{Full: true}, Chunk{ID: 1, Pages: r.table(0), Tokens: ids})
	x, err := r.parts[0].Embed.Forward(ctx, batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.parts[1:] {
		away := export(t, x)
		if x, err = b.Import(ctx, away); err != nil {
			t.Fatal(err)
		}
		if away.released != 1 {
			t.Fatalf("imported activations were released %d times", away.released)
		}
		if p.Head == nil {
			if x, err = p.Blocks.Forward(ctx, batch, x, nil); err != nil {
				t.Fatal(err)
			}
			continue
		}
		l, err := p.Head.Forward(ctx, batch, x, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		for i := range want {
			sc, err := l.Row(i)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "through foreign memory", want[i:i+1], [][]float32{sc.Full}, 0)
		}
	}
}

// foreign is a Hidden of no device under test.
type foreign struct {
	rows, width int
	values      []float32
	released    int
}

// export takes activations out through the interface and releases them.
func export(t testing.TB, x device.Hidden) *foreign {
	t.Helper()
	defer x.Release()
	f := &foreign{}
	f.rows, f.width = x.Shape()
	f.values = make([]float32, f.rows*f.width)
	if err := x.Host(f.values); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *foreign) Host(dst []float32) error {
	copy(dst, f.values)
	return nil
}

func (f *foreign) Shape() (rows, hidden int) { return f.rows, f.width }

func (f *foreign) Release() {
	f.released++
	f.values = nil
}
