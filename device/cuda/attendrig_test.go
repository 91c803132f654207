//go:build cuda

package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
	"tritflow/quantkern"
)

// attendRig is one block's attention with pages full of random keys and values, and a step of rows that decode.
type attendRig struct {
	g    *gpu
	b    *block
	s    *step
	k    *attention
	held holding
	kept [2][]byte // keys and values before the step
	qkv  []float32
}

// newKept is random keys or values of so many KV heads of pages.
func newKept(rng *rand.Rand, kept, heads, values int) []byte {
	half := func(sd float64) []byte { return bytesOf([]uint16{quantkern.F32ToF16(float32(sd * rng.NormFloat64()))}) }
	var all []byte
	for range heads {
		for range values {
			if kept == keptBytes {
				all = append(all, byte(1+rng.IntN(255)))
			} else {
				all = append(all, half(1)...)
			}
		}
		for i := 0; kept == keptBytes && i < values/q8Values; i++ {
			all = append(all, half(1./64)...)
		}
	}
	return all
}

// decoding is a row each of sequences that end at positions, and how many pages they have.
func decoding(rng *rand.Rand, pageSize int, ends []int) (*device.Batch, int) {
	pages := 0
	for _, end := range ends {
		pages += end/pageSize + 1
	}
	order := rng.Perm(pages)
	batch := &device.Batch{}
	for i, end := range ends {
		n := end/pageSize + 1
		seq := device.Seq{ID: uint64(i), First: i, N: 1}
		for _, p := range order[:n] {
			seq.Pages = append(seq.Pages, int32(p))
		}
		order = order[n:]
		batch.Rows = append(batch.Rows, device.Row{Seq: int32(i), Pos: int32(end)})
		batch.Seqs = append(batch.Seqs, seq)
	}
	return batch, pages
}

// newAttendRig makes pages and what the projections leave for a step. On the queue.
func newAttendRig(g *gpu, rng *rand.Rand, spec graph.Block, kv string, pageSize int, batch *device.Batch, pages int) (*attendRig, error) {
	r := &attendRig{g: g, b: &block{spec: spec}, held: holding{g: g}}
	var err error
	if r.b.cache, err = r.held.cache(&spec, device.KV{Type: kv, PageSize: pageSize, Pages: pages}); err != nil {
		return nil, err
	}
	r.k = g.kern.attention(spec.KeyDim, r.b.cache.kept)
	if r.b.turn, err = r.held.angles(spec.Rope); err != nil {
		return nil, err
	}
	last := int32(0)
	for _, row := range batch.Rows {
		last = max(last, row.Pos)
	}
	if err := r.b.turn.reach(int(last) + 1); err != nil {
		return nil, err
	}
	for i, to := range []driver.Ptr{r.b.cache.k, r.b.cache.v} {
		r.kept[i] = newKept(rng, r.b.cache.kept, pages*spec.KVHeads, pageSize*spec.KeyDim)
		if err := g.ctx.CopyIn(to, r.kept[i]); err != nil {
			return nil, err
		}
	}
	queries, keys, values := widths(&spec)
	r.qkv = make([]float32, len(batch.Rows)*(queries+keys+values))
	for i := range r.qkv {
		r.qkv[i] = float32(rng.NormFloat64())
	}
	return r, r.begin(batch, 0)
}

// begin prepares a step of which the first row is row `first` of what the projections leave. On the queue.
func (r *attendRig) begin(batch *device.Batch, first int) (err error) {
	r.s = &step{tables: newTables(batch, r.b.cache.pageSize)}
	if r.s.at, err = r.g.upload(r.s.tables); err != nil {
		return err
	}
	var sizes scratchSizes
	sizes.fit(&r.b.spec, false, false)
	if r.s.space, err = sizes.place(r.g, r.s.tables); err != nil {
		return err
	}
	queries, keys, values := widths(&r.b.spec)
	width := queries + keys + values
	return r.g.ctx.CopyIn(r.s.space.qkv, bytesOf(r.qkv[first*width:(first+len(batch.Rows))*width]))
}

