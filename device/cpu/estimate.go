package cpu

import (
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

var _ device.Estimator = (*cpuDevice)(nil)

// Memory that does not depend on the model: a team's stacks and small buffers,
// and what each worker decodes weights and keys into.
const (
	teamBytes   = 256 << 10
	workerBytes = 256 << 10
)

// Estimate adds up what Load and Forward take.
func (d *cpuDevice) Estimate(p device.Part, s device.Sizes) (device.Footprint, error) {
	f := device.Footprint{Activations: teamBytes + uint64(d.info.Workers)*workerBytes}
	err := gguf.Guard(func() error {
		width, rowValues, own := 0, 0, 0 // of the residual stream; of all buffers of a row together; of a worker's own
		widest := 0                      // input of a product
		words := 0                       // of a worker, with the rows of such an input
		if p.Embed != nil {
			width = p.Embed.Hidden
		}
		for i := range p.Blocks {
			b := &p.Blocks[i]
			width = b.Hidden
			copies, scratch, err := d.copiesOf(b, s.Rows)
			if err != nil {
				return err
			}
			f.Copies += copies
			words = max(words, scratch)
			qkv := b.Heads*b.KeyDim + b.KVHeads*(b.KeyDim+b.ValueDim)
			// norm and pre, qkv, att, out, gate, up, angles, and the largest as int8
			rowValues = max(rowValues, 3*b.Hidden+qkv+b.Heads*b.ValueDim+2*b.FFN+4*b.KeyDim+max(b.FFN, b.Hidden)/4)
			own = max(own, qkv, b.Hidden, 2*b.FFN)
			widest = max(widest, b.FFN, b.Hidden)
			group := b.Heads / max(b.KVHeads, 1)
			scores := quantkern.AttendBytes(min(s.Rows, spanRows), group, b.KeyDim, b.ValueDim, s.Positions)
			f.Activations = max(f.Activations, teamBytes+uint64(d.info.Workers)*uint64(workerBytes+scores))
		}
		if p.Head != nil {
			width = p.Head.Out.In
			f.Copies += 4 * uint64(width)
			f.Activations += 4 * uint64(s.Outputs) * uint64(p.Head.Width()+2*width)
			if p.Head.Pooling == graph.PoolNone {
				copies, scratch, err := d.copyOf(&p.Head.Out, s.Outputs)
				if err != nil {
					return err
				}
				f.Copies += copies
				words = max(words, scratch)
				f.Screening = d.screenBytes(&p.Head.Out)
				own = max(own, p.Head.Width())
			}
		}
		f.Activations += 4 * uint64(s.Rows) * uint64(rowValues+width*(s.Batches+1))
		scratch, acts := quantkern.ProductBytes(s.Rows, widest)
		f.Activations += uint64(d.info.Workers)*uint64(scratch+words) + uint64(acts)
		if d.info.Workers > 1 {
			f.Activations += 4 * uint64(d.info.Workers) * uint64(min(s.Rows, memoryRows)*own)
		}
		return nil
	})
	return f, err
}

// copiesOf counts what a block's tensors take in memory of their own, and what a worker takes to multiply one with so
// many rows.
func (d *cpuDevice) copiesOf(b *graph.Block, rows int) (bytes uint64, words int, err error) {
	for _, n := range []*graph.Norm{&b.AttnNorm, &b.FFNNorm, b.QNorm, b.KNorm, b.AttnSubNorm, b.AttnPostNorm, b.FFNSubNorm, b.FFNPostNorm,
		b.Q.Pre, b.K.Pre, b.V.Pre, b.Gate.Pre, b.Up.Pre} {
		if n != nil && n.Weight != nil {
			bytes += 4 * uint64(n.Weight.Elements())
		}
	}
	if b.Rope.Factors != nil {
		bytes += 4 * uint64(b.Rope.Factors.Elements())
	}
	for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
		n, own, err := d.copyOf(l, rows)
		if err != nil {
			return 0, 0, err
		}
		bytes += n
		words = max(words, own)
	}
	return bytes, words, nil
}

func (d *cpuDevice) copyOf(l *graph.Linear, rows int) (bytes uint64, words int, err error) {
	h := holding{all: &d.weights}
	m, err := h.view(l.Weight, l.Out, l.In)
	if err != nil {
		return 0, 0, err
	}
	if m.ternary != nil {
		bytes += uint64(m.ternary.RepackBytes())
		words = m.ternary.WordsBytes(max(rows, 1))
	}
	if l.Scale != nil {
		bytes += 4
	}
	if l.Bias != nil {
		bytes += 4 * uint64(l.Out)
	}
	return bytes, words, nil
}

// screenBytes is what newScreening would take in time.
func (d *cpuDevice) screenBytes(l *graph.Linear) uint64 {
	c, err := quantkern.Lookup(l.Weight.Type.String())
	plain := err == nil && !c.Ternary && l.Scale == nil && l.Bias == nil
	if !plain || d.screenMode == device.ScreenOff || d.info.Tier == "generic" || l.Out*l.In < leastScreen ||
		!quantkern.ScreensInPlace(c, l.In) && !screeningSaves(l.Out, l.In, c.Size(l.Out, l.In)) {
		return 0
	}
	return uint64(screenHolds(c, l.Out, l.In))
}
