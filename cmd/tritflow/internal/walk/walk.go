package walk

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// pageSize is the number of positions of a KV page; no bit depends on it.
const pageSize = 32

// Options of a walk.
type Options struct {
	Float bool   // the F32 forward; else what devices compute
	KV    string // type of keys and values, "" = f16; Float always keeps f32

	// Absent shows the points of norms that the network lacks too, with what
	// passes there: a reference may have one.
	Absent bool

	// Visit is shown every tensor as it is made: rows of width values,
	// row-major, valid until it returns. May be nil.
	Visit func(p Point, values []float32, width int) error
	// Product is shown every product of a block with its input. May be nil.
	Product func(Product) error
}

// Product is one matrix product of a block.
type Product struct {
	Point
	Linear *graph.Linear
	In     []float32 // [rows, Linear.In], before any rounding to int8
	Out    []float32 // [rows, Linear.Out]
}

// Walk is one prompt on its way through a network. Its methods are called in
// order, from one goroutine.
type Walk struct {
	model   *graph.Model
	opt     Options
	ids     []int32
	x       []float32 // residual stream [len(ids), Hidden]
	acts    quantkern.Acts
	scratch []quantkern.Scratch
	table   []int32 // KV pages, the same for every block
	fits    map[fitKey]*quantkern.Codec
}

// New prepares a walk over ids, which must be tokens of the model. The model's
// file must stay open.
func New(m *graph.Model, ids []int32, opt Options) (*Walk, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("walk: there are no tokens to walk with")
	}
	for i, id := range ids {
		if id < 0 || int(id) >= m.Vocab {
			return nil, fmt.Errorf("walk: token %d at position %d is outside the vocabulary of %d", id, i, m.Vocab)
		}
	}
	if err := refuse(m); err != nil {
		return nil, err
	}
	if opt.KV == "" {
		opt.KV = "f16"
	}
	if opt.Float {
		opt.KV = "f32"
	}
	w := &Walk{model: m, opt: opt, ids: ids, scratch: make([]quantkern.Scratch, runtime.GOMAXPROCS(0)), fits: map[fitKey]*quantkern.Codec{}}
	for p := range (len(ids) + pageSize - 1) / pageSize {
		w.table = append(w.table, int32(p))
	}
	return w, nil
}

// Run walks from the embedding to the logits.
func Run(ctx context.Context, m *graph.Model, ids []int32, opt Options) ([]float32, error) {
	w, err := New(m, ids, opt)
	if err != nil {
		return nil, err
	}
	if err := w.Embed(); err != nil {
		return nil, err
	}
	for i := range m.Blocks {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := w.Block(i); err != nil {
			return nil, err
		}
	}
	return w.Head()
}

// Residual is the residual stream [rows, Hidden] as it stands. It is the
// walk's own; whoever writes to it changes what follows.
func (w *Walk) Residual() []float32 { return w.x }

// Embed looks the tokens up.
func (w *Walk) Embed() error {
	return gguf.Guard(func() error {
		m := w.model
		table, err := view(m.Embed.Weight, m.Vocab, m.Hidden)
		if err != nil {
			return err
		}
		w.x = make([]float32, len(w.ids)*m.Hidden)
		for i, id := range w.ids {
			table.codec.Decode(w.x[i*m.Hidden:(i+1)*m.Hidden], table.data, table.rows, table.cols, int(id))
		}
		return w.show(Point{Input, Outside, 0}, w.x, m.Hidden)
	})
}

// Head normalizes and projects onto the vocabulary: logits [rows, Vocab].
func (w *Walk) Head() ([]float32, error) {
	var logits []float32
	err := gguf.Guard(func() error {
		m := w.model
		x, err := w.normed(Point{FinalNorm, Outside, 0}, w.x, m.Hidden, &m.Head.Norm)
		if err != nil {
			return err
		}
		logits, err = w.product(Point{Logits, Outside, 0}, &m.Head.Out, x)
		return err
	})
	return logits, err
}

// show hands a tensor to the visitor.
func (w *Walk) show(p Point, values []float32, width int) error {
	if w.opt.Visit == nil {
		return nil
	}
	return w.opt.Visit(p, values, width)
}

// each runs fn over pieces of [0, n), each with scratch memory of its own.
func (w *Walk) each(n int, fn func(lo, hi int, s *quantkern.Scratch)) error {
	var g errgroup.Group
	workers := len(w.scratch)
	size := (n + workers - 1) / workers
	for i := range workers {
		if lo, hi := i*size, min((i+1)*size, n); lo < hi {
			// A fault of the mapping belongs to the goroutine that meets it.
			g.Go(func() error {
				return gguf.Guard(func() error {
					fn(lo, hi, &w.scratch[i])
					return nil
				})
			})
		}
	}
	return g.Wait()
}
