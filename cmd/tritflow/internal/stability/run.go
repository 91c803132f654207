package stability

import (
	"context"
	"fmt"
	"math"

	"tritflow/cmd/tritflow/internal/compare"
	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
	"tritflow/stages"
)

// Options of a walk.
type Options struct {
	File      *gguf.File // the model; stays open and is the caller's
	Tokens    []int32    // the prompt
	KV        string     // type of keys and values in the walk with int8; "" = f16
	Devices   string     // also run every stage on these devices and compare; "" = no
	Tolerance Tolerance
	Progress  func(done, total int) // stages; may be nil
}

// Run walks from the embedding to the logits. What is wrong with the numbers
// is in the report; an error is a failure to look. The walk ends early after a
// stage with values that are not finite: all later ones would repeat it.
func Run(ctx context.Context, opt Options) (*Report, error) {
	m, err := graph.Bind(opt.File)
	if err != nil {
		return nil, err
	}
	if m.Head.Pooling != graph.PoolNone {
		return nil, &stages.KindError{Asked: "be walked to its logits", Makes: "embeddings"}
	}
	r := &Report{
		Model: opt.File.Name(), Tokens: len(opt.Tokens), KV: opt.KV, Devices: opt.Devices,
		Tolerance: opt.Tolerance.Name, Problems: []*NumericalError{},
	}
	if r.KV == "" {
		r.KV = "f16"
	}
	w, err := newWalker(m, r, &opt)
	if err != nil {
		return nil, err
	}
	err = w.run(ctx)
	if cerr := w.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	r.Pass = len(r.Problems) == 0
	return r, nil
}

// walker leads the two walks and the device through the layers in step.
type walker struct {
	model     *graph.Model
	report    *Report
	opt       *Options
	quantized *walk.Walk
	float     *walk.Walk
	device    *chain // nil without
	layer     *Layer
	seen      map[walk.Point][]float32 // the quantized walk's tensors of this layer
}

func newWalker(m *graph.Model, r *Report, opt *Options) (w *walker, err error) {
	w = &walker{model: m, report: r, opt: opt}
	if w.quantized, err = walk.New(m, opt.Tokens, walk.Options{KV: r.KV, Visit: w.keep, Product: w.product}); err != nil {
		return nil, err
	}
	if w.float, err = walk.New(m, opt.Tokens, walk.Options{Float: true, Visit: w.compare}); err != nil {
		return nil, err
	}
	if opt.Devices != "" {
		if w.device, err = openChain(m, opt.Devices, r.KV, opt.Tokens); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *walker) close() error {
	if w.device == nil {
		return nil
	}
	return w.device.close()
}

func (w *walker) run(ctx context.Context) error {
	total := len(w.model.Blocks) + 2
	for i := range total {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		w.layer = &Layer{Stage: stage(i-1, len(w.model.Blocks)), Points: []*Point{}, Products: []*Product{}}
		w.seen = map[walk.Point][]float32{}
		logits, err := step(w.quantized, i-1, len(w.model.Blocks))
		if err != nil {
			return err
		}
		reference, err := step(w.float, i-1, len(w.model.Blocks))
		if err != nil {
			return err
		}
		if err := w.onDevice(ctx, i-1, logits); err != nil {
			return err
		}
		w.logits(logits, reference)
		w.report.Layers = append(w.report.Layers, w.layer)
		found := w.opt.Tolerance.judge(w.layer)
		w.report.Problems = append(w.report.Problems, found...)
		if w.opt.Progress != nil {
			w.opt.Progress(i+1, total)
		}
		for _, p := range w.layer.Points {
			if p.NonFinite > 0 {
				return nil
			}
		}
	}
	return nil
}

// stage names what step i does: -1 is the embedding, blocks the head.
func stage(i, blocks int) string {
	switch i {
	case walk.Outside:
		return "embed"
	case blocks:
		return "head"
	}
	return fmt.Sprintf("block %d", i)
}

// step goes one stage on; the head gives logits.
func step(w *walk.Walk, i, blocks int) ([]float32, error) {
	switch i {
	case walk.Outside:
		return nil, w.Embed()
	case blocks:
		return w.Head()
	}
	return nil, w.Block(i)
}

// onDevice takes the same step on the device and compares.
func (w *walker) onDevice(ctx context.Context, i int, logits []float32) error {
	if w.device == nil {
		return nil
	}
	got, err := w.device.step(ctx, i)
	if err != nil {
		return err
	}
	want := w.quantized.Residual()
	if logits != nil {
		want = logits
	}
	var v compare.Values
	v.Add(0, got, want)
	f := v.Figures()
	if f.NonFinite > 0 {
		f.Max = math.MaxFloat64
	}
	most := float32(0)
	for _, x := range want {
		most = max(most, float32(math.Abs(float64(x))))
	}
	if f.Max > 0 && most > 0 {
		f.Max /= float64(most)
	}
	w.layer.Device = &f.Max
	return nil
}

func (w *walker) logits(got, reference []float32) {
	if got == nil {
		return
	}
	var l compare.Logits
	n := w.model.Vocab
	for pos := range w.opt.Tokens {
		l.Add(0, pos, got[pos*n:(pos+1)*n], reference[pos*n:(pos+1)*n])
	}
	w.report.Logits = l.Figures()
}

// keep copies a tensor of the quantized walk.
func (w *walker) keep(p walk.Point, values []float32, _ int) error {
	w.seen[p] = append([]float32(nil), values...)
	return nil
}

// compare meets the tensor of the F32 forward with the one that was kept.
func (w *walker) compare(p walk.Point, values []float32, width int) error {
	got := w.seen[p]
	point := &Point{Name: p.String()}
	var v compare.Values
	for row := 0; row*width < len(values); row++ {
		v.Add(row, got[row*width:(row+1)*width], values[row*width:(row+1)*width])
	}
	point.Figures = v.Figures()
	point.NonFinite = 0
	for _, x := range got {
		if a := math.Abs(float64(x)); a-a != 0 {
			point.NonFinite++
		} else {
			point.AbsMax = max(point.AbsMax, a)
		}
	}
	if i := quantkern.FirstNonFinite(got); i >= 0 {
		point.Figures.Worst.Row, point.Figures.Worst.Column = i/width, i%width
	}
	w.layer.Points = append(w.layer.Points, point)
	return nil
}
