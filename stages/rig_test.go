package stages

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/stages/sample"
)

var errFake = errors.New("fake: failed as told")

// rig is a pipeline over fake devices.
type rig struct {
	core
	blocks   int
	hook     func(call) error // set before start; called by stages, device held
	handles  atomic.Int64     // activations and logits not yet released
	open     atomic.Int64     // devices and parts not yet closed
	loads    int
	failLoad int // number of the load that fails
	held     closers
}

type rigOptions struct {
	devices, blocks int // 0 = 1 and 3
	fuse            bool
	hook            func(call) error
	piece           func(id int32) string // nil: a letter a token
	eog             int32                 // 0 = none
	limits          func(*limits)
}

// plan spreads blocks evenly; embed goes with the first device, head with the last.
func (r *rig) loader(devices int, fuse bool, lim limits) *loader {
	l := &loader{
		model: &graph.Model{Vocab: fakeVocab}, plan: &graph.Plan{}, held: &r.held,
		kv: device.KV{Type: "f16", PageSize: lim.pageSize, Pages: lim.pages},
	}
	for i := range devices {
		d := &fakeDevice{rig: r, index: i, fuse: fuse}
		r.open.Add(1)
		r.held.add(d)
		l.devices = append(l.devices, d)
	}
	l.plan.Stages = append(l.plan.Stages, graph.Placement{Kind: graph.StageEmbed})
	for i := range r.blocks {
		l.model.Blocks = append(l.model.Blocks, graph.Block{Index: i})
		l.plan.Stages = append(l.plan.Stages, graph.Placement{Kind: graph.StageBlock, Block: i, Device: i * devices / r.blocks})
	}
	l.plan.Stages = append(l.plan.Stages, graph.Placement{Kind: graph.StageHead, Device: devices - 1})
	return l
}

type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func newRig(t failer, o rigOptions) *rig {
	t.Helper()
	r := &rig{blocks: max(o.blocks, 1), hook: o.hook}
	if o.blocks == 0 {
		r.blocks = 3
	}
	lim := limits{ctx: 64, pageSize: 4, maxSeqs: 4, queue: 64, chunk: 8, outputs: 64, tokens: 4}
	if o.limits != nil {
		o.limits(&lim)
	}
	if lim.pages == 0 {
		lim.pages = lim.maxSeqs * ceilDiv(lim.ctx, lim.pageSize)
	}
	l := r.loader(max(o.devices, 1), o.fuse, lim)
	specs, err := l.load(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if lim.waves == 0 {
		lim.waves = devicesOf(l.plan)
	}
	piece := o.piece
	if piece == nil {
		piece = func(id int32) string { return string(rune('a' + id%26)) }
	}
	r.core = core{
		language: language{
			ids: fakeVocab, stream: func() textStream { return fakeText(piece) },
			isEOG: func(id int32) bool { return o.eog != 0 && id == o.eog },
		},
		pipe: start([][]spec{specs}, sampleStage, lim, nil),
	}
	return r
}

// fakeText is a textStream that holds nothing back.
type fakeText func(int32) string

func (f fakeText) Push(id int32) string { return f(id) }
func (f fakeText) Flush() string        { return "" }

// finish ends the pipeline in order and checks that nothing is left.
func (r *rig) finish(t failer) {
	t.Helper()
	if err := r.pipe.shutdown(context.Background()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	r.check(t)
}

// check closes what was loaded after the pipeline has ended.
func (r *rig) check(t failer) {
	t.Helper()
	if err := r.held.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	st := r.pipe.stats()
	if r.handles.Load() != 0 || r.open.Load() != 0 {
		t.Errorf("%d handles and %d parts are left", r.handles.Load(), r.open.Load())
	}
	if r.pipe.reasonToRefuse() != nil && st.PagesUsed+st.Live+st.Waiting != 0 {
		t.Errorf("left in the scheduler: %+v", st)
	}
	for _, s := range st.Stages {
		if s.QueueMax > s.QueueCap {
			t.Errorf("%s: %d steps in a queue of %d", s.Name, s.QueueMax, s.QueueCap)
		}
	}
}

// rule is the fake network without any pipeline: it remembers what it was fed.
type rule [][]uint64

func (r *rig) rule() rule { return make(rule, r.blocks) }

func (k rule) feed(token int32) uint64 {
	h := mix(uint64(token), 0)
	for b := range k {
		k[b] = append(k[b], h)
		var sum uint64
		for pos, kept := range k[b] {
			sum = attend(sum, kept, pos)
		}
		h = mix(sum, uint64(b))
	}
	return h
}

// state is what the rule makes of the last of ids.
func (r *rig) state(ids []int32) (h uint64) {
	k := r.rule()
	for _, id := range ids {
		h = k.feed(id)
	}
	return h
}

// want is the answer of n tokens that the rule gives to a prompt.
func (r *rig) want(prompt []int32, p sample.Params, n int) []int32 {
	s, k := sample.New(p), r.rule()
	var h uint64
	for _, id := range prompt {
		if !p.AnswerOnly {
			s.Accept(id)
		}
		h = k.feed(id)
	}
	var out []int32
	for len(out) < n {
		c, err := s.Sample(device.Scores{Full: fakeLogits(h)}, -1)
		if err != nil {
			panic(err)
		}
		s.Accept(c.ID)
		out = append(out, c.ID)
		h = k.feed(c.ID)
	}
	return out
}

// read collects a stream.
func read(s *Stream) (ids []int32, text string, err error) {
	var b strings.Builder
	for t, terr := range s.Tokens() {
		if terr != nil {
			err = terr
			break
		}
		if t.ID != NoToken {
			ids = append(ids, t.ID)
		}
		b.WriteString(t.Text)
	}
	return ids, b.String(), err
}

// prompt makes n tokens that differ with seed.
func prompt(seed, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(mix(uint64(seed), uint64(i)) % fakeVocab)
	}
	return ids
}

func (r *rig) mustSubmit(t failer, ctx context.Context, q Request) *Stream {
	t.Helper()
	s, err := r.submit(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// within fails the test instead of letting it hang.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not happen", what)
	}
}

// eventually waits for a state that the scheduler reaches by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 20000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%s did not happen", what)
}
