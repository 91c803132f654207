//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"sync/atomic"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// screen is the 8-bit copy of a dense head with which the largest logits are found: bounds
// of all logits from int8 products, then the exact ones of those rows that can be among the
// largest (kernels/screen.cuh has the proof, package quantkern the CPU's counterpart). The
// answers are the whole head's, bit for bit. A pass reads six to eight of the bits: the fewer,
// the sooner it is through the copy, and the more rows are left.
type screen struct {
	d      *tensor
	codes  driver.Ptr
	coefs  driver.Ptr
	tiles  int
	chunks int
	bytes  int64
	more   int // bits that passes read beyond the fewest, because many rows were left
	passes int // that this holds for
	left   int // rows that passes left of late on average, times leftOver
}

const (
	// leastBits, mostBits are how many bits of the copy's codes a pass may read.
	leastBits, mostBits = 6, 8
	// leastScreen is the number of weights from which a copy pays.
	leastScreen = 4 << 20
	// mostScreened is up to how many of the largest logits the bounds are used for,
	// screenRows how many rows are screened at a time.
	mostScreened, screenRows = 128, 64
	// leftMost is the part of the vocabulary (one in so many) that may be left to compute
	// exactly before the whole head is the better choice.
	leftMost = 8
	// boundBlocks is how many blocks of kernels/screen.cu read the copy; those of screen_stream.cu
	// have streamRing bytes for the ring and activations.
	boundBlocks, streamRing = 264, 208 << 10
	// bitsAgain is after how many passes fewer bits are tried again; leftOver over how many passes is averaged what they leave.
	bitsAgain, leftOver = 256, 32
	// finishBlocks is how many blocks compute what is left, mostParts how many of a row.
	finishBlocks, mostParts, finishThreads = 264, 128, 256
	// mostHeld is up to how many values of a row these keep in shared memory.
	mostHeld = 8192
)

// counters are those of device.Screening.
type counters struct {
	state, reason                      atomic.Pointer[string]
	bytes                              atomic.Int64
	screened, rescored, full, fallback atomic.Uint64
	spared                             atomic.Uint64
}

func (c *counters) set(state, reason string) {
	c.state.Store(&state)
	c.reason.Store(&reason)
}

var _ device.Screener = (*gpu)(nil)

// SetScreening chooses how heads that are loaded from now on are screened; how many bits
// a step reads is always chosen here.
func (g *gpu) SetScreening(mode string) error {
	if mode == device.ScreenSix || mode == device.ScreenEight {
		mode = device.ScreenAuto
	}
	switch mode {
	case device.ScreenAuto, device.ScreenOff, device.ScreenNow:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.screenMode = mode
		return nil
	}
	return &device.SpecError{Spec: mode, Reason: "not a way to screen heads; there are auto, off and now"}
}

// Screening reads the counters.
func (g *gpu) Screening() device.Screening {
	c := &g.screened
	s := device.Screening{
		Bytes: c.bytes.Load(), Screened: c.screened.Load(), Rescored: c.rescored.Load(),
		Full: c.full.Load(), Fallback: c.fallback.Load(), Spared: c.spared.Load(),
	}
	if p := c.state.Load(); p != nil {
		s.State, s.Reason = *p, *c.reason.Load()
	}
	return s
}

// screenable says why a head gets no copy; "" when it does.
func (g *gpu) screenable(l *layer) string {
	g.mu.Lock()
	mode := g.screenMode
	g.mu.Unlock()
	switch gr := &l.groups[0]; {
	case mode == device.ScreenOff:
		return "switched off"
	case gr.d == nil || gr.add != 0 || gr.mult != 0:
		return "the head is ternary or has a scale or bias"
	case mode != device.ScreenNow && gr.d.rows*gr.d.cols < leastScreen:
		return fmt.Sprintf("the head is small: %d weights, screening pays from %d", gr.d.rows*gr.d.cols, leastScreen)
	}
	return ""
}

// screenSize is the memory of a copy: codes of 256 rows at a time, and for each number of bits
// four floats for each row of whole tiles.
func screenSize(rows, cols int) (tiles, chunks int, codes, coefs int64) {
	tiles, chunks = 4*ceilDiv(rows, 64), ceilDiv(cols, 64)
	return tiles, chunks, int64(ceilDiv(rows, 256)) * int64(chunks) * 16384, 3 * int64(tiles) * 256
}

