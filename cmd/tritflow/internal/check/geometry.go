package check

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// geometry is where the tensors of a single file lie, and what the gaps
// between them say about wrong headers.
type geometry struct {
	raw   *raw
	src   io.ReaderAt
	types []gguf.Type // of raw.infos as package gguf understood them; TypeNone: not at all
}

func newGeometry(f *gguf.File, r *raw, src io.ReaderAt) *geometry {
	g := &geometry{raw: r, src: src, types: make([]gguf.Type, len(r.infos))}
	for i, in := range r.infos {
		if t, ok := f.Tensor(in.name); ok {
			g.types[i] = t.Type
		}
	}
	return g
}

// size is the number of bytes of a tensor as some type, false where it cannot be.
func (g *geometry) size(i int, t gguf.Type) (uint64, bool) {
	if t == gguf.TypeNone {
		return 0, false
	}
	n, err := t.Size(g.raw.infos[i].dims)
	return n, err == nil
}

// rooms are the bytes from each tensor's offset to the next larger one, or to
// the end of the file.
func (g *geometry) rooms() []uint64 {
	starts := []uint64{}
	for _, in := range g.raw.infos {
		starts = append(starts, in.offset)
	}
	held := uint64(0)
	if body := g.raw.body(g.raw.align); g.raw.size > body {
		held = g.raw.size - body
	}
	starts = append(starts, held)
	slices.Sort(starts)
	room := make([]uint64, len(g.raw.infos))
	for i, in := range g.raw.infos {
		if k := slices.IndexFunc(starts, func(s uint64) bool { return s > in.offset }); k >= 0 && in.offset < held {
			room[i] = min(starts[k], held) - in.offset
		}
	}
	return room
}

// need is how long the file must be with an alignment; false where that
// cannot be known.
func (g *geometry) need(align uint64) (uint64, bool) {
	end := uint64(0)
	for i, in := range g.raw.infos {
		size, ok := g.size(i, g.types[i])
		if !ok || in.offset > 1<<60 {
			return 0, false
		}
		end = max(end, in.offset+size)
	}
	return g.raw.body(align) + end, true
}

// exact tells whether the file ends where it would with an alignment.
func (g *geometry) exact(align uint64) bool {
	need, ok := g.need(align)
	return ok && (g.raw.size == need || g.raw.size == padTo(need, align) || g.raw.size == padTo(need, 32))
}

// otherAlignment finds an alignment that explains the file where the stated
// one does not: by the file's length, and by scales and norms that are sane
// with it and are not without.
func (g *geometry) otherAlignment() (align uint64, ok bool) {
	if len(g.raw.infos) == 0 || g.exact(g.raw.align) {
		return 0, false
	}
	before := g.sane(g.raw.align)
	for align := uint64(8); align <= 1<<16; align *= 2 {
		if g.raw.body(align) == g.raw.body(g.raw.align) || !g.exact(align) || g.misaligned(align) {
			continue
		}
		if now := g.sane(align); now > 0.99 && now > before+0.3 {
			return align, true
		}
	}
	return 0, false
}

func (g *geometry) misaligned(align uint64) bool {
	return slices.ContainsFunc(g.raw.infos, func(in rawInfo) bool { return in.offset%align != 0 })
}

// sane is the share of norms and scales that could be those of a model if the
// data began where align puts it.
func (g *geometry) sane(align uint64) float64 {
	body := int64(g.raw.body(align))
	good, all := 0, 0
	for i, in := range g.raw.infos {
		size, ok := g.size(i, g.types[i])
		if !ok || in.offset > 1<<60 {
			continue
		}
		at := body + int64(in.offset)
		switch t := g.types[i]; {
		case t.ID() == gguf.TypeI2_S.ID():
			all++
			tail := make([]byte, 32)
			if _, err := g.src.ReadAt(tail, at+int64(size)-32); err == nil && saneScale(math.Float32frombits(binary.LittleEndian.Uint32(tail))) && saneFiller(tail) {
				good++
			}
		case t == gguf.TypeF32 && len(in.dims) == 1 && size >= 64 && size <= 1<<20:
			all++
			b := make([]byte, size)
			if _, err := g.src.ReadAt(b, at); err == nil {
				values := make([]float32, size/4)
				for k := range values {
					values[k] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*k:]))
				}
				if momentsOf(values).sane() {
					good++
				}
			}
		}
	}
	if all == 0 {
		return 1
	}
	return float64(good) / float64(all)
}

