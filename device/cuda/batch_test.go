//go:build cuda

package cuda

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/quantkern"
)

// product is a ternary layer of random weights, and the rows that it reads.
type product struct {
	g        *gpu
	l        *layer
	trits    []int8 // [out, in]
	from     []int32
	columns  []int32
	out, in  int
	width    int
	scale    []float32 // two of each tile
	factor   []float32
	bias     []float32
	epilogue int
	act      int
	held     holding
}

// newProduct makes one. Outputs of a gate stand in pairs of eights, others one below the other.
func newProduct(t *testing.T, g *gpu, rng *rand.Rand, out, in, epilogue int, more bool) *product {
	t.Helper()
	p := &product{g: g, out: out, in: in, width: out, epilogue: epilogue, held: holding{g: g}}
	p.trits = make([]int8, out*in)
	for i := range p.trits {
		p.trits[i] = int8(rng.IntN(3) - 1)
	}
	var slots []place
	if epilogue == gated {
		p.width = out / 2
		slots = paired(p.width)
	} else {
		for r := range out {
			slots = append(slots, place{0, int32(r)})
		}
		slots = padded(slots, tileRows*tileEven)
	}
	p.from, p.columns = make([]int32, len(slots)), make([]int32, len(slots))
	for i, s := range slots {
		p.from[i], p.columns[i] = -1, -1
		if s.row >= 0 {
			p.from[i], p.columns[i] = s.row+s.part*int32(p.width), s.row
		}
	}
	tr := &ternary{tiles: len(slots) / tileRows, chunks: ceilDiv(in, chunkCols)}
	p.scale = make([]float32, 2*tr.tiles)
	for i := range p.scale {
		p.scale[i] = float32(0.5 + rng.Float64())
	}
	if more {
		p.factor = make([]float32, 2*tr.tiles)
		for i := range p.factor {
			p.factor[i] = float32(0.5 + rng.Float64())
		}
		p.bias = make([]float32, p.width)
		for i := range p.bias {
			p.bias[i] = float32(rng.NormFloat64())
		}
		if epilogue == gated {
			p.bias = nil
		}
	}
	p.l = &layer{groups: []group{{t: tr}}, in: in, ternary: true}
	err := g.queue.do(func() (err error) {
		weights, _, _ := ternarySizes(len(slots), tr.chunks)
		if tr.weights, err = p.held.take(device.Weights, "weights", weights); err != nil {
			return err
		}
		for _, v := range []struct {
			to   *driver.Ptr
			data []byte
		}{{&tr.columns, bytesOf(p.columns)}, {&tr.scale, bytesOf(p.scale)}, {&tr.factor, bytesOf(p.factor)}, {&tr.bias, bytesOf(p.bias)}} {
			if len(v.data) == 0 {
				continue
			}
			if *v.to, err = p.held.put("test", v.data); err != nil {
				return err
			}
		}
		return g.pack(tr, out, in, p.from, func(to driver.Ptr) error { return g.copyIn("trits", to, bytesOf(p.trits)) })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.queue.do(func() error { p.held.release(); return nil }) })
	return p
}