// screen makes the copy of a dense matrix; nil where a value forbids it. On the queue.
func (h *holding) screen(d *tensor) (*screen, error) {
	s := &screen{d: d}
	var codes, coefs int64
	s.tiles, s.chunks, codes, coefs = screenSize(d.rows, d.cols)
	g, before := h.g, len(h.mem)
	var err error
	if s.codes, err = h.take(device.Weights, "the screening copy of the head", codes); err != nil {
		return nil, err
	}
	if s.coefs, err = h.take(device.Weights, "the screening copy of the head", coefs); err != nil {
		return nil, err
	}
	unable, err := h.put("a flag", bytesOf([]uint32{math.MaxUint32}))
	if err != nil {
		return nil, err
	}
	err = g.kern.screenBuild.run(g.stream, driver.Dim{X: s.tiles}, 256, 0, false,
		d.mem.ptr, d.kind, d.rows, d.cols, s.chunks, s.codes, s.coefs, unable)
	if err == nil {
		err = g.stream.Synchronize()
	}
	if err != nil {
		return nil, g.fail("making the screening copy", err)
	}
	flag := make([]uint32, 1)
	if err := g.ctx.CopyOut(bytesOf(flag), unable); err != nil {
		return nil, g.fail("making the screening copy", err)
	}
	if flag[0] == math.MaxUint32 {
		s.bytes = codes + coefs
		return s, nil
	}
	for _, m := range h.mem[before:] {
		m.give()
	}
	h.mem = h.mem[:before]
	g.screened.set("failed", fmt.Sprintf("row %d of the head has values that are not finite or beyond 2^60", flag[0]))
	return nil, nil
}

// screenSpace is memory of a pass over up to screenRows rows.
type screenSpace struct {
	acts, widths, able, floors, done, parts, uppers, tops, list, exact driver.Ptr
	room                                                               int
}

// room lists what a pass over n rows needs.
func (s *screen) room(sp *screenSpace, n, most int) []sized {
	parts := partsOf(n)
	sp.room = parts * max(64+most, ceilDiv(s.d.rows/leftMost, parts))
	groups := boundGroups[boundGroup(n)]
	return []sized{
		{&sp.acts, s.chunks * groups * 1024}, {&sp.widths, 128 * groups}, {&sp.able, 32 * groups},
		{&sp.floors, 64 * groups}, {&sp.done, 32 * groups}, {&sp.parts, 16 * n * mostParts},
		{&sp.uppers, n * s.tiles * 64}, {&sp.tops, n * s.tiles * 8},
		{&sp.list, 4 * n * sp.room}, {&sp.exact, 4 * n * sp.room},
	}
}

// boundGroup is the kernel of screen_bounds for n rows.
func boundGroup(n int) int {
	i := 0
	for 8*boundGroups[i] < n {
		i++
	}
	return i
}

// streamThreads are those of a block of screen_stream for a group: of 64 rows a warp has one tile.
func streamThreads(group int) int {
	if boundGroups[group] == 8 {
		return 16*32 + 128
	}
	return 8*32 + 128
}

// partsOf is how many blocks share what is left of each of n rows.
func partsOf(n int) int { return min(mostParts, ceilDiv(finishBlocks, n)) }

// taken are rows to be answered: those of x that rows name, of which bad tells what was noted.
type taken struct {
	rows   fewTaken
	n      int
	x, bad driver.Ptr
	norm   *norm
}

// take adds a row of which so many logits are wanted.
func (t *taken) take(row, wanted int32) {
	t.rows[t.n] = uint64(uint32(row)) | uint64(uint32(wanted))<<32
	t.n++
}

// places is where what belongs to rows goes: normalized values, what was noted of them, how many
// logits are wanted, which these are. Where one of each row is wanted, told is the host's memory for all from noted on, or 0.
type places struct{ norm, noted, wanted, ids, best, states, counts, told driver.Ptr }

// fewestBits is what a pass over n rows reads of the copy if few rows are left: measured on H100 with
// a random head of 128,256 rows of 2,560. One row has some thousand left of six bits and some fifty
// of seven; the others' exact products take longer than a bit of the copy. Several logits
// are bounded by the least of them, which leaves many.
func fewestBits(n, most int) int {
	switch {
	case most > 1 || n > 16:
		return 8
	case n > 1:
		return 7
	}
	return 6
}

