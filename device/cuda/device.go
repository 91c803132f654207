//go:build cuda

package cuda

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// gpu is one CUDA device: a context, a stream in which all its work stands, and what is
// loaded on it. Parts do their jobs in the order of the queue; a Forward returns as soon as its
// work is in the stream, but for the head's, which has to bring numbers back.
type gpu struct {
	info   device.Info
	props  *driver.Properties
	ledger device.Ledger
	queue  *queue
	pool   buffers
	fault  atomic.Pointer[error] // why nothing works any more

	mu     sync.Mutex
	closed bool
	parts  map[part]struct{}

	// Used on the queue alone.
	ctx        *driver.Context
	stream     driver.Stream
	kern       *kernelSet
	shared     map[tensorKey]*tensor // tables that two parts use
	steps      steps
	cuts       map[int]*cuts // by rows
	pending    []*interval
	waited     waited
	events     []driver.Event
	scratch    arena
	angles     []*angles
	reached    map[int]bool // GPUs whose memory this one can use
	staging    staging
	packing    arena // trits on their way into tiles, while blocks are loaded
	answers    *driver.HostBuffer
	early      *early // a step that nobody has asked for yet
	begun      uint64 // steps before they were asked for, ...
	asked      uint64 // ... and those of them that were
	screenMode string // guarded by mu
	screened   counters
	moved      int // grows when memory that captured graphs know has moved
	mates      *atomic.Int32
}

// part is something loaded; free gives back what it holds, on the queue.
type part interface{ free() }

var _ device.Device = (*gpu)(nil)

// NewDevice opens the GPU that p describes, under a name.
func NewDevice(name string, p *driver.Properties) (device.Device, error) {
	g := &gpu{
		props:      p,
		parts:      map[part]struct{}{},
		shared:     map[tensorKey]*tensor{},
		reached:    map[int]bool{},
		cuts:       map[int]*cuts{},
		screenMode: device.ScreenAuto,
		info: device.Info{
			Name: name, Kind: kind, Model: p.Name, Tier: fmt.Sprintf("sm_%d", p.Capability()),
			Memory: uint64(p.Memory), Pool: fmt.Sprintf("the memory of GPU %d", p.Ordinal), BlockCost: blockCost, FuseBlocks: true, Ahead: true, Rows: stepRows, KVTypes: kvTypes(),
			Features: features(p), Driver: driverBytes,
		},
	}
	g.queue = newQueue(name, g.rest)
	g.scratch, g.packing = arena{g: g, what: "scratch"}, arena{g: g, what: "weights on their way", weights: true}
	if err := g.queue.do(g.start); err != nil {
		g.queue.close()
		return nil, err
	}
	return g, nil
}

// blockCost is what a block costs besides its weights, in bytes read: some seven kernels
// that follow one another.
const blockCost = 24 << 20

// driverBytes is what the driver takes of the host's memory for contexts and code: 210 MB were
// measured with driver 580.
const driverBytes = 256 << 20

// stepRows is how many rows of prompts keep the tensor cores busy.
const stepRows = 2048

func features(p *driver.Properties) []string {
	f := []string{fmt.Sprintf("%d SMs", p.SMs)}
	if p.Capability() >= 80 {
		f = append(f, "int8 mma")
	}
	if p.Capability() >= 90 {
		f = append(f, "dependent launch")
	}
	return f
}

// start makes context, stream and kernels, on the queue.
func (g *gpu) start() (err error) {
	if g.ctx, err = driver.Retain(g.props.Ordinal); err != nil {
		return unavailable(g.info.Name, err)
	}
	g.queue.current = func() error { return g.fail("making its context current", g.ctx.MakeCurrent()) }
	defer func() {
		if err != nil {
			err = errors.Join(err, g.ctx.Release())
		}
	}()
	if g.stream, err = g.ctx.NewStream(0); err != nil {
		return unavailable(g.info.Name, err)
	}
	if g.kern, err = loadKernels(g.ctx, g.props); err != nil {
		return errors.Join(unavailable(g.info.Name, err), g.stream.Destroy())
	}
	g.mates = matesOn(g.props.Ordinal)
	g.mates.Add(1)
	if free, _, err := g.ctx.MemInfo(); err == nil {
		g.info.Memory = uint64(free)
	}
	return nil
}

