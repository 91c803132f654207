package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

// simulated is a device that computes nothing and takes the time that it is
// told, by the clock of a synctest bubble. What it waits with is channels, so
// that the clock goes on.
type simulated struct {
	name   string
	speed  float64       // 1: as below
	step   time.Duration // a block, however many rows
	row    time.Duration // more for each row
	link   time.Duration // for a Step that comes from another device
	memory uint64
	fail   func(calls int) error // nil: never
	turn   chan struct{}
	ledger device.Ledger
	calls  int
	busy   time.Duration
}

func newSimulated(name string, speed float64) *simulated {
	return &simulated{name: name, speed: speed, step: time.Millisecond, row: 100 * time.Microsecond, turn: make(chan struct{}, 1)}
}

func (d *simulated) Info() device.Info {
	return device.Info{Name: d.name, Kind: "simulated", Memory: d.memory, FuseBlocks: true, KVTypes: []string{"f16"}}
}
func (d *simulated) Ledger() *device.Ledger { return &d.ledger }
func (d *simulated) Close() error           { return nil }

// block is what a block takes.
func (d *simulated) block(rows int) time.Duration {
	return time.Duration(float64(d.step+time.Duration(rows)*d.row) / d.speed)
}

// work holds the device for a time.
func (d *simulated) work(ctx context.Context, took time.Duration, done device.Worked) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-d.turn }()
	d.calls++
	if d.fail != nil {
		if err := d.fail(d.calls); err != nil {
			return err
		}
	}
	start := time.Now()
	time.Sleep(took)
	d.busy += took
	done(start, time.Now())
	return nil
}

type simulatedPart struct {
	d      *simulated
	blocks int
}

type simulatedHidden struct {
	d    *simulated
	rows int
}

func (h *simulatedHidden) Host([]float32) error { return errors.New("simulated: no floats here") }
func (h *simulatedHidden) Shape() (int, int)    { return h.rows, 1 }
func (h *simulatedHidden) Release()             {}

func (d *simulated) LoadEmbed(context.Context, *graph.Embed) (device.Embed, error) {
	return simulatedEmbed{simulatedPart{d, 0}}, nil
}

func (d *simulated) LoadBlocks(_ context.Context, b []graph.Block, _ device.KV) (device.Blocks, error) {
	return simulatedBlocks{simulatedPart{d, len(b)}}, nil
}

func (d *simulated) LoadHead(context.Context, *graph.Head) (device.Head, error) {
	return simulatedHead{simulatedPart{d, 0}}, nil
}

func (d *simulated) Import(ctx context.Context, x device.Hidden) (device.Hidden, error) {
	h := x.(*simulatedHidden)
	if h.d != d {
		if d.link > 0 {
			time.Sleep(d.link)
		}
		h = &simulatedHidden{d, h.rows}
	}
	return h, nil
}

func (p simulatedPart) Close() error { return nil }

type (
	simulatedEmbed  struct{ simulatedPart }
	simulatedBlocks struct{ simulatedPart }
	simulatedHead   struct{ simulatedPart }
)

func (p simulatedEmbed) Forward(_ context.Context, b *device.Batch, done device.Worked) (device.Hidden, error) {
	done(time.Now(), time.Now())
	return &simulatedHidden{p.d, len(b.Rows)}, nil
}

func (p simulatedBlocks) Forward(ctx context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Hidden, error) {
	return x, p.d.work(ctx, time.Duration(p.blocks)*p.d.block(len(b.Rows)), done)
}

func (p simulatedHead) Forward(_ context.Context, b *device.Batch, _ device.Hidden, done device.Worked) (device.Logits, error) {
	done(time.Now(), time.Now())
	return simulatedLogits{}, nil
}

type simulatedLogits struct{}

func (simulatedLogits) Row(int) (device.Scores, error) {
	return device.Scores{Top: []device.Candidate{{ID: 1, Logit: 1}}}, nil
}
func (simulatedLogits) Release() {}

// simulation is a pipeline over such devices.
type simulation struct {
	core
	devs []*simulated
}

// simulate starts one; split counts the blocks of each device. Call it in a bubble.
func simulate(t failer, devs []*simulated, split []int, adjust func(*limits)) *simulation {
	t.Helper()
	m := &graph.Model{Vocab: fakeVocab}
	p := &graph.Plan{Stages: []graph.Placement{{Kind: graph.StageEmbed}}}
	var list []device.Device
	for i, n := range split {
		list = append(list, devs[i])
		for range n {
			p.Stages = append(p.Stages, graph.Placement{Kind: graph.StageBlock, Block: len(m.Blocks), Device: i})
			m.Blocks = append(m.Blocks, graph.Block{Index: len(m.Blocks)})
		}
	}
	p.Stages = append(p.Stages, graph.Placement{Kind: graph.StageHead, Device: len(split) - 1})
	var held closers
	lim := limits{ctx: 4096, pageSize: 32, maxSeqs: 256, queue: 1024, chunk: 256, outputs: 64, tokens: 4096, waves: devicesOf(p), share: true}
	if adjust != nil {
		adjust(&lim)
	}
	if lim.pages == 0 {
		lim.pages = lim.maxSeqs * lim.ctx / lim.pageSize
	}
	l := loader{model: m, plan: p, devices: list, kv: device.KV{Type: "f16", PageSize: lim.pageSize, Pages: lim.pages}, held: &held}
	specs, err := l.load(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &simulation{devs: devs, core: core{
		language: language{
			ids: fakeVocab, isEOG: func(int32) bool { return false },
			stream: func() textStream { return fakeText(func(int32) string { return "x" }) },
		},
		pipe: start([][]spec{specs}, sampleStage, lim, nil),
	}}
}

// answer runs requests of one token and n to draw and returns the tokens a second.
func (s *simulation) answer(t failer, requests, n int) float64 {
	t.Helper()
	begin := time.Now()
	var group errgroup.Group
	for i := range requests {
		st, err := s.submit(context.Background(), Request{Tokens: []int32{int32(i % fakeVocab)}, MaxTokens: n})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(st.Err)
	}
	if err := group.Wait(); err != nil {
		t.Errorf("a request: %v", err)
	}
	took := time.Since(begin)
	if err := s.pipe.shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	return float64(requests*n) / took.Seconds()
}

func equalDevices(n int) []*simulated {
	devs := make([]*simulated, n)
	for i := range devs {
		devs[i] = newSimulated(fmt.Sprintf("sim:%d", i), 1)
	}
	return devs
}

func ones(n int) []int {
	split := make([]int, n)
	for i := range split {
		split[i] = 1
	}
	return split
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sizedBlock is a block with weights, so that a planner has bytes to count.
func sizedBlock(i int) graph.Block {
	return graph.Block{Index: i, KVHeads: 1, KeyDim: 2, ValueDim: 2, Q: graph.Linear{Weight: &gguf.Tensor{Data: make([]byte, 100)}}}
}
