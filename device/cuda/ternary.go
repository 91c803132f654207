//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
	"tritflow/quantkern"
)

// Layout of ternary weights on the GPU (kernels/ternary.cuh).
const (
	tileRows   = 16  // outputs of a tile
	chunkCols  = 128 // inputs of a tile
	tileBytes  = 512
	tileEven   = 2 // kernels take up to two tiles a block: their number is even
	halfOfTile = tileRows / 2
)

// ternary is one or several ternary matrices that read the same input, their outputs in
// tiles, ready to be multiplied with.
type ternary struct {
	weights             driver.Ptr
	columns             driver.Ptr // column of each output
	scale, factor, bias driver.Ptr
	tiles, chunks       int
}

// stacked is one of the matrices: its outputs go to columns at and following.
type stacked struct {
	l  *graph.Linear
	w  *quantkern.Ternary
	at int
}

// uniform prepares a ternary matrix with one scale; nil when the type is not ternary or the scales of
// its blocks differ, so that it is multiplied as a dense one.
func (g *gpu) uniform(l *graph.Linear) (*quantkern.Ternary, error) {
	c, err := g.codec(l.Weight, l.Out, l.In)
	if err != nil || !c.Ternary {
		return nil, err
	}
	w, err := quantkern.NewTernary(c, l.Weight.Data, l.Out, l.In)
	if err != nil {
		return nil, g.refuse(l.Weight, err.Error())
	}
	if !w.Uniform {
		return nil, nil
	}
	if l.In > mostNormed {
		return nil, refuseTensor(g.info.Name, l.Weight, tooLong(l.In))
	}
	return w, nil
}

// slots is where the outputs of matrices stand in tiles: the matrix and the row of each
// output, -1 for padding.
type place struct{ part, row int32 }

// below puts matrices one under the other, each beginning a new tile.
func below(parts []stacked) []place {
	var s []place
	for p, m := range parts {
		for r := range m.l.Out {
			s = append(s, place{int32(p), int32(r)})
		}
		s = padded(s, tileRows)
	}
	return padded(s, tileRows*tileEven)
}

// paired puts the outputs of two matrices of one shape side by side: eight of the first,
// then the same eight of the second, so that one lane of a kernel has both.
func paired(rows int) []place {
	var s []place
	for r := 0; r < rows; r += halfOfTile {
		for part := range int32(2) {
			for i := range halfOfTile {
				if r+i < rows {
					s = append(s, place{part, int32(r + i)})
				} else {
					s = append(s, place{part, -1})
				}
			}
		}
	}
	return padded(s, tileRows*tileEven)
}

func padded(s []place, multiple int) []place {
	for len(s)%multiple != 0 {
		s = append(s, place{0, -1})
	}
	return s
}

// ternarySizes are what a ternary of so many slots and chunks takes: weights, columns, and scales
// (and factors as many).
func ternarySizes(slots, chunks int) (weights, columns, scales int64) {
	tiles := slots / tileRows
	return int64(tiles * chunks * tileBytes), int64(4 * slots), int64(8 * tiles)
}

// ternary packs matrices into tiles on the GPU.
func (h *holding) ternary(parts []stacked, slots []place) (*ternary, error) {
	g, cols := h.g, parts[0].l.In
	t := &ternary{tiles: len(slots) / tileRows, chunks: (cols + chunkCols - 1) / chunkCols}
	rows, total, scaled := make([]int, len(parts)), 0, false
	for p, m := range parts {
		rows[p] = total
		total += m.l.Out
		scaled = scaled || m.l.Scale != nil
	}
	from, columns := make([]int32, len(slots)), make([]int32, len(slots))
	for i, s := range slots {
		from[i], columns[i] = -1, -1
		if s.row >= 0 {
			from[i], columns[i] = int32(rows[s.part])+s.row, int32(parts[s.part].at)+s.row
		}
	}
	scale, factor := make([]float32, 2*t.tiles), make([]float32, 2*t.tiles)
	width := 0
	for p, m := range parts {
		f := float32(1)
		if m.l.Scale != nil {
			v, err := g.values(m.l.Scale, 1)
			if err != nil {
				return nil, err
			}
			f = v[0]
		}
		for i := range scale {
			if s := slots[i*halfOfTile]; s.part == int32(p) && s.row >= 0 {
				scale[i], factor[i] = m.w.Scale, f
			}
		}
		width = max(width, m.at+m.l.Out)
	}
	name := parts[0].l.Name
	var err error
	weights, _, _ := ternarySizes(len(slots), t.chunks)
	if t.weights, err = h.take(device.Weights, "weights of "+name, weights); err != nil {
		return nil, err
	}
	if t.columns, err = h.put(name, bytesOf(columns)); err != nil {
		return nil, err
	}
	if t.scale, err = h.put(name, bytesOf(scale)); err != nil {
		return nil, err
	}
	if scaled {
		if t.factor, err = h.put(name, bytesOf(factor)); err != nil {
			return nil, err
		}
	}
	if t.bias, err = h.biases(parts, width); err != nil {
		return nil, err
	}
	return t, g.pack(t, total, cols, from, func(trits driver.Ptr) error {
		for p, m := range parts {
			err := g.fill("weights", trits.Offset(int64(rows[p])*int64(cols)), m.l.Out, cols, func(to []byte, lo, hi int) {
				for r := lo; r < hi; r++ {
					m.w.Trits(intsOf(to[(r-lo)*cols:][:cols]), r)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// biases are the matrices' biases by column, 0 where none has one.
func (h *holding) biases(parts []stacked, width int) (driver.Ptr, error) {
	var all []float32
	for _, m := range parts {
		if m.l.Bias == nil {
			continue
		}
		v, err := h.g.values(m.l.Bias, m.l.Out)
		if err != nil {
			return 0, err
		}
		if all == nil {
			all = make([]float32, width)
		}
		copy(all[m.at:], v)
	}
	if all == nil {
		return 0, nil
	}
	return h.put("biases", bytesOf(all))
}

// pack lets the GPU bring trits of so many outputs, which bring puts there as int8, into tiles: from says which
// output stands where.
func (g *gpu) pack(t *ternary, outputs, cols int, from []int32, bring func(trits driver.Ptr) error) error {
	var trits, order driver.Ptr
	err := g.packing.place([]sized{{&trits, outputs * cols}, {&order, 4 * len(from)}})
	if err == nil {
		err = bring(trits)
	}
	if err == nil {
		err = g.copyIn("weights", order, bytesOf(from))
	}
	if err != nil {
		return err
	}
	words := t.tiles * t.chunks * tileBytes / 4
	return g.fail("packing weights", g.kern.packTrits.run(g.stream, driver.Dim{X: ceilDiv(words, 256)}, 256, 0, false,
		trits, cols, order, t.weights, t.tiles, t.chunks))
}