// Info describes the GPU. Memory is what was free when it was opened.
func (g *gpu) Info() device.Info { return g.info }

// Ledger counts device memory: weights, KV pages, activations and scratch.
func (g *gpu) Ledger() *device.Ledger { return &g.ledger }

// ready says why a part cannot be called, if it cannot.
func (g *gpu) ready(ctx context.Context, p part) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cuda: forward on %s: %w", g.info.Name, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.parts[p]; !ok || g.closed {
		return fmt.Errorf("cuda: part on %s: %w", g.info.Name, device.ErrClosed)
	}
	if f := g.fault.Load(); f != nil {
		return *f
	}
	return nil
}

// load runs fn on the queue. What fn took is given back when it fails; otherwise the part
// belongs to the device until it is closed.
func load[P part](ctx context.Context, g *gpu, what string, p P, fn func(P) error) (P, error) {
	var none P
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("cuda: loading %s: %w", what, err)
	}
	if f := g.fault.Load(); f != nil {
		return none, *f
	}
	err := g.queue.do(func() error {
		err := fn(p)
		if g.packing.m != nil {
			err = errors.Join(err, g.fail("loading", g.stream.Synchronize()))
			g.packing.drop()
		}
		if err == nil {
			err = g.adds(p)
		}
		if err != nil {
			g.drain()
			p.free()
			return fmt.Errorf("cuda: loading %s: %w", what, err)
		}
		return nil
	})
	if err != nil {
		return none, err
	}
	return p, nil
}

// adds makes a part the device's, which frees it when it is closed; it may be about to, meanwhile.
func (g *gpu) adds(p part) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return device.ErrClosed
	}
	g.parts[p] = struct{}{}
	return nil
}

// unload frees a part once.
func (g *gpu) unload(p part) error {
	g.mu.Lock()
	_, ok := g.parts[p]
	delete(g.parts, p)
	g.mu.Unlock()
	if !ok {
		return nil
	}
	err := g.queue.do(func() error {
		g.forget()
		g.drain()
		p.free()
		return nil
	})
	return g.closing(err)
}

// closing is an error of closing. Of a lost GPU the driver refuses everything until the process ends, and that was told.
func (g *gpu) closing(err error) error {
	if g.fault.Load() != nil {
		return nil
	}
	return err
}

// drain waits for the stream; a failure is remembered by the device.
func (g *gpu) drain() {
	if err := g.stream.Synchronize(); err != nil {
		g.fail("waiting for the stream", err) //nolint:errcheck // remembered
	}
	g.settle()
}

// LoadEmbed copies the table to the GPU, where its type allows that.
func (g *gpu) LoadEmbed(ctx context.Context, e *graph.Embed) (device.Embed, error) {
	return loadEmbed(ctx, g, e)
}

// LoadBlocks copies the blocks' weights to the GPU and takes memory for all pages.
func (g *gpu) LoadBlocks(ctx context.Context, list []graph.Block, kv device.KV) (device.Blocks, error) {
	return loadBlocks(ctx, g, list, kv)
}

// LoadHead copies the head's weights to the GPU; a tied one shares the embedding's.
func (g *gpu) LoadHead(ctx context.Context, h *graph.Head) (device.Head, error) {
	return loadHead(ctx, g, h)
}

// Close frees everything and lets go of the GPU.
func (g *gpu) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	parts := g.parts
	g.parts = nil
	g.mu.Unlock()
	err := g.queue.do(func() error {
		g.drain()
		for p := range parts {
			p.free()
		}
		g.forget()
		g.pool.drop()
		g.scratch.drop()
		g.packing.drop()
		g.steps.drop()
		g.staging.drop()
		if g.answers != nil {
			g.fail("closing", g.answers.Free()) //nolint:errcheck // remembered
		}
		for i := range g.events {
			g.fail("closing", g.events[i].Destroy()) //nolint:errcheck // remembered
		}
		if g.fault.Load() != nil {
			return nil
		}
		return errors.Join(g.kern.unload(), g.stream.Destroy(), g.ctx.Release())
	})
	g.queue.close()
	g.mates.Add(-1)
	return g.closing(err)
}
