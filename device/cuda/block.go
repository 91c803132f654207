//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// norm is an RMSNorm on the GPU.
type norm struct {
	weight driver.Ptr
	eps    float32
}

func (h *holding) norm(n *graph.Norm, width int) (*norm, error) {
	if n == nil {
		return nil, nil
	}
	w, err := h.vector(n.Weight, width)
	return &norm{w, n.Eps}, err
}

// block is one transformer block ready to run, with its pages.
type block struct {
	spec graph.Block

	attnNorm, qNorm, kNorm, attnSub *norm
	ffnNorm, ffnSub                 *norm
	qkv, o, expand, down            *layer
	product                         bool // expand gives gate·up at once
	turn                            *angles
	cache                           cache
}

// widths of the rows of the qkv buffer: queries, keys, values.
func widths(g *graph.Block) (queries, keys, values int) {
	return g.Heads * g.KeyDim, g.KVHeads * g.KeyDim, g.KVHeads * g.ValueDim
}

// block loads one block. On the queue.
func (h *holding) block(g *graph.Block, kv device.KV) (*block, error) {
	b := &block{spec: *g}
	if err := refuseBlock(h.g.info.Name, g); err != nil {
		return nil, err
	}
	for _, n := range []struct {
		dst   **norm
		src   *graph.Norm
		width int
	}{
		{&b.attnNorm, &g.AttnNorm, g.Hidden},
		{&b.qNorm, g.QNorm, g.KeyDim},
		{&b.kNorm, g.KNorm, g.KeyDim},
		{&b.attnSub, g.AttnSubNorm, g.Heads * g.ValueDim},
		{&b.ffnNorm, &g.FFNNorm, g.Hidden},
		{&b.ffnSub, g.FFNSubNorm, g.FFN},
	} {
		var err error
		if *n.dst, err = h.norm(n.src, n.width); err != nil {
			return nil, err
		}
	}
	queries, keys, _ := widths(g)
	var err error
	if b.qkv, err = h.layer([]*graph.Linear{&g.Q, &g.K, &g.V}, []int{0, queries, queries + keys}); err != nil {
		return nil, err
	}
	if b.o, err = h.layer([]*graph.Linear{&g.O}, []int{0}); err != nil {
		return nil, err
	}
	if b.expand, b.product, err = h.gates(&g.Gate, &g.Up); err != nil {
		return nil, err
	}
	if b.down, err = h.layer([]*graph.Linear{&g.Down}, []int{0}); err != nil {
		return nil, err
	}
	if g.Rope.Kind != graph.RopeNone {
		if b.turn, err = h.angles(g.Rope); err != nil {
			return nil, err
		}
	}
	b.cache, err = h.cache(g, kv)
	return b, err
}

// step is what the kernels of a step work with.
type step struct {
	tables *tables
	at     driver.Ptr // the tables on the GPU
	h      *hidden
	space  space
}

func (s *step) word(at int) driver.Ptr { return s.at.Offset(int64(4 * at)) }

// forward puts one block's kernels into the stream. The order of operations and what is
// rounded where are the CPU's (device/cpu/forward.go). follows says that a kernel of this
// part stands before it.
func (g *gpu) forward(b *block, s *step, follows bool) error {
	n, sp, spec := s.tables.rows, &s.space, &b.spec
	queries, keys, values := widths(spec)
	stage := 1 + spec.Index
	x := s.h.values()

	to := result{dst: sp.qkv, ld: queries + keys + values, aside: b.aside(g, s, asideInner)}
	if err := g.enter(b.qkv, sp, x, spec.Hidden, n, b.attnNorm, follows, to); err != nil {
		return err
	}
	if err := g.attend(b, s); err != nil {
		return err
	}
	sum := result{dst: x, ld: spec.Hidden, epilogue: residual, bad: s.h.bad(), stage: stage}
	out := sum
	out.aside = b.aside(g, s, asideOutput)
	if b.folds(g, s) {
		in := input{rows: n, cols: spec.Heads * spec.ValueDim, q: sp.q, s: sp.s, sum: sp.sum}
		if err := g.mul(b.o, in, out); err != nil {
			return err
		}
	} else if err := g.enter(b.o, sp, sp.att, spec.Heads*spec.ValueDim, n, b.attnSub, true, out); err != nil {
		return err
	}
	if err := g.gate(b, s); err != nil {
		return err
	}
	return g.enter(b.down, sp, sp.gate, spec.FFN, n, b.ffnSub, true, sum)
}

