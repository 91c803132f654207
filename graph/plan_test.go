package graph

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// toy is a model of which only sizes are real.
func toy(table uint64, head uint64, tied bool, blocks ...uint64) *Model {
	data := func(n uint64) *gguf.Tensor { return &gguf.Tensor{Data: make([]byte, n)} }
	m := &Model{Vocab: 10, Embed: Embed{Weight: data(table)}}
	for i, n := range blocks {
		m.Blocks = append(m.Blocks, Block{Index: i, KVHeads: 1, KeyDim: 2, ValueDim: 2, Q: Linear{Weight: data(n)}})
	}
	m.Head = Head{Norm: Norm{Weight: data(2)}, Out: Linear{Weight: data(head)}, Tied: tied}
	if tied {
		m.Head.Out.Weight = m.Embed.Weight
	}
	return m
}

func devices(speeds ...float64) []Capacity {
	var devs []Capacity
	for i, s := range speeds {
		devs = append(devs, Capacity{Name: string(rune('a' + i)), Speed: s})
	}
	return devs
}

// holds says in short what each device got.
func holds(p *Plan) []string {
	var out []string
	for _, part := range p.Parts() {
		out = append(out, part.Stages())
	}
	return out
}

func TestPlanTable(t *testing.T) {
	even := toy(10, 10, false, 10, 10, 10, 10)
	for _, c := range []struct {
		name  string
		model *Model
		devs  []Capacity
		split []int
		want  []string
	}{
		{"one device", even, devices(0), nil, []string{"embed, blocks 0-3, head"}},
		{"explicit", even, devices(1, 1), []int{1, 3}, []string{"embed, block 0", "blocks 1-3, head"}},
		{"explicit with none", even, devices(1, 1, 1), []int{0, 4, 0}, []string{"embed", "blocks 0-3", "head"}},
		{"the head counts", even, devices(1, 1), nil, []string{"embed, blocks 0-2", "block 3, head"}},
		{"twice as fast", even, devices(2, 1), nil, []string{"embed, blocks 0-3", "head"}},
		{"useless third", toy(10, 100, false, 10, 10), devices(1, 1, 1), nil, []string{"embed, blocks 0-1", "head", "nothing"}},
		{"a slow first", even, devices(0.001, 1), nil, []string{"nothing", "embed, blocks 0-3, head"}},
		{"blocks cost more than their weights", even, []Capacity{{Name: "a", Overhead: 20}, {Name: "b", Overhead: 20}}, nil,
			[]string{"embed, blocks 0-1", "blocks 2-3, head"}},
		{"times before speeds", even, []Capacity{
			{Name: "a", Speed: 9, Times: &Times{Embed: 1, Block: 3, Head: 50}}, {Name: "b", Speed: 1, Times: &Times{Embed: 5, Block: 1, Head: 2}},
		}, nil, []string{"embed, block 0", "blocks 1-3, head"}},
		{"memory before balance", even, []Capacity{{Name: "a", Bytes: 20}, {Name: "b"}}, nil,
			[]string{"embed, block 0", "blocks 1-3, head"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := MakePlan(c.model, c.devs, c.split, KVShape{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, holds(p)); d != "" {
				t.Error(d)
			}
			if len(p.Stages) != len(c.model.Blocks)+2 {
				t.Errorf("%d stages", len(p.Stages))
			}
		})
	}
}

func TestPlanCountsTiedTableOnce(t *testing.T) {
	m := toy(100, 0, true, 10, 10)
	together, err := MakePlan(m, []Capacity{{Name: "a", Bytes: 122}}, nil, KVShape{})
	if err != nil {
		t.Fatal(err)
	}
	part := together.Parts()[0]
	if part.WeightBytes != 122 || part.ReadBytes != 10+20+102 {
		t.Errorf("one device: %d bytes, %d read", part.WeightBytes, part.ReadBytes)
	}
	apart, err := MakePlan(m, devices(1, 1), []int{1, 1}, KVShape{})
	if err != nil {
		t.Fatal(err)
	}
	if parts := apart.Parts(); parts[0].WeightBytes != 110 || parts[1].WeightBytes != 112 {
		t.Errorf("two devices: %d and %d bytes", parts[0].WeightBytes, parts[1].WeightBytes)
	}
}

func TestSplitErrors(t *testing.T) {
	m := toy(10, 10, false, 10, 10, 10)
	for _, split := range [][]int{{}, {3}, {1, 1}, {2, 2}, {4, -1}, {-1, 4}, {1, 1, 1}, {math.MaxInt, 1}} {
		_, err := MakePlan(m, devices(1, 1), split, KVShape{})
		var e *SplitError
		if !errors.As(err, &e) {
			t.Errorf("%v: got %v, want a *SplitError", split, err)
			continue
		}
		if !slices.Equal(e.Split, split) || e.Devices != 2 || e.Blocks != 3 || !strings.Contains(err.Error(), "adding up to 3 blocks") && !strings.Contains(err.Error(), "add up to 3 blocks") {
			t.Errorf("%v: %v", split, err)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	m := toy(10, 10, false, 10)
	for _, c := range []struct {
		devs []Capacity
		kv   KVShape
	}{
		{nil, KVShape{}},
		{devices(-1), KVShape{}},
		{devices(math.NaN()), KVShape{}},
		{devices(math.Inf(1)), KVShape{}},
		{devices(1), KVShape{BytesPerElement: math.NaN(), Positions: 1}},
		{devices(1), KVShape{BytesPerElement: 2, Positions: -1}},
		{devices(1), KVShape{BytesPerElement: 8, Positions: math.MaxInt}},
	} {
		_, err := MakePlan(m, c.devs, nil, c.kv)
		var e *PlanError
		if !errors.As(err, &e) {
			t.Errorf("%v %v: got %v, want a *PlanError", c.devs, c.kv, err)
		}
	}
}

func TestMemoryErrors(t *testing.T) {
	m := toy(10, 10, false, 10, 10, 10) // every block 4 elements a position
	kv := KVShape{BytesPerElement: 2, Positions: 5}
	limited := []Capacity{{Name: "a", Bytes: 70}, {Name: "b", Bytes: 60}}
	for _, c := range []struct {
		split []int
		want  MemoryError
	}{
		{[]int{1, 2}, MemoryError{Device: "b", Index: 1, Part: "blocks 1-2, head", Needed: 112, Available: 60, Weights: 32, KV: 80}},
		{[]int{2, 1}, MemoryError{Device: "a", Part: "embed, blocks 0-1", Needed: 110, Available: 70, Weights: 30, KV: 80}},
		{nil, MemoryError{Device: "b", Index: 1, Part: "blocks 1-2, head", Needed: 112, Available: 60, Weights: 32, KV: 80, Filled: true}},
	} {
		_, err := MakePlan(m, limited, c.split, kv)
		var e *MemoryError
		if !errors.As(err, &e) {
			t.Fatalf("%v: got %v, want a *MemoryError", c.split, err)
		}
		if d := cmp.Diff(c.want, *e); d != "" {
			t.Error(d)
		}
		for _, part := range []string{e.Device, e.Part, "112 B", "60 B", "--ctx"} {
			if c.want.Needed == 112 && !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	}
	limited[1].Bytes = 112
	if _, err := MakePlan(m, limited, nil, kv); err != nil {
		t.Errorf("a plan that just fits: %v", err)
	}
}

// bruteForce tries every contiguous split.
func bruteForce(l *costs, d, begin int) float64 {
	stages := len(l.stages)
	if d == len(l.devs) {
		if begin == stages {
			return 0
		}
		return math.Inf(1)
	}
	best := math.Inf(1)
	for end := begin; end <= stages; end++ {
		if l.fits(d, begin, end) {
			best = min(best, max(l.load(d, begin, end), bruteForce(l, d+1, end)))
		}
	}
	return best
}

func TestPlanIsOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := rapid.Uint64Range(0, 60)
		m := toy(bytes.Draw(t, "table"), bytes.Draw(t, "head"), rapid.Bool().Draw(t, "tied"),
			rapid.SliceOfN(bytes, 1, 6).Draw(t, "blocks")...)
		devs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Capacity {
			c := Capacity{Speed: rapid.Float64Range(0.1, 4).Draw(t, "speed")}
			if rapid.Bool().Draw(t, "limited") {
				c.Bytes = rapid.Uint64Range(1, 250).Draw(t, "bytes")
			}
			return c
		}), 1, 4).Draw(t, "devices")
		kv := KVShape{BytesPerElement: rapid.Float64Range(0, 4).Draw(t, "kv"), Positions: rapid.IntRange(0, 4).Draw(t, "positions")}

		l, err := newCosts(m, devs, kv)
		if err != nil {
			t.Fatal(err)
		}
		want := bruteForce(l, 0, 0)
		p, err := MakePlan(m, devs, nil, kv)
		if math.IsInf(want, 1) {
			var e *MemoryError
			if !errors.As(err, &e) || e.Needed <= e.Available {
				t.Fatalf("no split fits, got %v", err)
			}
			return
		}
		if err != nil {
			t.Fatalf("a split fits, got %v", err)
		}
		checkPlan(t, m, p)
		got := 0.0
		for _, part := range p.Parts() {
			got = max(got, part.Load)
		}
		if got != want {
			t.Fatalf("slowest part takes %v, best is %v", got, want)
		}
	})
}