func saneScale(s float32) bool { return s > 1e-8 && s < 1e4 }

// saneFiller: zeros, or copies of the scale.
func saneFiller(tail []byte) bool {
	zero, copies := true, true
	for i := 4; i < len(tail); i++ {
		zero = zero && tail[i] == 0
		copies = copies && tail[i] == tail[i%4]
	}
	return zero || copies
}

// runningOffsets are the offsets that the order and sizes of the tensors give,
// where they fill the file exactly and at least half of the stated ones agree.
func (g *geometry) runningOffsets() (offsets []uint64, wrong []int, ok bool) {
	at := uint64(0)
	for i, in := range g.raw.infos {
		size, ok := g.size(i, g.types[i])
		if !ok {
			return nil, nil, false
		}
		if in.offset != at {
			wrong = append(wrong, i)
		}
		offsets = append(offsets, at)
		at = padTo(at+size, g.raw.align)
	}
	held := padTo(g.raw.size, g.raw.align) - g.raw.body(g.raw.align)
	return offsets, wrong, at == held && len(wrong) > 0 && 2*len(wrong) < len(offsets)
}

// relabel is a type that tensors have although the header says another.
type relabel struct {
	from, to gguf.Type
	tensors  []int // of raw.infos
}

// relabels finds types that fill the rooms of tensors whose stated type does
// not: too large for it, or leaving a gap. One label means one type in a file.
func (g *geometry) relabels() []relabel {
	room := g.rooms()
	misfits := map[gguf.Type][]int{}
	var order []gguf.Type
	for i, t := range g.types {
		size, ok := g.size(i, t)
		if t != gguf.TypeNone && ok && size <= room[i] && room[i]-size < max(g.raw.align, 32)+32 {
			continue // it fits, or leaves no more than the gap that some writers leave
		}
		if _, known := misfits[t]; !known {
			order = append(order, t)
		}
		misfits[t] = append(misfits[t], i)
	}
	var out []relabel
	for _, from := range order {
		tensors := misfits[from]
		for _, to := range gguf.Types() {
			if to == from || from.ID() == to.ID() && from != gguf.TypeNone {
				continue
			}
			if g.fillAll(tensors, to, room) {
				out = append(out, relabel{from, to, tensors})
				break
			}
		}
	}
	return out
}

// fillAll tells whether every one of the tensors fills its room as t and has
// contents that t can have.
func (g *geometry) fillAll(tensors []int, t gguf.Type, room []uint64) bool {
	codec, err := quantkern.Lookup(t.String())
	if err != nil {
		return false
	}
	for _, i := range tensors {
		size, ok := g.size(i, t)
		if !ok || size == 0 || size > room[i] || room[i]-size >= g.raw.align || !g.plausible(i, codec, size) {
			return false
		}
	}
	return true
}

// plausible tells whether a tensor's first bytes could be of a codec: codes
// that are defined, values that are finite and neither huge nor all nothing.
func (g *geometry) plausible(i int, c *quantkern.Codec, size uint64) bool {
	in := g.raw.infos[i]
	cols, rows := 1, 1
	for k, d := range in.dims {
		if d > 1<<31 {
			return false
		}
		if k == 0 {
			cols = int(d)
		} else {
			rows *= int(d)
		}
	}
	if c.Check(rows, cols) != nil || size > 1<<32 {
		return false
	}
	data := make([]byte, size)
	if _, err := g.src.ReadAt(data, int64(g.raw.body(g.raw.align)+in.offset)); err != nil {
		return false
	}
	if c.Ternary {
		w, err := quantkern.NewTernary(c, data, rows, cols)
		return err == nil && w.Undefined() == 0 && (!w.Uniform || saneScale(w.Scale))
	}
	values := make([]float32, cols)
	c.Decode(values, data, rows, cols, rows-1)
	return momentsOf(values).sane()
}

// list names tensors of raw.infos, the first few.
func (g *geometry) list(tensors []int) string {
	var names []string
	for _, i := range tensors {
		if len(names) == 3 && len(tensors) > 4 {
			names = append(names, fmt.Sprintf("and %d more", len(tensors)-3))
			break
		}
		names = append(names, g.raw.infos[i].name)
	}
	return strings.Join(names, ", ")
}

// byOffset sorts indices of tensors by where they lie.
func (g *geometry) byOffset() []int {
	order := make([]int, len(g.raw.infos))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(g.raw.infos[a].offset, g.raw.infos[b].offset) })
	return order
}
