package stages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tritflow/device"
	"tritflow/graph"
)

// The fake device computes a rule instead of a network: enough to tell whether
// every row met the right history, in the right order, on the right pages.

const fakeVocab = 32

// mix is the rule's hash (the finalizer of SplitMix64).
func mix(a, b uint64) uint64 {
	x := a + 0x9e3779b97f4a7c15*(b+1)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// attend combines a row with one earlier position.
func attend(sum, kept uint64, pos int) uint64 { return sum + mix(kept, uint64(pos)) }

func fakeLogits(h uint64) []float32 {
	row := make([]float32, fakeVocab)
	for i := range row {
		row[i] = float32(mix(h, uint64(i))%4096) / 512
	}
	return row
}

// call is one Forward of a fake part.
type call struct {
	dev   int
	kind  string // "embed", "block", "head"
	block int
	batch *device.Batch
}

// fakeDevice lives in a rig, whose hook sees every Forward while the device is held.
type fakeDevice struct {
	rig   *rig
	index int
	fuse  bool
	mu    sync.Mutex
}

type fakePart struct {
	dev    *fakeDevice
	blocks []graph.Block
	kv     device.KV
	pages  map[int][]uint64 // block -> [pages × size]
}

type fakeHidden struct {
	rig      *rig
	dev      int
	rows     []uint64
	released atomic.Bool
}

func (h *fakeHidden) Host(dst []float32) error { return errors.New("fake: no floats here") }
func (h *fakeHidden) Shape() (int, int)        { return len(h.rows), 1 }
func (h *fakeHidden) Release() {
	if h.released.Swap(true) {
		panic("fake: activations released twice")
	}
	h.rig.handles.Add(-1)
}

func (d *fakeDevice) hidden(n int) *fakeHidden {
	d.rig.handles.Add(1)
	return &fakeHidden{rig: d.rig, dev: d.index, rows: make([]uint64, n)}
}

func (d *fakeDevice) Info() device.Info {
	return device.Info{Name: fmt.Sprintf("fake:%d", d.index), Kind: "fake", Workers: 1, FuseBlocks: d.fuse, KVTypes: []string{"f16"}}
}

func (d *fakeDevice) Ledger() *device.Ledger { return &device.Ledger{} }

func (d *fakeDevice) Close() error {
	d.rig.open.Add(-1)
	return nil
}

func (d *fakeDevice) load(blocks []graph.Block, kv device.KV) (*fakePart, error) {
	if d.rig.loads++; d.rig.loads == d.rig.failLoad {
		return nil, errFake
	}
	d.rig.open.Add(1)
	p := &fakePart{dev: d, blocks: blocks, kv: kv, pages: map[int][]uint64{}}
	for _, b := range blocks {
		p.pages[b.Index] = make([]uint64, kv.Pages*kv.PageSize)
	}
	return p, nil
}

func (d *fakeDevice) LoadEmbed(context.Context, *graph.Embed) (device.Embed, error) {
	p, err := d.load(nil, device.KV{})
	return fakeEmbed{p}, err
}

func (d *fakeDevice) LoadBlocks(_ context.Context, b []graph.Block, kv device.KV) (device.Blocks, error) {
	p, err := d.load(b, kv)
	return fakeBlocks{p}, err
}

func (d *fakeDevice) LoadHead(context.Context, *graph.Head) (device.Head, error) {
	p, err := d.load(nil, device.KV{})
	return fakeHead{p}, err
}

func (d *fakeDevice) Import(_ context.Context, x device.Hidden) (device.Hidden, error) {
	h := x.(*fakeHidden)
	if h.dev == d.index {
		return h, nil
	}
	defer h.Release()
	moved := d.hidden(len(h.rows))
	copy(moved.rows, h.rows)
	return moved, nil
}

func (p *fakePart) Close() error {
	p.dev.rig.open.Add(-1)
	return nil
}

// enter holds the device, checks the batch and lets the rig's hook act.
func (p *fakePart) enter(kind string, block int, b *device.Batch, done device.Worked) (leave func(), err error) {
	d := p.dev
	d.mu.Lock()
	start := time.Now()
	leave = func() {
		d.mu.Unlock()
		done(start, time.Now())
	}
	if err := b.Check(); err != nil {
		return leave, err
	}
	defer func() {
		if v := recover(); v != nil {
			leave() // a panicking hook must not keep the device
			panic(v)
		}
	}()
	if hook := d.rig.hook; hook != nil {
		return leave, hook(call{d.index, kind, block, b})
	}
	return leave, nil
}

type (
	fakeEmbed  struct{ *fakePart }
	fakeBlocks struct{ *fakePart }
	fakeHead   struct{ *fakePart }
)

func (p fakeEmbed) Forward(_ context.Context, b *device.Batch, done device.Worked) (device.Hidden, error) {
	leave, err := p.enter("embed", 0, b, done)
	defer leave()
	if err != nil {
		return nil, err
	}
	h := p.dev.hidden(len(b.Rows))
	for i, r := range b.Rows {
		h.rows[i] = mix(uint64(r.Token), 0)
	}
	return h, nil
}

func (p fakeBlocks) Forward(_ context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Hidden, error) {
	in := x.(*fakeHidden)
	defer in.Release()
	if in.released.Load() || in.dev != p.dev.index {
		return nil, fmt.Errorf("fake: activations of device %d used on %d", in.dev, p.dev.index)
	}
	leave, err := p.enter("block", p.blocks[0].Index, b, done)
	defer leave()
	if err != nil {
		return nil, err
	}
	for i := range b.Seqs {
		if err := b.CheckPages(i, "fake", p.kv); err != nil {
			return nil, err
		}
	}
	out := p.dev.hidden(len(in.rows))
	copy(out.rows, in.rows)
	for _, block := range p.blocks {
		store := p.pages[block.Index]
		for i, r := range b.Rows {
			if b.Seqs[r.Seq].Err != nil {
				continue
			}
			slot := func(pos int) *uint64 {
				return &store[int(b.Seqs[r.Seq].Pages[pos/p.kv.PageSize])*p.kv.PageSize+pos%p.kv.PageSize]
			}
			*slot(int(r.Pos)) = out.rows[i]
			var sum uint64
			for pos := range int(r.Pos) + 1 {
				sum = attend(sum, *slot(pos), pos)
			}
			out.rows[i] = mix(sum, uint64(block.Index))
		}
	}
	return out, nil
}

type fakeAnswers struct {
	rig  *rig
	rows [][]float32
	b    *device.Batch
	gone bool
}

func (p fakeHead) Forward(_ context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Logits, error) {
	in := x.(*fakeHidden)
	defer in.Release()
	leave, err := p.enter("head", 0, b, done)
	defer leave()
	if err != nil {
		return nil, err
	}
	l := &fakeAnswers{rig: p.dev.rig, b: b}
	for _, o := range b.Outputs {
		l.rows = append(l.rows, fakeLogits(in.rows[o.Row]))
	}
	p.dev.rig.handles.Add(1)
	return l, nil
}

func (l *fakeAnswers) Row(i int) (device.Scores, error) {
	o := l.b.Outputs[i]
	if err := l.b.Seqs[l.b.Rows[o.Row].Seq].Err; err != nil {
		return device.Scores{}, err
	}
	if o.Full {
		return device.Scores{Full: l.rows[i]}, nil
	}
	var top []device.Candidate
	for id, v := range l.rows[i] {
		top = append(top, device.Candidate{ID: int32(id), Logit: v})
	}
	slices.SortStableFunc(top, func(a, b device.Candidate) int {
		if a.Logit > b.Logit {
			return -1
		} else if a.Logit < b.Logit {
			return 1
		}
		return 0
	})
	return device.Scores{Top: top[:o.TopK]}, nil
}

func (l *fakeAnswers) Release() {
	if l.gone {
		panic("fake: logits released twice")
	}
	l.gone = true
	l.rig.handles.Add(-1)
}