// checkPlan: every stage once, in order, on devices in order, within limits.
func checkPlan(t *rapid.T, m *Model, p *Plan) {
	device := 0
	for i, s := range p.Stages {
		kind, block := StageBlock, i-1
		switch i {
		case 0:
			kind, block = StageEmbed, 0
		case len(m.Blocks) + 1:
			kind, block = StageHead, 0
		}
		if s.Kind != kind || s.Block != block || s.Device < device {
			t.Fatalf("stage %d is %+v", i, s)
		}
		device = s.Device
	}
	for d, part := range p.Parts() {
		if limit := p.Devices[d].Bytes; limit > 0 && part.WeightBytes+part.KVBytes > limit {
			t.Fatalf("device %d holds %d + %d bytes of %d", d, part.WeightBytes, part.KVBytes, limit)
		}
	}
}

func TestExplicitSplitIsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		split := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 5).Draw(t, "split")
		blocks := make([]uint64, 0)
		for _, n := range split {
			blocks = append(blocks, make([]uint64, n)...)
		}
		m := toy(1, 1, false, blocks...)
		p, err := MakePlan(m, make([]Capacity, len(split)), split, KVShape{})
		if err != nil {
			t.Fatal(err)
		}
		checkPlan(t, m, p)
		for d, part := range p.Parts() {
			if part.Hi-part.Lo != split[d] || part.Embed != (d == 0) || part.Head != (d == len(split)-1) {
				t.Fatalf("device %d of %v got %s", d, split, part.Stages())
			}
		}
	})
}

