package quantkern

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Codes of a Screen lie in groups of four rows, 64 codes of each row in turn,
// so that a group is one stream of memory.
const (
	screenRows  = 4
	screenChunk = 64
	screenGroup = screenRows * screenChunk // bytes of a chunk of a group
	screenCoefs = 3 * screenRows           // floats of a group: scales, misses, norms

	codeMost  = 127
	actMost   = math.MaxInt16
	actBudget = math.MaxInt32 / codeMost // bound of Σ|y|: no dot exceeds int32

	unit = 0x1p-24 // rounding of float32, relative

	// Norms below floorNorm count as that, rows whose largest value is below
	// floorRow as zero: then nothing on the way to a bound is denormal. Beyond
	// ceilNorm something might overflow.
	floorNorm = 0x1p-50
	floorRow  = 0x1p-60
	floorActs = 0x1p-40
	ceilNorm  = 0x1p60
)

// ErrUnscreenable is matched by the error of a matrix that a Screen cannot hold.
var ErrUnscreenable = errors.New("matrix cannot be screened")

// Screen is an 8-bit copy of a dense matrix that bounds the products of all
// rows with an activation row, so that only those rows need the exact product
// which can be among the largest.
//
// Row w (n values, as its codec decodes it) is kept as ŵ = s·q, q in ±127, s a
// float32 of 16 significant bits, together with two norms, rounded up:
// the miss E ≥ ‖w−ŵ‖ and N ≥ ‖ŵ‖. Activations x become x̂ = t·y, y in ±32767
// (ScreenActs). The dot D = q·y is an exact int32.
//
// # The bound
//
// With u = 2^-24 the exact product that MulDense gives, d = Dot(w, x), is
// rounded m = ⌈n/16⌉+5 times on the longest way (one product, ⌈n/16⌉ sums in a
// lane, four in the tree), so with γ = mu/(1−mu) (Higham, Accuracy and
// Stability of Numerical Algorithms, 3.1), and 2^-150 lost by each product
// that is denormal,
//
//	|d − w·x|     ≤ γ·Σ|wᵢxᵢ| + n·2^-149 ≤ γ·‖w‖‖x‖ + n·2^-149
//	|w·x − ŵ·x̂|   = |(w−ŵ)·x + ŵ·(x−x̂)| ≤ E·‖x‖ + N·‖x−x̂‖
//
// by Cauchy-Schwarz, and ‖w‖ ≤ E+N, hence
//
//	|d − stD| ≤ E·(1+γ)‖x‖ + N·(‖x−x̂‖ + γ‖x‖) + n·2^-149
//
// Both sides are divided by t. In float32, f = fl(fl(D)·s) is off by at most
// 2.1u·|sD|, upper = fl(f+e) and lower = fl(upper−2e) by another 3.1u·(|f|+e),
// and |sD| ≤ N‖x̂‖/t ≤ N(‖x‖+‖x−x̂‖)/t. The width e = fl(fl(E·α)+fl(N·β)) is at
// least (1−u)²(E·α+N·β). All this is covered by
//
//	α = (1+2^-20)·(1+γ)‖x‖/t
//	β = (1+2^-20)·(‖x−x̂‖ + γ‖x‖ + 8u(‖x‖+‖x−x̂‖) + n·2^-99)/t
//
// because N ≥ 2^-50, and 2^-20 = 16u also pays for the roundings of the norms
// themselves, most of which are computed in float64. Thus lower ≤ d/t ≤ upper.
//
// Of any rows, let L be the k-th largest lower bound. At least k products are
// L·t or more, so a row with upper < L is smaller than each of these and not
// among the k largest, ties included. Shortlist finds the rows that are left.
// Neither is a row with upper·t below the least of any k exact products, which are
// worth computing for the most promising rows (Shortlist.Know).
//
// All of this holds for any rounding of the activations, so also for y in ±127
// (QuantizeCoarse), where bounds are wider and products cheaper.
//
// Rows of Q4_0 are so short that they are bounded where they lie
// (NewScreenInPlace).
type Screen struct {
	rows, cols, chunks int
	codes              []int8
	coefs              []float32
	nibbles            []byte // the matrix itself: then no codes, and coefs are norms alone
}

// NewScreen makes room for a copy of a rows × cols matrix, to be filled by
// Fill. The error says that the matrix is too wide (ErrUnscreenable).
func NewScreen(rows, cols int) (*Screen, error) {
	const widest = 1 << 20
	if rows < 1 || cols < 1 || cols > widest {
		return nil, fmt.Errorf("quantkern: %w: %d rows of %d values; at least one row of 1 to %d values", ErrUnscreenable, rows, cols, widest)
	}
	s := &Screen{rows: rows, cols: cols, chunks: (cols + screenChunk - 1) / screenChunk}
	s.codes = make([]int8, s.Groups()*s.groupBytes())
	s.coefs = make([]float32, s.Groups()*screenCoefs)
	return s, nil
}

