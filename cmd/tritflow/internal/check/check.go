package check

import (
	"context"

	"tritflow/gguf"
)

// Options of File, Path and Repair.
type Options struct {
	Pre      string                // pre-tokenizer instead of the file's
	Faults   []error               // of the file, as gguf.Survey found them
	Progress func(done, total int) // bytes of tensors looked at, in MiB; may be nil
	Trials   Trials                // whether text is run through the network
	Speed    Speed                 // whether the speed on this machine is estimated
	Against  string                // one of Engines, or ""

	geometry *geometry // of a single file on a disk
}

// Unreadable is the report on a file that could not be opened.
func Unreadable(file string, err error) *Report {
	r := newReport(file)
	r.reason("file", causeOf(err), "", "%v", err)
	return r
}

// File examines an open file and reads every weight that is there. The error
// is that of ctx; whatever is wrong with the file is in the report.
func File(ctx context.Context, f *gguf.File, opt Options) (*Report, error) {
	r := newReport(f.Name())
	err := gguf.Guard(func() error { return r.examine(ctx, f, opt) })
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		r.reason("values", "unreadable", "", "%v", err)
	}
	return r, nil
}

func (r *Report) examine(ctx context.Context, f *gguf.File, opt Options) error {
	r.Contents, r.Origin = contents(f), origin(f)
	damaged := r.faults(opt.Faults, opt.geometry)
	r.vocabulary(f, opt.Pre)
	m, surplus := r.network(f, damaged)
	r.blocks(f, m)
	r.fileType(f)
	tensors := r.types(f, damaged, surplus)
	if err := r.values(ctx, tensors, opt.Progress); err != nil {
		return err
	}
	r.norms(tensors)
	r.halves(tensors)
	if m != nil {
		r.byteOrders(m)
	}
	if r.OK {
		// What is plainly wrong would fail or win every trial.
		if r.Healthy {
			if err := r.trials(ctx, f, opt); err != nil {
				return err
			}
		}
		h, err := here(ctx, f, opt)
		if err != nil {
			return err
		}
		r.Here = h
	}
	if opt.Against != "" {
		r.against(f, opt.Against)
	}
	return nil
}
