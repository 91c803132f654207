//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

var _ device.Estimator = (*gpu)(nil)

// estimate adds up what a part takes, by the sizes that load and Forward themselves use.
type estimate struct {
	g       *gpu
	weights int64 // everything that the ledger counts as weights, and mapped tables
	own     int64 // of it, what the part takes for itself: not matrices and angles that others may use too
	file    int64 // the same tensors in the file
	tables  map[tensorKey]bool
	ropes   map[graph.Rope]bool
}

func newEstimate(g *gpu) *estimate {
	return &estimate{g: g, tables: map[tensorKey]bool{}, ropes: map[graph.Rope]bool{}}
}

func (e *estimate) take(bytes int64) {
	e.own += grains(bytes)
	e.share(bytes)
}

func (e *estimate) share(bytes int64) { e.weights += grains(bytes) }

// Estimate adds up what Load and Forward take.
func (g *gpu) Estimate(p device.Part, s device.Sizes) (f device.Footprint, err error) {
	e := newEstimate(g)
	err = gguf.Guard(func() error {
		width, words := 0, 0 // of the residual stream; of a step's tables
		var scratch, room int64
		if p.Embed != nil {
			width = p.Embed.Hidden
			decoded, err := e.embed(p.Embed)
			if err != nil {
				return err
			}
			if decoded {
				words = s.Rows * width
			}
		}
		if len(p.Blocks) > 0 {
			width = p.Blocks[0].Hidden
			z, err := e.blocks(p.Blocks, s.Positions)
			if err != nil {
				return err
			}
			few := min(s.Rows, max(1, s.Outputs)*fewRows)
			sp := space{chunks: chunksOf(s.Positions)}
			scratch = placed(z.parts(&sp, s.Rows, few))
			if g.kern.spanned {
				chunks := max(2*chunksOf(s.Positions), 8)
				if s.Outputs > 1 {
					room, _ = fewSpanRoom(&p.Blocks[0], chunks)
				}
				room = grains(room) + 4*int64(spanWords(&p.Blocks[0], chunks))
				e.take(int64(len(p.Blocks)) * int64(spanBlockBytes))
			}
			if p.Embed == nil {
				words = max(words, s.Rows*(width+1)) // activations from elsewhere
			}
		}
		if p.Head != nil {
			width = p.Head.Out.In
			screening, most, err := e.head(p.Head, s.Outputs)
			if err != nil {
				return err
			}
			f.Screening = uint64(screening)
			scratch = max(scratch, most)
			room += grains(int64(repliesBytes(width)))
		}
		pages := s.Outputs * ceilDiv(s.Positions, leastPage)
		words = max(words, s.Rows*(rowWords+2)+pages) + 16*tileWords
		// Buffers of smaller steps stay beside those of the largest.
		hidden := 3 * sizeClass(hiddenBytes(s.Rows, width)) * int64(s.Batches+1)
		f.Activations = uint64(grains(scratch) + grains(room) + grains(max(leastTables, int64(4*words))) + hidden)
		return nil
	})
	f.Copies = uint64(max(0, e.weights-e.file))
	return f, err
}

// leastPage is the smallest number of positions of a KV page that is reckoned with.
const leastPage = 16

// embed counts the table, and tells whether the host decodes its rows.
func (e *estimate) embed(m *graph.Embed) (decoded bool, err error) {
	if err := refuseEmbed(e.g.info.Name, m); err != nil {
		return false, err
	}
	c, err := e.g.codec(m.Weight, m.Vocab, m.Hidden)
	if err != nil {
		return false, err
	}
	e.file += int64(m.WeightBytes())
	if k := kindOf(c); k >= 0 && k < floatKinds {
		_, err = e.dense(m.Weight, m.Vocab, m.Hidden)
		return false, err
	}
	e.weights += int64(len(m.Weight.Data))
	return true, nil
}

// dense counts a matrix once, however many parts read it; first tells that it was now.
func (e *estimate) dense(t *gguf.Tensor, rows, cols int) (first bool, err error) {
	c, err := e.g.codec(t, rows, cols)
	if err != nil || e.tables[t] {
		return false, err
	}
	e.tables[t] = true
	_, bytes := denseSize(c, rows, cols)
	e.share(bytes)
	return true, nil
}

func (e *estimate) norm(n *graph.Norm, width int) {
	if n != nil {
		e.take(int64(4 * width))
	}
}

