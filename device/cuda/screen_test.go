//go:build cuda

package cuda

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/quantkern"
)

// randomHead is a head of random weights in f16, with its copy. On the queue.
func randomHead(g *gpu, vocab, hidden int, rng *rand.Rand) (*head, error) {
	p := &head{g: g, held: holding{g: g}, hidden: hidden, vocab: vocab}
	weights := make([]uint16, vocab*hidden)
	for i := range weights {
		weights[i] = quantkern.F32ToF16(float32(rng.NormFloat64()))
	}
	if _, err := p.held.put("weights", bytesOf(weights)); err != nil {
		return p, err
	}
	d := &tensor{mem: p.held.mem[0], kind: slices.Index(denseTypes[:], "F16"), rows: vocab, cols: hidden}
	p.out = &layer{in: hidden, real: true, groups: []group{{d: d}}}
	var err error
	p.screen, err = p.held.screen(d)
	return p, err
}

// answers of a pass over n rows, each of which wants so many, from bounds of so many bits or (0) all logits. On the queue.
func (p *head) answers(sp *headSpace, from *taken, n, most int, want driver.Ptr, bits int) (ids []int32, best []uint32, states []int32, err error) {
	if bits > 0 {
		err = p.screen.run(p.g, &sp.screenSpace, from, most, bits, sp.places())
	} else {
		err = p.full(input{rows: n, cols: p.hidden, x: from.x}, sp, most, want)
	}
	if err == nil {
		err = p.g.stream.Synchronize()
	}
	if err != nil {
		return nil, nil, nil, err
	}
	ids, best, states = make([]int32, n*most), make([]uint32, n*most), make([]int32, n)
	for ptr, to := range map[driver.Ptr][]byte{sp.ids: bytesOf(ids), sp.best: bytesOf(best), sp.states: bytesOf(states)} {
		if err := p.g.ctx.CopyOut(to, ptr); err != nil {
			return nil, nil, nil, err
		}
	}
	return ids, best, states, nil
}

func (sp *headSpace) places() *places {
	return &places{sp.norm, sp.noted, sp.wanted, sp.ids, sp.best, sp.states, sp.counts, 0}
}

// rows puts rows that need no norm where a pass takes them. On the queue.
func (p *head) rows(x []float32, sp *headSpace, wanted []int32) (from taken, want driver.Ptr, err error) {
	for i, w := range wanted {
		from.take(int32(i), w)
	}
	if want, err = p.held.put("wanted", bytesOf(wanted)); err != nil {
		return from, 0, err
	}
	from.x, from.bad = sp.x, want
	return from, want, p.g.copyIn("rows", sp.x, bytesOf(x))
}

