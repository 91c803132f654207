package check

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// readable is a tensor with the codec for its type.
type readable struct {
	*gguf.Tensor
	codec *quantkern.Codec
}

// types finds the codec of every tensor; that there is none, or that it cannot
// hold the tensor's shape, is a reason unless the network does not use it.
func (r *Report) types(f *gguf.File, damaged, surplus map[string]bool) []readable {
	var out []readable
	for _, t := range f.Tensors() {
		if damaged[t.Name] {
			continue
		}
		c, err := quantkern.Lookup(t.Codec())
		if err == nil {
			err = c.Check(t.Rows(), t.Cols())
		}
		switch {
		case err == nil:
			out = append(out, readable{t, c})
		case surplus[t.Name]:
			r.warn("type", "no-codec", t.Name, "%v", err)
		default:
			r.reason("type", "no-codec", t.Name, "%v", err)
		}
	}
	return out
}

// values reads every weight, several tensors at a time, and reports those that
// are not finite and codes that their type does not define.
func (r *Report) values(ctx context.Context, tensors []readable, progress func(done, total int)) error {
	const mib = 1 << 20
	total, done := 0, 0
	for _, t := range tensors {
		total += len(t.Data)
	}
	var mu sync.Mutex
	found := make([]findings, len(tensors))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, t := range tensors {
		g.Go(func() error {
			// A fault of the mapping is recognised on the goroutine that reads.
			fault := gguf.Guard(func() error { return found[i].read(ctx, t) })
			if err := ctx.Err(); err != nil {
				return err
			}
			if fault != nil {
				found[i].fault = fault
			}
			mu.Lock()
			defer mu.Unlock()
			done += len(t.Data)
			if progress != nil {
				progress(done/mib, total/mib)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, t := range tensors {
		found[i].report(r, t)
	}
	r.scales(tensors, found)
	return nil
}

// findings are what one tensor's values show.
type findings struct {
	fault     error
	nonFinite int // rows with a value that is NaN or infinite
	row, col  int // the first one
	undefined int // codes without a meaning
	hole      int // longest run of packed bytes that are 0, in blocks of holeBlock
	uniform   bool
	scale     float32 // of a uniform ternary matrix
	trits     bool    // some are not 0
}

// read goes through the rows of a tensor.
func (f *findings) read(ctx context.Context, t readable) error {
	rows, cols := t.Rows(), t.Cols()
	if rows == 0 {
		return nil // of rows that are not there the width may be anything
	}
	var trits []int8
	var w *quantkern.Ternary
	if t.codec.Ternary {
		var err error
		if w, err = quantkern.NewTernary(t.codec, t.Data, rows, cols); err != nil {
			return err
		}
		trits = make([]int8, cols)
		f.uniform, f.scale = w.Uniform, w.Scale
		if slices.Contains(denseCodes, t.codec.Name) {
			f.hole = longestHole(t.Data)
		}
	}
	values := make([]float32, cols)
	for row := range rows {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w != nil {
			w.Trits(trits, row)
			f.undefined += count(trits, 2)
			f.trits = f.trits || count(trits, 0) < len(trits)
			if w.Uniform && row > 0 {
				continue // the one scale was seen with row 0
			}
		}
		t.codec.Decode(values, t.Data, rows, cols, row)
		if col := quantkern.FirstNonFinite(values); col >= 0 {
			if f.nonFinite == 0 {
				f.row, f.col = row, col
			}
			f.nonFinite++
		}
	}
	return nil
}

func count(s []int8, v int8) int {
	n := 0
	for _, x := range s {
		if x == v {
			n++
		}
	}
	return n
}

// denseCodes are ternary types in which a byte of 0 is several times −1; in
// others it may be zeros or padding.
var denseCodes = []string{"I2_S", "I2_S_B", "I2_S_C", "TQ1_0", "TQ2_0"}

// holeBlock is the unit in which disks and downloads leave holes.
const holeBlock = 4096

// longestHole is the number of consecutive blocks of nothing but zeros. In
// packed trits such a block would be thousands of times −1 in a row.
func longestHole(data []byte) int {
	zero := make([]byte, holeBlock)
	longest, run := 0, 0
	for ; len(data) >= holeBlock; data = data[holeBlock:] {
		if !bytes.Equal(data[:holeBlock], zero) {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return longest
}

func (f *findings) report(r *Report, t readable) {
	if f.fault != nil {
		r.reason("values", "unreadable", t.Name, "tensor %q: %v", t.Name, f.fault)
	}
	if f.nonFinite > 0 {
		what, cause := "weights that are", "not-finite"
		if t.codec.Ternary {
			what, cause = "scales that are", "scale-not-finite"
		}
		r.reason("values", cause, t.Name, "tensor %q has %s NaN or infinite in %d of %d rows, first at row %d, column %d: the file is damaged or was converted wrongly",
			t.Name, what, f.nonFinite, t.Rows(), f.row, f.col)
	}
	switch share := float64(f.undefined) / float64(max(t.Elements(), 1)); {
	case share > 0.01:
		p := r.wrong("values", "not-ternary", t.Name, "%.1f %% of the codes of tensor %q are undefined in type %s: what is stored there is something else, or damaged", 100*share, t.Name, t.Type)
		p.Sure = 0.99
		p.Fix = advice(downloadAgain)
	case f.undefined > 0:
		r.warn("values", "undefined-codes", t.Name, "tensor %q has %d codes that type %s does not define; they count as +2",
			t.Name, f.undefined, t.Type).Fix = advice(downloadAgain)
	}
	if f.hole > 0 {
		p := r.wrong("values", "hole", t.Name, "tensor %q has %s of nothing but zeros in a row: a piece of the file was never written", t.Name, plural(f.hole*holeBlock, "byte"))
		p.Sure = 0.99
		p.Fix = advice(downloadAgain)
	}
}