// run is what one of the ways makes of all rows. On the queue.
func (r *attendRig) run(way func(cos, sin driver.Ptr) error) ([]float32, error) {
	out := make([]float32, r.s.tables.rows*r.b.spec.Heads*r.b.spec.ValueDim)
	if err := r.g.ctx.Fill(r.s.space.att, 0xff, int64(4*len(out))); err != nil {
		return nil, err
	}
	if err := way(r.b.turn.cos.ptr, r.b.turn.sin.ptr); err != nil {
		return nil, err
	}
	if err := r.g.stream.Synchronize(); err != nil {
		return nil, err
	}
	return out, r.g.ctx.CopyOut(bytesOf(out), r.s.space.att)
}

// value is what page numbers and layouts make of a dimension of a position of a KV head: of keys, or of values.
func (r *attendRig) value(values bool, page, head, slot, d int) float64 {
	s, size := &r.b.spec, r.b.cache.pageSize
	dim, all := s.KeyDim, r.kept[0]
	at, scale := slot*dim+d, slot*(dim/q8Values)+d/q8Values
	if values {
		all, at, scale = r.kept[1], d*size+slot, d/q8Values*size+slot
	}
	if r.b.cache.kept != keptBytes {
		return float64(quantkern.F16ToF32(binary.LittleEndian.Uint16(all[2*((page*s.KVHeads+head)*size*dim+at):])))
	}
	all = all[(page*s.KVHeads+head)*size*dim/q8Values*q8Bytes:]
	return float64(int(all[at])-128) * float64(quantkern.F16ToF32(binary.LittleEndian.Uint16(all[size*dim+2*scale:])))
}

// near compares with attention in float64 over what lies in the pages, and what the projections say of the rows themselves:
// some rows, which are enough. All values must be such as these inputs can give.
func (r *attendRig) near(got []float32) error {
	for i, v := range got {
		if v != v || v > 100 || v < -100 {
			return fmt.Errorf("value %d is %v", i, v)
		}
	}
	s, t := &r.b.spec, r.s.tables
	queries, keys, values := widths(s)
	dim, group := s.KeyDim, s.Heads/s.KVHeads
	turned := func(x []float32, pos int) []float64 {
		out := make([]float64, dim)
		for i := range dim / 2 {
			sin, cos := math.Sincos(float64(pos) * math.Pow(float64(s.Rope.Base), -2*float64(i)/float64(dim)))
			a, b := float64(x[i]), float64(x[i+dim/2])
			out[i], out[i+dim/2] = a*cos-b*sin, a*sin+b*cos
		}
		return out
	}
	for row := range t.rows {
		w := t.words[row*rowWords:]
		pos, pages := int(w[1]), t.words[t.pages+int(w[3]):]
		x := r.qkv[row*(queries+keys+values):]
		if pos > 600 || row%3 == 2 {
			continue
		}
		for _, head := range []int{0, s.KVHeads - 1} {
			own := turned(x[queries+head*dim:], pos)
			at := func(values bool, p, d int) float64 {
				switch {
				case p < pos:
					return r.value(values, int(pages[p/r.b.cache.pageSize]), head, p%r.b.cache.pageSize, d)
				case values:
					return float64(x[queries+keys+head*dim+d])
				}
				return own[d]
			}
			for h := head * group; h < (head+1)*group; h++ {
				q := turned(x[h*dim:], pos)
				scores, top := make([]float64, pos+1), math.Inf(-1)
				for p := range scores {
					for d := range dim {
						scores[p] += q[d] * at(false, p, d)
					}
					scores[p] *= float64(s.AttnScale)
					top = max(top, scores[p])
				}
				sum, out := 0.0, make([]float64, dim)
				for p := range scores {
					e := math.Exp(scores[p] - top)
					sum += e
					for d := range dim {
						out[d] += e * at(true, p, d)
					}
				}
				for d := range dim {
					if is, want := float64(got[(row*s.Heads+h)*dim+d]), out[d]/sum; !(math.Abs(is-want) < 0.03) {
						return fmt.Errorf("head %d, dimension %d of the row that ends at %d is %v, in float64 %v", h, d, pos, is, want)
					}
				}
			}
		}
	}
	return nil
}
