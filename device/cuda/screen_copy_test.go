//go:build cuda

package cuda

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"tritflow/device/cuda/driver"
	"tritflow/quantkern"
)

// What the kernels of screening make, held against plain Go: the copy, the rounded activations and
// the bounds of every number of bits.

// copied reads values from the GPU. On the queue.
func copied[T any](g *gpu, from driver.Ptr, n int) ([]T, error) {
	to := make([]T, n)
	var one T
	return to, g.ctx.CopyOut(unsafe.Slice((*byte)(unsafe.Pointer(&to[0])), n*int(unsafe.Sizeof(one))), from)
}

// screenCodes are the planes of a copy.
type screenCodes struct {
	data          []byte
	units, chunks int
}

// at is the code of a weight.
func (c *screenCodes) at(row, col int) int8 {
	lane, h, word, j := 4*(row%8)+col%64/16, row%16/8, col%16/4, col%4
	all := c.units * c.chunks * 16
	place := (row/256*c.chunks+col/64)*16 + row%256/16
	six := c.data[768*place:]
	nibble := six[16*lane+4*(2*h+word/2)+j] >> (4 - 4*(word%2)) & 15
	pair := six[512+8*lane+4*h+j] >> (2 * word) & 3
	bit := func(plane int) byte { return c.data[all*(768+128*plane)+128*place+4*lane+j] >> (4*h + word) & 1 }
	return int8(nibble<<4 | pair<<2 | bit(0)<<1 | bit(1))
}

// twice is 2ŵ/s of a code's upper bits.
func twice(code int8, bits int) int {
	left := 8 - bits
	return int(code)>>left<<(left+1) + 1<<left - 1
}

// TestGPUScreenCopy: the copy's codes are the rounded weights, its norms are bounds and tight, and so
// are those of the activations; bounds are what plain arithmetic makes of them, and hold.
func TestGPUScreenCopy(t *testing.T) {
	g := openGPU(t).(*gpu)
	defer g.Close()
	rng := rand.New(rand.NewPCG(7, 8))
	for _, size := range [][2]int{{40, 24}, {1000, 330}, {300, 2560}} {
		err := g.queue.do(func() error {
			p, err := randomHead(g, size[0], size[1], rng)
			if err != nil {
				return err
			}
			defer p.held.release()
			return p.checkCopy(rng)
		})
		if err != nil {
			t.Fatalf("%d rows of %d: %v", size[0], size[1], err)
		}
	}
}

func (p *head) checkCopy(rng *rand.Rand) error {
	g, s := p.g, p.screen
	_, _, codeBytes, _ := screenSize(p.vocab, p.hidden)
	halves, err := copied[uint16](g, s.d.mem.ptr, p.vocab*p.hidden)
	if err != nil {
		return err
	}
	codes := &screenCodes{units: ceilDiv(p.vocab, 256), chunks: s.chunks}
	if codes.data, err = copied[byte](g, s.codes, int(codeBytes)); err != nil {
		return err
	}
	coefs, err := copied[[4]float32](g, s.coefs, 3*16*s.tiles)
	if err != nil {
		return err
	}
	w := make([]float32, len(halves))
	for i, h := range halves {
		w[i] = quantkern.F16ToF32(h)
	}
	for row := range p.vocab {
		scale := 2 * coefs[row][0]
		for bits := leastBits; bits <= mostBits; bits++ {
			c := coefs[(bits-leastBits)*16*s.tiles+row]
			var miss, norm float64
			for i, v := range w[row*p.hidden : (row+1)*p.hidden] {
				code := codes.at(row, i)
				if want := math.RoundToEven(float64(v * (1 / scale))); float64(code) != want {
					return fmt.Errorf("code %d of row %d is %d, not %v", i, row, code, want)
				}
				kept := float64(c[0]) * float64(twice(code, bits))
				miss += (float64(v) - kept) * (float64(v) - kept)
				norm += kept * kept
			}
			for i, want := range []float64{math.Sqrt(miss), math.Sqrt(norm)} {
				if got := float64(c[1+i]); got < want || got > want*(1+0x1p-20) {
					return fmt.Errorf("row %d, %d bits: norm %d is %v, not %v", row, bits, i, got, want)
				}
			}
		}
	}
	for _, n := range []int{1, 8, 11, 64} {
		x := make([]float32, n*p.hidden)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		for bits := leastBits; bits <= mostBits; bits++ {
			if !reads(bits, n) {
				continue
			}
			if err := p.checkBounds(codes, coefs[(bits-leastBits)*16*s.tiles:], w, x, n, bits); err != nil {
				return fmt.Errorf("%d rows, %d bits: %w", n, bits, err)
			}
		}
	}
	return nil
}

// screenWidth is Width of kernels/screen.cuh.
type screenWidth struct {
	alpha, beta float32
	sum         int32
	step        float32
}