// bits is what the next pass reads.
func (s *screen) bits(g *gpu, n, most int) int {
	if !g.kern.exact {
		return mostBits
	}
	return min(fewestBits(n, most)+s.more, mostBits)
}

// learn takes note of a pass: the next ones should read one bit more where that takes less time than the exact
// products that passes have of late, of which a fiftieth of the rows takes as long. One pass with many does not tell: six bits
// mostly leave few of one row. One row that is left to the whole head does.
func (s *screen) learn(bits, exact int, failed bool) {
	if s.passes--; s.passes <= 0 && s.more > 0 {
		s.more, s.left = 0, 0
	}
	if bits == mostBits {
		return
	}
	if failed {
		exact = s.d.rows
	}
	s.left += exact - s.left/leftOver
	if 50*s.left > leftOver*s.d.rows {
		s.more, s.passes, s.left = min(s.more+1, mostBits-leastBits), bitsAgain, 0
	}
}

// spared is how many bytes of the copy a pass does not read.
func (s *screen) spared(bits int) int64 {
	return int64(s.tiles) * int64(s.chunks) * 128 * int64(mostBits-bits)
}

// run screens rows, each of which wants up to most logits.
func (s *screen) run(g *gpu, sp *screenSpace, from *taken, most, bits int, to *places) error {
	err := s.prepare(g, sp, from, to, g.kern.exact)
	if err == nil {
		err = s.bound(g, sp, from.n, bits, to, g.kern.exact)
	}
	if err == nil {
		err = s.finish(g, sp, from.n, most, to)
	}
	return g.fail("screening logits", err)
}

// prepare takes, normalizes and rounds the rows, for the kernel of bound.
func (s *screen) prepare(g *gpu, sp *screenSpace, from *taken, to *places, stream bool) error {
	groups := boundGroups[boundGroup(from.n)]
	var weight driver.Ptr
	var eps float32
	if from.norm != nil {
		weight, eps = from.norm.weight, from.norm.eps
	}
	lanes := 1
	if stream {
		lanes = 0
	}
	k, threads := g.kern.acts(s.d.cols)
	return k.run(g.stream, driver.Dim{X: 8 * groups}, threads, 0, true,
		&from.rows, from.x, from.bad, weight, eps, to.norm, to.noted, from.n, s.d.cols, s.chunks, groups, sp.acts, lanes, sp.widths, sp.able, to.wanted, sp.floors, sp.done)
}

// bound computes bounds. stream chooses the kernel of capability 9.0: both give the same tops.
func (s *screen) bound(g *gpu, sp *screenSpace, n, bits int, to *places, stream bool) error {
	group := boundGroup(n)
	coefs := s.coefs.Offset(int64((bits - leastBits) * s.tiles * 256))
	if stream {
		return g.kern.streams[bits-leastBits][group].run(g.stream, driver.Dim{X: g.props.SMs}, streamThreads(group), streamRing, true,
			s.codes, coefs, sp.acts, sp.widths, to.wanted, s.chunks, s.d.rows, n, sp.uppers, sp.tops, sp.floors)
	}
	return g.kern.bounds[group].run(g.stream, driver.Dim{X: min(boundBlocks, ceilDiv(s.tiles, 8))}, 256, 0, true,
		s.codes, coefs, sp.acts, sp.widths, s.chunks, s.d.rows, n, sp.uppers, sp.tops)
}

// finish computes what is left and picks the largest.
func (s *screen) finish(g *gpu, sp *screenSpace, n, most int, to *places) error {
	held := 0
	if s.d.cols <= mostHeld {
		held = 4 * s.d.cols
	}
	return g.kern.screenFinish.run(g.stream, driver.Dim{X: partsOf(n), Y: n}, finishThreads, held, true,
		sp.uppers, sp.tops, sp.floors, sp.widths, sp.able, to.wanted, s.d.mem.ptr, s.d.kind, to.norm, s.d.rows, s.d.cols, sp.room, most,
		sp.list, sp.exact, sp.parts, sp.done, to.noted, to.told, to.counts, to.states, to.ids, to.best)
}