func TestPlanOfRealModel(t *testing.T) {
	f := gguftest.Open(t, "testdata/tiny-i2_s-seed1.gguf")
	m := bind(t, f)
	p, err := MakePlan(m, devices(1, 1), nil, KVShape{BytesPerElement: 2, Positions: 100})
	if err != nil {
		t.Fatal(err)
	}
	var weights, kv uint64
	for _, part := range p.Parts() {
		weights += part.WeightBytes
		kv += part.KVBytes
	}
	var tensors uint64
	for _, x := range f.Tensors() {
		tensors += uint64(len(x.Data))
	}
	if table := m.Embed.WeightBytes(); weights != tensors+table { // the tied table is on both devices
		t.Errorf("planned %d bytes, the file has %d and its table %d", weights, tensors, table)
	}
	if want := uint64(3 * 100 * 2 * 2 * 128); kv != want {
		t.Errorf("planned %d bytes of KV, want %d", kv, want)
	}
}

func TestPlanForPeopleAndPrograms(t *testing.T) {
	m := toy(2048, 2048, false, 1024, 1024, 1024, 1024)
	devs := []Capacity{{Name: "cpu:0", Bytes: 1 << 20, Speed: 1}, {Name: `odd "name"`, Speed: 2}}
	p, err := MakePlan(m, devs, []int{1, 3}, KVShape{BytesPerElement: 2, Positions: 128})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.txt", p.String())
	var dot strings.Builder
	if err := p.WriteDot(&dot); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.dot", dot.String())
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", string(text)+"\n")

	broken := errors.New("disk full")
	if err := p.WriteDot(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func golden(t *testing.T, name, got string) {
	t.Helper()
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: %s", name, d)
	}
}