func (p *head) checkBounds(codes *screenCodes, coefs [][4]float32, w, x []float32, n, bits int) error {
	g, s := p.g, p.screen
	stream := g.kern.exact
	if !stream && bits < mostBits {
		return nil
	}
	sp, err := p.place(n, 1, n, true)
	if err != nil {
		return err
	}
	from, _, err := p.rows(x, &sp, slices.Repeat([]int32{1}, n))
	if err == nil {
		err = errorsOf(g.copyIn("marks", sp.uppers, bytes.Repeat([]byte{0xff}, 4*16*n*s.tiles)), s.prepare(g, &sp.screenSpace, &from, sp.places(), stream),
			s.bound(g, &sp.screenSpace, n, bits, sp.places(), stream), g.stream.Synchronize())
	}
	if err != nil {
		return err
	}
	groups := boundGroups[boundGroup(n)]
	acts, err := copied[byte](g, sp.acts, s.chunks*groups*1024)
	if err != nil {
		return err
	}
	widths, err := copied[screenWidth](g, sp.widths, n)
	if err != nil {
		return err
	}
	uppers, err := copied[float32](g, sp.uppers, 16*n*s.tiles)
	if err != nil {
		return err
	}
	tops, err := copied[[2]float32](g, sp.tops, n*s.tiles)
	if err != nil {
		return err
	}
	for row := range n {
		y := make([]int64, p.hidden)
		for i := range y {
			word, quarter := i%16/4, i%64/16
			inner := 16*(8*word+row%8) + 4*quarter
			if !stream {
				inner = 16*(4*(row%8)+quarter) + 4*word
			}
			at := (2*(i/64)*groups+row/8)*512 + inner + i%4
			y[i] = 256*int64(int8(acts[at])) + int64(int8(acts[at+512*groups]))
		}
		if err := p.checkRow(codes, coefs, w, x[row*p.hidden:(row+1)*p.hidden], y, widths[row], uppers[16*row*s.tiles:16*(row+1)*s.tiles], tops[row*s.tiles:(row+1)*s.tiles], bits); err != nil {
			return fmt.Errorf("row %d: %w", row, err)
		}
	}
	return nil
}

// checkRow checks what was made of the values x of a row: codes y and what else bounds need, and bounds.
func (p *head) checkRow(codes *screenCodes, coefs [][4]float32, w, x []float32, y []int64, width screenWidth, uppers []float32, tops [][2]float32, bits int) error {
	var sum, size int64
	var miss, norm float64
	t := float64(width.step)
	for i, v := range x {
		d := float64(v) - t*float64(y[i])
		miss, norm = miss+d*d, norm+float64(v)*float64(v)
		sum, size = sum+y[i], size+max(y[i], -y[i])
	}
	miss, norm = math.Sqrt(miss), math.Sqrt(norm)
	if a, b := norm/t, miss/t; sum != int64(width.sum) || float64(width.alpha) < a || float64(width.alpha) > a*1.001 || float64(width.beta) < b || float64(width.beta) > b*1.001+a*0.001 {
		return fmt.Errorf("%+v, not %v, %v, %d", width, a, b, sum)
	}
	if 255*size > math.MaxInt32 {
		return fmt.Errorf("products add up to %d at most", 255*size)
	}
	floor := float32(math.Inf(-1))
	for _, top := range tops {
		floor = max(floor, top[1])
	}
	for tile, top := range tops {
		most := [2]float32{float32(math.Inf(-1)), float32(math.Inf(-1))}
		for row := 16 * tile; row < min(16*tile+16, p.vocab); row++ {
			var dot int64
			var exact float64
			for i := range x {
				dot += int64(twice(codes.at(row, i), bits)) * y[i]
				exact += float64(w[row*p.hidden+i]) * float64(x[i])
			}
			c := coefs[row]
			e := float32(c[1]*width.alpha) + float32(c[2]*width.beta)
			upper := float32(float32(dot)*c[0]) + e
			lower := upper - 2*e
			if exact/t > float64(upper) || exact/t < float64(lower) {
				return fmt.Errorf("the product with row %d is %v, its bounds %v and %v", row, exact/t, lower, upper)
			}
			if got := uppers[row]; got != upper && !(got != got && top[0] < floor) {
				return fmt.Errorf("the upper bound of row %d is %v, not %v", row, got, upper)
			}
			most[0], most[1] = max(most[0], upper), max(most[1], lower)
		}
		if top != most {
			return fmt.Errorf("tile %d has bounds %v, not %v", tile, top, most)
		}
	}
	return nil
}

// TestScreenBits: passes that leave many rows on average make the next ones read more bits, for a while.
func TestScreenBits(t *testing.T) {
	g := &gpu{kern: &kernelSet{exact: true}}
	s := &screen{d: &tensor{rows: 1000}}
	check := func(n, most, want int) {
		t.Helper()
		if got := s.bits(g, n, most); got != want {
			t.Errorf("%d rows, %d wanted: %d bits, want %d", n, most, got, want)
		}
		if group := boundGroup(n); !slices.ContainsFunc(streamed[:], func(k struct{ bits, group int }) bool { return k.bits == want && k.group == group }) {
			t.Errorf("no kernel reads %d bits for %d rows", want, n)
		}
	}
	check(1, 1, 6)
	check(2, 1, 7)
	check(16, 1, 7)
	check(17, 1, 8)
	check(1, 2, 8)
	for i := range 1000 {
		exact := 10 // a hundredth
		if i%32 == 0 {
			exact = 200
		}
		s.learn(6, exact, false)
	}
	check(1, 1, 6)
	for n := 0; s.bits(g, 1, 1) == 6; n++ {
		if n > 3*leftOver {
			t.Fatal("a thirtieth of the rows left by each pass, and still six bits")
		}
		s.learn(6, 33, false)
	}
	check(1, 1, 7)
	check(9, 1, 8)
	for range bitsAgain / 2 {
		s.learn(7, 1, false)
	}
	check(1, 1, 7)
	s.learn(7, 1, true) // the whole head once
	check(1, 1, 8)
	for range bitsAgain - 1 {
		s.learn(8, 999, true)
	}
	check(1, 1, 8)
	s.learn(8, 999, true)
	check(1, 1, 6)
	s.learn(6, 1000, true)
	check(1, 1, 7)
	g.kern.exact = false
	if got := s.bits(g, 1, 1); got != mostBits {
		t.Errorf("%d bits on a card without kernels for fewer", got)
	}
}
