package bench

import (
	"context"
	"errors"
	"time"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// kernelRows are the numbers of activation rows that kernels are measured with.
var kernelRows = []int{1, 4, 8, 32}

// kernels measures the product of the largest matrix of each tensor type of
// the model, on one thread.
func (b *bencher) kernels(ctx context.Context, within time.Duration) (err error) {
	e, err := b.open(ctx, "cpu:1", min(b.limit, loadContext), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	largest := largestByType(e.Model())
	each := within / time.Duration(len(largest)*len(kernelRows))
	return gguf.Guard(func() error {
		for _, l := range largest {
			for _, n := range kernelRows {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				k, err := kernel(ctx, l, n, each)
				if err != nil {
					return err
				}
				b.report.Kernels = append(b.report.Kernels, k)
			}
		}
		return nil
	})
}

// largestByType picks a matrix for each type, in the order in which they are met.
func largestByType(m *graph.Model) (ls []*graph.Linear) {
	at := map[gguf.Type]int{}
	see := func(l *graph.Linear) {
		i, ok := at[l.Weight.Type]
		if !ok {
			at[l.Weight.Type] = len(ls)
			ls = append(ls, l)
		} else if len(l.Weight.Data) > len(ls[i].Weight.Data) {
			ls[i] = l
		}
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
			see(l)
		}
	}
	if m.Head.Pooling == graph.PoolNone {
		see(&m.Head.Out)
	}
	return ls
}

// kernel measures one product with n rows of activations.
func kernel(ctx context.Context, l *graph.Linear, n int, within time.Duration) (KernelResult, error) {
	r := KernelResult{Tensor: l.Name, Type: l.Weight.Type.String(), Rows: l.Out, Cols: l.In, N: n}
	codec, err := quantkern.Lookup(l.Weight.Codec())
	if err != nil {
		return r, err
	}
	x, dst := make([]float32, n*l.In), make([]float32, n*l.Out)
	for i := range x {
		x[i] = float32(i%255-127) / 64
	}
	var scratch quantkern.Scratch
	product := func() {
		quantkern.MulDense(dst, l.Out, codec, l.Weight.Data, l.Out, l.In, 0, l.Out, x, n, &scratch)
	}
	if codec.Ternary {
		w, err := quantkern.NewTernary(codec, l.Weight.Data, l.Out, l.In)
		if err == nil {
			w, _, err = w.Repack(nil) // as a device does
		}
		if err != nil {
			return r, err
		}
		var acts quantkern.Acts
		acts.Reset(n, l.In)
		for i := range n {
			acts.Quantize(i, x[i*l.In:(i+1)*l.In])
		}
		product = func() { quantkern.MulTernary(dst, l.Out, w, 0, l.Out, &acts, &scratch) }
	}
	perSecond := best(ctx, within, func(int) float64 {
		start := time.Now()
		product()
		return 1 / max(time.Since(start), time.Nanosecond).Seconds()
	})
	r.GBps = perSecond * float64(len(l.Weight.Data)) / 1e9
	r.GOPS = perSecond * 2 * float64(l.In) * float64(l.Out) * float64(n) / 1e9
	return r, nil
}