// answer quantizes the rows x and multiplies them, beginning with what was in dst, and gives the products and the words of note_bad.
func (p *product) answer(t *testing.T, x, was []float32) ([]float32, []uint32) {
	t.Helper()
	g, rows := p.g, len(x)/p.in
	dst, bad := append([]float32(nil), was...), make([]uint32, rows)
	err := g.queue.do(func() error {
		var from, out, noted driver.Ptr
		sp := &space{}
		scratch := arena{g: g, what: "rows"}
		defer scratch.drop()
		if err := scratch.place([]sized{{&from, 4 * len(x)}, {&out, 4 * len(dst)}, {&noted, 4 * rows},
			{&sp.q, codesRoom(rows, p.in)}, {&sp.s, 4 * rows}, {&sp.sum, 4 * rows}}); err != nil {
			return err
		}
		for _, c := range []struct {
			to   driver.Ptr
			data []byte
		}{{from, bytesOf(x)}, {out, bytesOf(dst)}, {noted, bytes.Repeat([]byte{0xff}, 4*rows)}, {sp.q, bytes.Repeat([]byte{0x55}, codesRoom(rows, p.in))}} {
			if err := g.ctx.CopyIn(c.to, c.data); err != nil {
				return err
			}
		}
		// A copy from memory that is not pinned may be under way when it returns.
		if err := g.ctx.Synchronize(); err != nil {
			return err
		}
		if err := g.enter(p.l, sp, from, p.in, rows, nil, false, result{dst: out, ld: p.width, epilogue: p.epilogue, bad: noted, stage: 3, act: p.act}); err != nil {
			return err
		}
		if err := g.stream.Synchronize(); err != nil {
			return err
		}
		if err := g.ctx.CopyOut(bytesOf(dst), out); err != nil {
			return err
		}
		return g.ctx.CopyOut(bytesOf(bad), noted)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dst, bad
}

// want is one product by its definition, from a row's codes; the act of gates is ReLU².
func (p *product) want(q []int8, s float32, slot int, was float32) float32 {
	value := func(slot int) float32 {
		dot := int32(0)
		for i, w := range p.trits[int(p.from[slot])*p.in:][:p.in] {
			dot += int32(w) * int32(q[i])
		}
		y := float32(dot) / s * p.scale[slot/halfOfTile]
		if p.factor != nil {
			y *= p.factor[slot/halfOfTile]
		}
		if p.bias != nil {
			y += p.bias[p.columns[slot]]
		}
		return y
	}
	y := value(slot)
	switch p.epilogue {
	case gated:
		r := max(y, 0)
		return r * r * value(slot+halfOfTile)
	case residual:
		return y + was
	}
	return y
}

// Batches of every size have the products of their definition, and the bits of the kernels for few rows.
func TestGPUBatchProducts(t *testing.T) {
	g := openGPU(t).(*gpu)
	defer g.Close()
	rng := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct {
		out, in, epilogue int
		more              bool
	}{
		{3840, 2560, store, false}, {2560, 2560, residual, false}, {13824, 2560, gated, false}, {2560, 6912, residual, false},
		{40, 100, store, true}, {1000, 333, residual, true}, {2 * 36, 130, gated, true}, {16, 9000, store, false},
		{9000, 700, store, true}, {2 * 5000, 1500, gated, true}, {100, 29000, residual, true}, {33000, 128, store, false},
	} {
		p := newProduct(t, g, rng, c.out, c.in, c.epilogue, c.more)
		for _, rows := range []int{9, 16, 17, 24, 31, 33, 48, 50, 64, 65, 128, 300} {
			t.Run(fmt.Sprintf("%dx%d/%d/%d", c.out, c.in, c.epilogue, rows), func(t *testing.T) {
				p.act = rng.IntN(2)
				x, was := make([]float32, rows*p.in), make([]float32, rows*p.width)
				for i := range x {
					x[i] = float32(rng.NormFloat64())
				}
				for i := range was {
					was[i] = float32(rng.NormFloat64())
				}
				if p.epilogue == residual {
					was[2*p.width+3] = float32(math.Inf(1))
				}
				got, bad := p.answer(t, x, was)
				for lo := 0; lo < rows; lo += 8 {
					hi := min(lo+8, rows)
					few, fewBad := p.answer(t, x[lo*p.in:hi*p.in], was[lo*p.width:hi*p.width])
					for i, v := range few {
						if w := got[lo*p.width+i]; math.Float32bits(v) != math.Float32bits(w) {
							t.Fatalf("row %d, column %d: %v, among few rows %v", lo+i/p.width, i%p.width, w, v)
						}
					}
					for i, v := range fewBad {
						if bad[lo+i] != v {
							t.Fatalf("row %d: noted %#x, among few rows %#x", lo+i, bad[lo+i], v)
						}
					}
				}
				if rows == 300 { // as cards do that have no wgmma
					g.kern.exact = false
					other, _ := p.answer(t, x, was)
					g.kern.exact = true
					for i, v := range other {
						if math.Float32bits(v) != math.Float32bits(got[i]) {
							t.Fatalf("row %d, column %d: %v, with ternary_many %v", i/p.width, i%p.width, got[i], v)
						}
					}
				}
				p.act = 1
				if p.epilogue == gated {
					got, _ = p.answer(t, x, was)
				}
				codes, scales := make([]int8, len(x)), make([]float32, rows)
				for r := range rows {
					scales[r] = quantkern.QuantizeRow(codes[r*p.in:][:p.in], x[r*p.in:][:p.in])
				}
				for range 300 {
					row, slot := rng.IntN(rows), rng.IntN(len(p.from))
					if p.epilogue == gated {
						slot -= slot % tileRows / halfOfTile * halfOfTile
					}
					if p.columns[slot] < 0 {
						continue
					}
					at := row*p.width + int(p.columns[slot])
					want := p.want(codes[row*p.in:], scales[row], slot, was[at])
					if math.Float32bits(want) != math.Float32bits(got[at]) {
						t.Fatalf("row %d, column %d: %v, want %v", row, p.columns[slot], got[at], want)
					}
				}
			})
		}
	}
}