// Rows is the number of rows of the matrix.
func (s *Screen) Rows() int { return s.rows }

// Groups is the number of groups of four rows, the last of which may have
// fewer.
func (s *Screen) Groups() int { return (s.rows + screenRows - 1) / screenRows }

// Bytes is the memory held.
func (s *Screen) Bytes() int { return len(s.codes) + 4*len(s.coefs) }

// ScreenBytes is the memory that the Screen of a rows × cols matrix takes.
func ScreenBytes(rows, cols int) int {
	groups := (rows + screenRows - 1) / screenRows
	return groups * ((cols+screenChunk-1)/screenChunk*screenGroup + 4*screenCoefs)
}

func (s *Screen) groupBytes() int { return s.chunks * screenGroup }

// Fill copies rows r0..r1-1 of the matrix, which lies in data as its codec has
// it. Ranges may be filled concurrently, each with its own scratch. The error
// (ErrUnscreenable) names a row with a value that is not finite or so large
// that a product could overflow.
func (s *Screen) Fill(c *Codec, data []byte, r0, r1 int, scratch *Scratch) error {
	scratch.row = grow(scratch.row, s.cols)
	for r := r0; r < r1; r++ {
		if c.Name == "F16" && active.fromF16 != nil && whole(s.cols) {
			active.fromF16(&scratch.row[0], (*uint16)(unsafe.Pointer(&data[2*r*s.cols])), uintptr(s.cols/Lanes))
		} else {
			c.Decode(scratch.row, data, s.rows, s.cols, r)
		}
		set := s.set
		if s.nibbles != nil {
			set = s.setNorm
		}
		if !set(r, scratch.row) {
			return fmt.Errorf("quantkern: %w: row %d has values that are not finite or beyond 2^60", ErrUnscreenable, r)
		}
	}
	return nil
}

// set makes the copy of row r; false means that its values do not allow one.
func (s *Screen) set(r int, w []float32) bool {
	codes := s.codes[r/screenRows*s.groupBytes()+r%screenRows*screenChunk:]
	coefs := s.coefs[r/screenRows*screenCoefs+r%screenRows:]
	top := math.Float32frombits(absMaxBits(w))
	if !(top <= ceilNorm) {
		return false
	}
	var scale, inverse float32
	if top >= floorRow {
		scale = sixteenBits(upward(float64(top) / codeMost))
		inverse = 1 / scale
	}
	miss, squares := s.round(codes, w, scale, inverse)
	// The differences and their squares are rounded to float32.
	e := float64(math.Sqrt(miss) * (1 + 0x1p-22))
	n := float64(math.Sqrt(float64(squares)) * float64(scale) * (1 + 0x1p-40))
	if !(e+n <= ceilNorm) {
		return false
	}
	coefs[0] = scale
	coefs[screenRows] = upward(max(e, floorNorm))
	coefs[2*screenRows] = upward(max(n, floorNorm))
	return true
}

// round writes the codes of a row, its chunks a group apart; miss is
// Σ(w−scale·q)² of squares rounded to float32, in float64 lanes, norm Σq². The
// product scale·q is exact.
func (s *Screen) round(codes []int8, w []float32, scale, inverse float32) (miss float64, norm int64) {
	const exact = math.MaxInt32 / (codeMost * codeMost) // so many squares fit an int32
	if active.screenCodes != nil && s.cols%screenChunk == 0 && s.cols <= exact {
		miss, n := active.screenCodes(&codes[0], &w[0], uintptr(s.chunks), scale, inverse)
		return miss, int64(n)
	}
	var sums [Lanes]float64
	for i, v := range w {
		q := int32(math.Float32bits(float32(v*inverse)+roundMagic)) - roundMagicBits
		d := v - float32(scale*float32(q))
		sums[i%Lanes] += float64(float32(d * d))
		norm += int64(q * q)
		codes[i/screenChunk*screenGroup+i%screenChunk] = int8(q)
	}
	return combine(&sums), norm
}

// absMaxBits are the bits of the largest magnitude; NaN orders above infinity.
func absMaxBits(x []float32) uint32 {
	if active.absMaxBits != nil && whole(len(x)) {
		return active.absMaxBits(&x[0], uintptr(len(x)/Lanes))
	}
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	return top
}

// upward rounds to the next float32 that is not smaller.
func upward(v float64) float32 {
	f := float32(v)
	if float64(f) < v {
		f = math.Nextafter32(f, math.MaxFloat32)
	}
	return f
}

// sixteenBits rounds a positive value up to 16 significant bits.
func sixteenBits(v float32) float32 {
	return math.Float32frombits((math.Float32bits(v) + 0xff) &^ 0xff)
}
