package bench

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

var machine = Machine{
	ReadGBps: []float64{10, 16}, Int8TOPS: []float64{0.5, 1},
	Devices: []DeviceRoof{{Name: "slab:0", ReadGBps: 40, Int8TOPS: 8}, {Name: "broken:0"}},
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9*math.Abs(want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestWorkTakesTheLongerOfBoth(t *testing.T) {
	for _, c := range []struct {
		w        work
		hardware string
		threads  int
		want     float64
	}{
		{work{bytes: 20e9}, "", 1, 2},
		{work{bytes: 20e9}, "", 2, 1.25},
		{work{bytes: 20e9, ops: 1e12}, "", 1, 2},
		{work{bytes: 20e9, ops: 1.5e12}, "", 1, 3},
		{work{bytes: 20e9, ops: 1.5e12}, "", 2, 1.5},
		{work{bytes: 20e9, ops: 1.5e12}, "slab:0", 0, 0.5},
		{work{bytes: 20e9, ops: 8e12}, "slab:0", 2, 1},
	} {
		got, ok := c.w.seconds(&machine, c.hardware, c.threads)
		if !ok {
			t.Fatalf("%v on %q with %d threads: no limit", c.w, c.hardware, c.threads)
		}
		near(t, "time", got, c.want)
	}
	for _, threads := range []int{0, 3} {
		if _, ok := (work{bytes: 1}).seconds(&machine, "", threads); ok {
			t.Errorf("a limit for %d threads, which were not measured", threads)
		}
	}
	for _, hardware := range []string{"slab:1", "broken:0"} {
		if _, ok := (work{bytes: 1}).seconds(&machine, hardware, 1); ok {
			t.Errorf("a limit for %s, which was not measured", hardware)
		}
	}
}

// shape is a device of which only the description is asked.
type shape struct {
	device.Device
	workers int
}

func (s shape) Info() device.Info { return device.Info{Name: "cpu:0", Kind: "cpu", Workers: s.workers} }

// board is one that is not a processor and keeps matrices in two thirds of the file's bytes.
type board struct {
	device.Device
	hardware string
}

func (b board) Info() device.Info                         { return device.Info{Kind: "slab", Name: "some name"} }
func (b board) Hardware() string                          { return b.hardware }
func (b board) Roof(context.Context) (device.Roof, error) { return device.Roof{}, nil }
func (b board) ReadBytes(l device.Layer) (uint64, error) {
	if l.In == 0 || l.Out == 0 {
		return 0, errors.New("a layer without a shape")
	}
	return uint64(len(l.Weight.Data)) * 2 / 3, nil
}

// twoBlocks is a network of two ternary blocks: bytes and products that can be
// counted by hand.
func twoBlocks() *graph.Model {
	tensor := func(typ gguf.Type, bytes int) *gguf.Tensor {
		return &gguf.Tensor{Type: typ, Data: make([]byte, bytes)}
	}
	linear := func() graph.Linear {
		return graph.Linear{Weight: tensor(gguf.TypeI2_S, 1000), In: 40, Out: 100}
	}
	m := &graph.Model{Vocab: 10, Hidden: 40, Embed: graph.Embed{Weight: tensor(gguf.TypeF16, 800), Hidden: 40, Vocab: 10}}
	for i := range 2 {
		m.Blocks = append(m.Blocks, graph.Block{
			Index: i, KVHeads: 2, KeyDim: 8, ValueDim: 8,
			AttnNorm: graph.Norm{Weight: tensor(gguf.TypeF32, 160)}, FFNNorm: graph.Norm{Weight: tensor(gguf.TypeF32, 160)},
			Q: linear(), K: linear(), V: linear(), O: linear(), Gate: linear(), Up: linear(), Down: linear(),
		})
	}
	m.Head = graph.Head{Norm: graph.Norm{Weight: tensor(gguf.TypeF32, 160)}, Tied: true, Vocab: 10,
		Out: graph.Linear{Weight: m.Embed.Weight, In: 40, Out: 10}}
	return m
}

// costsOf plans the model on devices of so many workers, a block each.
func costsOf(t *testing.T, kv string, workers ...int) *costs {
	t.Helper()
	var devs []device.Device
	for _, w := range workers {
		devs = append(devs, shape{workers: w})
	}
	return costsOn(t, kv, devs...)
}

func costsOn(t *testing.T, kv string, devs ...device.Device) *costs {
	t.Helper()
	m := twoBlocks()
	caps := make([]graph.Capacity, len(devs))
	var split []int
	for range devs {
		split = append(split, len(m.Blocks)/len(devs))
	}
	p, err := graph.MakePlan(m, caps, split, graph.KVShape{BytesPerElement: 2, Positions: 32})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCosts(m, p, devs, kv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCostsOfAStep(t *testing.T) {
	const (
		row    = 80                   // of the table
		blocks = 2 * (7*1000 + 2*160) // matrices and norms
		head   = 800 + 160            // the table again, and the norm
		kv     = 2 * 2 * (8 + 8) * 2  // two blocks, two heads, keys and values, half precision
		ops    = 2 * 2 * 7 * 40 * 100 // two blocks, a product is two operations
	)
	for _, workers := range [][]int{{2}, {1, 1}} {
		c := costsOf(t, "f16", workers...)
		if got := c.threads(); got != 2 {
			t.Errorf("%d threads, want 2", got)
		}
		got := c.total(step{rows: 3, answers: 3, positions: 100})
		want := work{bytes: 3*row + blocks + head + 100*kv, ops: 3 * ops}
		if got != want {
			t.Errorf("on %v: %v, want %v", workers, got, want)
		}
		if got := c.total(step{rows: 1}); got.bytes != row+blocks {
			t.Errorf("on %v: without an answer %v bytes, want %v", workers, got.bytes, row+blocks)
		}
	}
	if got := costsOf(t, "f32", 1).total(step{positions: 1}).bytes; got != blocks+2*kv {
		t.Errorf("with a cache of f32 %v bytes, want %v", got, blocks+2*kv)
	}
	m := twoBlocks()
	if _, err := newCosts(m, &graph.Plan{}, nil, "q3"); err == nil {
		t.Error("a cache of unknown size was accepted")
	}
}

// TestOneSequencePassesDevicesInTurn: alone it has the threads of one device
// at a time, in company all of them.
func TestOneSequencePassesDevicesInTurn(t *testing.T) {
	s := step{rows: 1, answers: 1}
	c := costsOf(t, "f16", 1, 1)
	alone, ok1 := c.seconds(&machine, s, true)
	company, ok2 := c.seconds(&machine, s, false)
	if !ok1 || !ok2 {
		t.Fatal("no limit")
	}
	bytes := c.total(s).bytes
	near(t, "the time of one sequence", alone, bytes/10e9)
	near(t, "the time of several", company, bytes/16e9)
}

// TestOtherDevices: each has limits and bytes of its own; alone a sequence waits for one
// after the other, several for the slowest; what shares hardware shares its limits.
func TestOtherDevices(t *testing.T) {
	const (
		row   = 80
		block = 7*1000 + 2*160 // of the file
		held  = 7*666 + 2*160  // of a board
		kv    = 2 * (8 + 8) * 2
		first = row + block + 100*kv // bytes on the first device, which has the embedding
		last  = 533 + 160            // of the head, on a board
	)
	one := step{rows: 1, answers: 1, positions: 100}
	cpu := shape{workers: 2}
	for _, c := range []struct {
		name           string
		devs           []device.Device
		alone, company float64
	}{
		{"one", []device.Device{board{hardware: "slab:0"}}, (row + 2*held + 200*kv + last) / 40e9, (row + 2*held + 200*kv + last) / 40e9},
		{"with a processor", []device.Device{cpu, board{hardware: "slab:0"}}, first/16e9 + (held+100*kv+last)/40e9, first / 16e9},
		{"sharing", []device.Device{board{hardware: "slab:0"}, board{hardware: "slab:0"}}, (row + 2*held + 200*kv + last) / 40e9, (row + 2*held + 200*kv + last) / 40e9},
	} {
		costs := costsOn(t, "f16", c.devs...)
		alone, ok1 := costs.seconds(&machine, one, true)
		company, ok2 := costs.seconds(&machine, one, false)
		if !ok1 || !ok2 {
			t.Fatalf("%s: no limit", c.name)
		}
		near(t, c.name+", alone", alone, c.alone)
		near(t, c.name+", several", company, c.company)
	}
	costs := costsOn(t, "f16", cpu, board{hardware: "slab:1"})
	for _, alone := range []bool{true, false} {
		if _, ok := costs.seconds(&machine, one, alone); ok {
			t.Error("a limit with a device that was not measured")
		}
	}
	if n := costs.threads(); n != 2 {
		t.Errorf("%d threads", n)
	}
}

func TestLimitOfAResult(t *testing.T) {
	c := costsOf(t, "f16", 2)
	s := step{rows: 4, answers: 4, positions: 400}
	r := Result{Name: "batch", TokS: Spread{Median: 1e6}}
	r.limit(&machine, c, s, 4)
	want := 4 / (c.total(s).bytes / 16e9)
	near(t, "the limit", float64(r.Limit), want)
	near(t, "the fraction", float64(r.Fraction), 1e6/want)

	r.limit(&Machine{}, c, s, 4)
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	text := `{"name":"batch","threads":0,"n":0,"context":0,"tok_s":{"min":0,"median":1000000,"max":0},"limit_tok_s":null,"fraction":null}`
	if diff := cmp.Diff(text, string(got)); diff != "" {
		t.Errorf("what is not known (-want +got):\n%s", diff)
	}
}

func TestCountedHead(t *testing.T) {
	c := costsOf(t, "f16", 1, 1)
	s := step{rows: 1, answers: 1}
	before := device.Screening{Bytes: 500, Screened: 3, Rescored: 40, Full: 2}
	if got := c.withHead(before, before, 1).total(s); got != c.total(s) {
		t.Errorf("without a count %v, want %v", got, c.total(s))
	}
	// Three quarters of the answers came from the copy, with 5 exact rows each.
	after := device.Screening{Bytes: 500, Screened: 6, Rescored: 55, Full: 3}
	counted := c.withHead(before, after, 2)
	got := counted.total(s)
	near(t, "bytes with a counted head", got.bytes, c.total(s).bytes-960+0.75*(500+2*5*80)+0.25*960)
	// Each of those was multiplied with all ten rows of the copy, 40 values each.
	near(t, "operations with a counted head", got.ops, c.total(s).ops+0.75*2*10*40)
	s = step{rows: 8, answers: 8}
	near(t, "operations of eight", counted.total(s).ops, 8*(2*2*7*40*100+0.75*2*10*40))
	near(t, "operations of a prompt", counted.total(step{rows: 8, answers: 1}).ops, 8*2*2*7*40*100+0.75*2*10*40)
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		samples []float64
		want    Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{4, 1}, Spread{1, 2.5, 4}},
		{[]float64{9, 1, 5}, Spread{1, 5, 9}},
	} {
		if got := spread(c.samples); got != c.want {
			t.Errorf("%v: %v, want %v", c.samples, got, c.want)
		}
	}
}

func TestSpeeds(t *testing.T) {
	zero := time.Unix(0, 0)
	// every sequence has a token each period, the later ones begin later
	sequences := func(n, tokens int, period time.Duration) (all []arrivals) {
		for i := range n {
			var a arrivals
			for k := range tokens {
				a = append(a, zero.Add(time.Duration(k+i)*period+time.Duration(i)))
			}
			all = append(all, a)
		}
		return all
	}
	for _, n := range []int{1, 2, 7} {
		got, middle := speeds(sequences(n, 60, 10*time.Millisecond))
		if len(got) == 0 || len(got) > mostRepeats {
			t.Fatalf("%d sequences: %d samples", n, len(got))
		}
		for _, s := range got {
			if math.Abs(s-100*float64(n)) > 1 {
				t.Errorf("%d sequences: %v tok/s, want %d", n, s, 100*n)
			}
		}
		if middle < 20 || middle > 40 {
			t.Errorf("%d sequences: the middle of 60 tokens is %v", n, middle)
		}
	}
	if got, _ := speeds(sequences(2, warmTokens, time.Second)); got != nil {
		t.Errorf("speeds %v from sequences that only warmed up", got)
	}
	if got, _ := speeds(sequences(1, warmTokens+1, time.Second)); len(got) != 1 {
		t.Errorf("%d samples from one interval", len(got))
	}
}