// Screened answers are those of all logits, and both kernels give the same bounds.
func TestScreenedAnswers(t *testing.T) {
	g := openGPU(t).(*gpu)
	defer g.Close()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, size := range [][2]int{{40, 24}, {1000, 320}, {20011, 2560}} {
		var p *head
		if err := g.queue.do(func() (err error) { p, err = randomHead(g, size[0], size[1], rng); return err }); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 3, 8, 9, 16, 31, 64} {
			const most = 32
			x := make([]float32, n*size[1])
			for i := range x {
				x[i] = float32(rng.NormFloat64())
			}
			wanted := make([]int32, n)
			for i := range wanted {
				wanted[i] = []int32{1, 2, 1, most}[i%4]
			}
			name := fmt.Sprintf("%d rows of %d, %d", size[0], size[1], n)
			if err := g.queue.do(func() error { return p.compare(name, x, wanted, most) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.queue.do(func() error { p.held.release(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *head) compare(name string, x []float32, wanted []int32, most int) error {
	g, n := p.g, len(wanted)
	sp, err := p.place(n, most, n, true)
	if err != nil {
		return err
	}
	from, want, err := p.rows(x, &sp, wanted)
	if err != nil {
		return err
	}
	fullIDs, fullBest, _, err := p.answers(&sp, &from, n, most, want, 0)
	if err != nil {
		return err
	}
	exact := g.kern.exact
	defer func() { g.kern.exact = exact }()
	for bits := leastBits; bits <= mostBits+1; bits++ {
		stream := bits <= mostBits // then with the other kernel
		if stream && !(exact && reads(bits, n)) {
			continue
		}
		g.kern.exact = stream
		ids, best, states, err := p.answers(&sp, &from, n, most, want, min(bits, mostBits))
		if err != nil {
			return err
		}
		for i, w := range wanted {
			if states[i] == 2 && bits < mostBits && w > 1 {
				continue // too many are left
			}
			if states[i] != 0 {
				return fmt.Errorf("%s, %d bits: row %d has state %d", name, bits, i, states[i])
			}
			from, to := i*most, i*most+int(w)
			if !slices.Equal(ids[from:to], fullIDs[from:to]) || !slices.Equal(best[from:to], fullBest[from:to]) {
				return fmt.Errorf("%s, %d bits: row %d of %d wanted: %v, not %v", name, bits, i, w, ids[from:to], fullIDs[from:to])
			}
		}
		g.kern.exact = exact
	}
	if !exact {
		return nil
	}
	// Both kernels, with every bound that one of them leaves out marked.
	var tops, uppers [2][]float32
	for i := range tops {
		tops[i], uppers[i] = make([]float32, 2*n*p.screen.tiles), make([]float32, n*p.screen.tiles*tileRows)
		err := g.copyIn("marks", sp.uppers, bytes.Repeat([]byte{0xff}, 4*len(uppers[i])))
		if err == nil {
			err = p.screen.prepare(g, &sp.screenSpace, &from, sp.places(), i == 1)
		}
		if err == nil {
			err = p.screen.bound(g, &sp.screenSpace, n, mostBits, sp.places(), i == 1)
		}
		if err == nil {
			err = g.stream.Synchronize()
		}
		if err == nil {
			err = errorsOf(g.ctx.CopyOut(bytesOf(tops[i]), sp.tops), g.ctx.CopyOut(bytesOf(uppers[i]), sp.uppers))
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(bytesOf(tops[0]), bytesOf(tops[1])) {
		return fmt.Errorf("%s: the bounds of tiles differ", name)
	}
	for row, w := range wanted {
		mine := tops[0][2*row*p.screen.tiles : 2*(row+1)*p.screen.tiles]
		floor := float32(math.Inf(-1))
		for i := 1; i < len(mine); i += 2 {
			floor = max(floor, mine[i])
		}
		for i, u := range uppers[0][row*p.screen.tiles*tileRows : (row+1)*p.screen.tiles*tileRows] {
			other := uppers[1][row*p.screen.tiles*tileRows+i]
			left := w == 1 && mine[2*(i/tileRows)] < floor && other != other
			if !left && u != other {
				return fmt.Errorf("%s: row %d wants %d, its bound of %d is %v and %v", name, row, w, i, u, other)
			}
		}
	}
	return nil
}

// reads tells whether there is a kernel that reads so many bits for n rows.
func reads(bits, n int) bool {
	for _, k := range streamed {
		if k.bits == bits && k.group == boundGroup(n) {
			return true
		}
	}
	return false
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkScreen times the kernels that answer screened rows.
func BenchmarkScreen(b *testing.B) {
	m := benchModel(b)
	g := openGPU(b).(*gpu)
	defer g.Close()
	loaded, err := g.LoadHead(context.Background(), &m.Head)
	if err != nil {
		b.Fatal(err)
	}
	defer loaded.Close()
	p := loaded.(*head)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 4, 16, 64} {
		wanted := slices.Repeat([]int32{1}, n)
		x := make([]float32, n*p.hidden)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		var sp headSpace
		var from taken
		err := g.queue.do(func() (err error) {
			if sp, err = p.place(n, 1, 1, true); err == nil {
				from, _, err = p.rows(x, &sp, wanted)
			}
			from.norm = p.norm
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		s := p.screen
		for bits := leastBits; bits <= mostBits; bits++ {
			if g.kern.exact && !reads(bits, n) || !g.kern.exact && bits < mostBits {
				continue
			}
			pass := func() error { return s.run(g, &sp.screenSpace, &from, 1, bits, sp.places()) }
			acts := func() error { return s.prepare(g, &sp.screenSpace, &from, sp.places(), g.kern.exact) }
			bounds := func() error { return s.bound(g, &sp.screenSpace, n, bits, sp.places(), g.kern.exact) }
			finish := func() error { return s.finish(g, &sp.screenSpace, n, 1, sp.places()) }
			for _, part := range []struct {
				name string
				work func() error
			}{
				{"whole", pass},
				{"acts", acts},
				{"acts+bounds", func() error { return errorsOf(acts(), bounds()) }},
				{"finish", finish},
			} {
				b.Run(fmt.Sprintf("rows=%d/%s/bits=%d", n, part.name, bits), func(b *testing.B) {
					g.times(b, pass, part.work)
					if part.name == "whole" {
						b.ReportMetric(left(b, g, &sp, n), "exact/row")
					}
				})
			}
		}
		older := func() error { return s.bound(g, &sp.screenSpace, n, mostBits, sp.places(), false) }
		b.Run(fmt.Sprintf("rows=%d/bounds of other cards", n), func(b *testing.B) { g.times(b, older, older) })
	}
}

// left is how many products of each row were computed exactly.
func left(b *testing.B, g *gpu, sp *headSpace, n int) float64 {
	counts := make([]int32, n)
	if err := g.queue.do(func() error { return g.ctx.CopyOut(bytesOf(counts), sp.counts) }); err != nil {
		b.Fatal(err)
	}
	sum := 0
	for _, c := range counts {
		sum += int(c)
	}
	return float64(sum) / float64(n)
}

// times reports how long a piece takes that follows first, ten times in a graph.
func (g *gpu) times(b *testing.B, first, work func() error) {
	const often = 10
	err := g.queue.do(func() error {
		if err := first(); err != nil {
			return err
		}
		if err := g.stream.BeginCapture(); err != nil {
			return err
		}
		var werr error
		for range often {
			if werr == nil {
				werr = work()
			}
		}
		gr, err := g.stream.EndCapture()
		if err := errorsOf(werr, err); err != nil {
			return err
		}
		defer gr.Destroy()
		e, err := gr.Instantiate()
		if err != nil {
			return err
		}
		defer e.Destroy()
		p := &blocks{g: g, list: make([]*block, often)}
		return p.perBlock(b, func() error { return e.Launch(g.stream) })
	})
	if err != nil {
		b.Fatal(err)
	}
}
