package stages

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"tritflow/device"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// Engine is a loaded model: a running pipeline that serves many requests at
// once. Its methods are safe for concurrent use.
type Engine struct {
	core     core
	model    *graph.Model
	layout   *Layout
	devices  []device.Device
	held     closers
	loadTime time.Duration

	freeing sync.Once
	freed   error
}

// Shutdown lets running requests finish and refuses new ones; when ctx ends
// they are aborted with ErrShutdown, and the error matches ctx's. Close aborts
// at once. Both wait until every goroutine has ended and free the model; an
// error is what a goroutine or the freeing failed with.
func (e *Engine) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return ErrNoContext
	}
	err := e.core.pipe.shutdown(ctx)
	return errors.Join(err, e.free())
}

// Close aborts the running requests and frees the model; see Shutdown.
func (e *Engine) Close() error {
	err := e.core.pipe.kill()
	return errors.Join(err, e.free())
}

func (e *Engine) free() error {
	e.freeing.Do(func() { e.freed = e.held.Close() })
	return e.freed
}

// Vocab is the model's tokenizer.
func (e *Engine) Vocab() *vocab.Vocab { return e.core.vocab }

// Model is the network's description. Its tensors are valid until the engine is closed.
func (e *Engine) Model() *graph.Model { return e.model }

// Plan says which stage sits on which of Devices; with replicas it is that of
// the first, see Layout.
func (e *Engine) Plan() *graph.Plan { return e.layout.Replicas[0].Plan }

// Layout is everything that was decided before loading.
func (e *Engine) Layout() *Layout { return e.layout }

// Memory is the plan of the memory with the devices' ledgers beside it.
func (e *Engine) Memory() Memory {
	m := e.layout.Memory
	m.Devices = slices.Clone(m.Devices)
	for i := range m.Devices {
		m.Devices[i].Used = e.devices[i].Ledger().Snapshot()
	}
	return m
}

// Devices are the open devices, in the order of Options.Devices.
func (e *Engine) Devices() []device.Device { return e.devices }

// Ctx is how many positions a sequence may have.
func (e *Engine) Ctx() int { return e.core.pipe.limits.ctx }

// LoadTime is how long New took.
func (e *Engine) LoadTime() time.Duration { return e.loadTime }

// Stats reads the pipeline's counters.
func (e *Engine) Stats() Stats { return e.core.pipe.stats() }

// closers are closed in reverse order of their opening.
type closers []io.Closer

func (c *closers) add(x io.Closer) { *c = append(*c, x) }

// Close closes all of them and joins their errors.
func (c closers) Close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i].Close())
	}
	return errors.Join(errs...)
}