// enter normalizes rows and multiplies them with a layer; a single row in one kernel where
// the layer allows it.
func (g *gpu) enter(l *layer, sp *space, x driver.Ptr, cols, rows int, n *norm, follows bool, to result) error {
	if rows == 1 && len(l.groups) == 1 && l.ternary {
		if one := (oneInput{x: x, cols: cols, norm: n, first: !follows}); g.fitsOne(l.groups[0].t, one) {
			return g.mulOne(l.groups[0].t, one, to)
		}
	}
	in, err := g.feed(l, sp, x, cols, rows, n, follows)
	if err != nil {
		return err
	}
	return g.mul(l, in, to)
}

// aside is shared memory that blocks of a layer take and do not use where attention is by clusters: beside these a multiprocessor has
// no room for one of the output layer then, or beside one of gate and up, or of Q, K and V, for two of them. They come early all
// the same, but not where most is to be done already, nor several to one place.
func (b *block) aside(g *gpu, s *step, bytes int) int {
	if !b.spaced() || !b.clustered(g, s) {
		return 0
	}
	return bytes
}

// attendRoom is the shared memory of a block of attention: so much that no more than three are on a multiprocessor, where two and
// a half would be if all had as many.
func (b *block) attendRoom(g *gpu, k *clusterKernel, rows int) int {
	if b.spaced() && 2*rows*b.spec.KVHeads*k.n <= 5*g.props.SMs {
		return max(k.shared, asideAttention)
	}
	return k.shared
}

// spaced tells for which heads aside and attendRoom were measured (BenchmarkStep, 5 to 52 rows).
func (b *block) spaced() bool { return b.spec.KeyDim == 128 }

// Shared memory of a block of attention, of the output layer, and of Q, K, V or gate and up.
const asideAttention, asideOutput, asideInner = 60 << 10, 100 << 10, 80 << 10

// gate computes the feed-forward layer's inner values from the residual stream.
func (g *gpu) gate(b *block, s *step) error {
	sp, x, n := &s.space, s.h.values(), s.tables.rows
	hidden, ffn, act := b.spec.Hidden, b.spec.FFN, int(b.spec.Activation)
	if b.product {
		return g.enter(b.expand, sp, x, hidden, n, b.ffnNorm, true, result{dst: sp.gate, ld: ffn, epilogue: gated, act: act, aside: b.aside(g, s, asideInner)})
	}
	if err := g.enter(b.expand, sp, x, hidden, n, b.ffnNorm, true, result{dst: sp.both, ld: 2 * ffn}); err != nil {
		return err
	}
	return g.fail("computing gates", g.kern.gateRows.run(g.stream, driver.Dim{X: ceilDiv(ffn, 256), Y: n}, 256, 0, true,
		sp.gate, sp.both, ffn, act))
}

// feed normalizes rows (n nil: not) and brings them into the forms that a layer reads.
func (g *gpu) feed(l *layer, sp *space, x driver.Ptr, cols, rows int, n *norm, follows bool) (input, error) {
	in := input{rows: rows, cols: cols, q: sp.q, s: sp.s, sum: sp.sum}
	if n == nil && !l.ternary {
		in.x = x
		return in, nil
	}
	if l.real {
		in.x = sp.norm
	}
	if !l.ternary {
		in.q = 0
	}
	var weight driver.Ptr
	var eps float32
	if n != nil {
		weight, eps = n.weight, n.eps
	}
	k, threads := g.kern.norm(cols)
	err := k.run(g.stream, driver.Dim{X: rows}, threads, 0, follows,
		x, cols, weight, eps, in.x, in.q, in.s, in.sum, cols, g.coded(l, rows, cols))
	return in, g.fail("normalizing", err)
}
