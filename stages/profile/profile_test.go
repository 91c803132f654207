package profile

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"tritflow/device"
	_ "tritflow/device/cpu"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
)

func TestCurve(t *testing.T) {
	c := Curve{Rows: []int{1, 4, 8}, Seconds: []float64{1, 4, 6}}
	for rows, want := range map[int]float64{0: 1, 1: 1, 2: 2, 4: 4, 6: 5, 8: 6, 10: 7} {
		if got := c.At(rows); got != want {
			t.Errorf("%d rows: %v, want %v", rows, got, want)
		}
	}
	p := Profile{Embed: 0.5, Block: c, Attend: 0.25, Head: Curve{Rows: []int{1}, Seconds: []float64{9}}}
	if got := p.Step(Work{Embed: true, Head: true, Blocks: 2, Rows: 4, Answers: 1, Context: 2}); got != 2+2*(4+2)+9 {
		t.Errorf("a step takes %v", got)
	}
	if got := p.Step(Work{Head: true, Rows: 4}); got != 0 {
		t.Errorf("a head that answers nothing takes %v", got)
	}
	if got := p.RowBudget(); got != 8 {
		t.Errorf("row budget %d", got)
	}
	flat := Profile{Block: Curve{Rows: []int{1, 16, 256}, Seconds: []float64{1, 10, 158}}}
	if got := flat.RowBudget(); got != 16 {
		t.Errorf("row budget %d where 16 rows are nearly as good as 256", got)
	}
}

// wishful is a device that wishes for many rows.
type wishful struct {
	device.Device
	rows int
}

func (w wishful) Info() device.Info {
	i := w.Device.Info()
	i.Rows = w.rows
	return i
}

// A device that wishes for many rows is measured with as many, as far as the model's context goes, so that steps of
// that size are not foretold from small ones.
func TestWishedRows(t *testing.T) {
	m, err := graph.Bind(gguftest.Open(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	devs, err := device.OpenList("cpu:1")
	if err != nil {
		t.Fatal(err)
	}
	defer devs[0].Close()
	for wish, most := range map[int]int{0: 256, 100: 256, 384: 384, 100000: m.Context} {
		s, err := Measure(t.Context(), m, []device.Device{wishful{devs[0], wish}}, "f16")
		if err != nil {
			t.Fatal(err)
		}
		c := s.Alone[0].Block
		if last := len(c.Rows) - 1; c.Rows[last] != most || len(c.Seconds) != len(c.Rows) || c.Seconds[last] < c.Seconds[last-1] {
			t.Errorf("wish of %d rows: %+v", wish, c)
		}
	}
}

// TestStore: what was measured is found again; another model, other devices or
// a damaged file are measured anew.
func TestStore(t *testing.T) {
	f := gguftest.Open(t, "")
	m, err := graph.Bind(f)
	if err != nil {
		t.Fatal(err)
	}
	store := Store{Dir: filepath.Join(t.TempDir(), "made", "on", "demand")}
	get := func(list, kv string) *Set {
		t.Helper()
		devs, err := device.OpenList(list)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Get(context.Background(), m, devs, kv)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range devs {
			if now := d.Ledger().Snapshot().Now; now["kv"] != 0 || now["mapped"] != 0 || now["weights"] != 0 {
				t.Errorf("measuring left %v", now)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		return s
	}
	files := func() []string {
		list, err := filepath.Glob(filepath.Join(store.Dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	first := get("cpu:1,cpu:1", "f16")
	if len(first.Alone) != 2 || len(first.Together) != 2 || first.Alone[0].Block.At(1) <= 0 || first.Together[1].Head.At(1) <= 0 {
		t.Errorf("%+v", first)
	}
	if again := get("cpu:1,cpu:1", "f16"); again.Alone[0].Embed != first.Alone[0].Embed || len(files()) != 1 {
		t.Errorf("measured again: %d files", len(files()))
	}
	path := files()[0]
	if err := os.WriteFile(path, []byte(`{"alone":[{},{}],"together":[{},{}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := get("cpu:1,cpu:1", "f16"); s.Alone[0].Block.At(1) <= 0 {
		t.Errorf("a damaged file was believed: %+v", s)
	}
	get("cpu:2", "f16")
	get("cpu:2", "q8_0")
	m.Blocks = m.Blocks[:3]
	get("cpu:2", "q8_0")
	if n := len(files()); n != 4 {
		t.Errorf("%d files for 4 different questions", n)
	}
	// A place that cannot be written costs only the measurement.
	store.Dir = filepath.Join(path, "below a file")
	devs, err := device.OpenList("cpu:1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Get(context.Background(), m, devs, "f16")
	if _, ok := err.(*StoreError); !ok || s == nil {
		t.Errorf("unwritable: %v, %v", s, err)
	}
	if err := devs[0].Close(); err != nil {
		t.Error(err)
	}
}