// blocks counts weights, norms and angles and gives the widths of scratch memory.
func (e *estimate) blocks(list []graph.Block, positions int) (z scratchSizes, err error) {
	for i := range list {
		b := &list[i]
		if err := refuseBlock(e.g.info.Name, b); err != nil {
			return z, err
		}
		e.file += int64(b.WeightBytes())
		e.norm(&b.AttnNorm, b.Hidden)
		e.norm(b.QNorm, b.KeyDim)
		e.norm(b.KNorm, b.KeyDim)
		e.norm(b.AttnSubNorm, b.Heads*b.ValueDim)
		e.norm(&b.FFNNorm, b.Hidden)
		e.norm(b.FFNSubNorm, b.FFN)
		real := false
		for _, group := range [][]*graph.Linear{{&b.Q, &b.K, &b.V}, {&b.O}, {&b.Down}} {
			r, err := e.layer(group, below)
			if err != nil {
				return z, err
			}
			real = real || r
		}
		arranged := below
		product, err := e.product(&b.Gate, &b.Up)
		if err != nil {
			return z, err
		}
		if product {
			arranged = func(parts []stacked) []place { return paired(parts[0].l.Out) }
		}
		r, err := e.layer([]*graph.Linear{&b.Gate, &b.Up}, arranged)
		if err != nil {
			return z, err
		}
		z.fit(b, real || r, !product)
		e.angles(b.Rope, positions)
	}
	return z, nil
}

// product tells whether gate and up become one group, as holding.gates has it.
func (e *estimate) product(gate, up *graph.Linear) (bool, error) {
	for _, l := range []*graph.Linear{gate, up} {
		w, err := e.g.uniform(l)
		if err != nil || w == nil || l.Bias != nil {
			return false, err
		}
	}
	return true, nil
}

// layer counts matrices that read the same input, as holding.layer loads them; real tells that
// one is not ternary.
func (e *estimate) layer(ls []*graph.Linear, arranged func([]stacked) []place) (real bool, err error) {
	var parts []stacked
	width := 0
	scaled, biased := false, false
	for _, l := range ls {
		w, err := e.g.uniform(l)
		if err != nil {
			return real, err
		}
		if w != nil {
			parts = append(parts, stacked{l: l, at: width})
			width += l.Out
			scaled, biased = scaled || l.Scale != nil, biased || l.Bias != nil
			continue
		}
		real = true
		if _, err := e.dense(l.Weight, l.Out, l.In); err != nil {
			return real, err
		}
		if l.Scale != nil {
			e.take(4)
		}
		if l.Bias != nil {
			e.take(int64(4 * l.Out))
		}
	}
	if len(parts) == 0 {
		return real, nil
	}
	weights, columns, scales := ternarySizes(len(arranged(parts)), ceilDiv(ls[0].In, chunkCols))
	e.take(weights)
	e.take(columns)
	e.take(scales)
	if scaled {
		e.take(scales)
	}
	if biased {
		e.take(int64(4 * width))
	}
	return real, nil
}

// angles counts a rope's once: they double until they reach all positions.
func (e *estimate) angles(rope graph.Rope, positions int) {
	if rope.Kind == graph.RopeNone {
		return
	}
	rope.Kind = graph.RopeNone
	if e.ropes[rope] {
		return
	}
	e.ropes[rope] = true
	n := firstAngles
	for n < positions {
		n *= 2
	}
	for range 2 {
		e.share(int64(4 * n * rope.Dims / 2))
	}
}

// head counts norm, matrix and the copy for screening, and the scratch memory of so many outputs.
func (e *estimate) head(h *graph.Head, outputs int) (screening, most int64, err error) {
	if err := refuseHead(e.g.info.Name, h); err != nil {
		return 0, 0, err
	}
	e.file += int64(h.WeightBytes())
	if e.tables[h.Out.Weight] {
		e.file -= int64(len(h.Out.Weight.Data))
	}
	e.norm(&h.Norm, h.Out.In)
	real, err := e.layer([]*graph.Linear{&h.Out}, below)
	if err != nil {
		return 0, 0, err
	}
	p := &head{g: e.g, hidden: h.Out.In, vocab: h.Vocab}
	l := &layer{groups: []group{{}}, real: real, ternary: !real}
	if real {
		l.groups[0].d = &tensor{rows: h.Out.Out, cols: h.Out.In}
	}
	if h.Out.Scale != nil || h.Out.Bias != nil {
		l.groups[0].mult = 1 // anything but none
	}
	if e.g.screenable(l) == "" {
		_, _, codes, coefs := screenSize(h.Out.Out, h.Out.In)
		screening = grains(codes) + grains(coefs) + grains(4)
		p.screen = &screen{d: l.groups[0].d}
		p.screen.tiles, p.screen.chunks, _, _ = screenSize(h.Out.Out, h.Out.In)
	}
	var sp headSpace
	n := max(1, outputs)
	most = placed(p.pieces(&sp, n, min(mostTop, h.Vocab), n, p.screen != nil))
	return screening, most, nil
}

// placed is what pieces of an arena take side by side.
func placed(parts []sized) (bytes int64) {
	for _, p := range parts {
		bytes += (int64(p.bytes) + 255) &^ 255
	}
	return bytes
}
