package quantkern

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// A group is four rows of a Screen, a chunk 64 values of each (see putPlanes).
const (
	screenRows  = 4
	screenChunk = 64
	sixBytes    = 3 * screenChunk // of a chunk of a group: the six upper bits of each code
	lowBytes    = screenChunk     // the two below
	screenCoefs = 3 * screenRows  // floats of a group: scales, misses, norms

	codeMost   = 127
	codeMiddle = 128              // what codes are stored above
	sixMost    = 2*codeMiddle - 3 // the largest factor of six bits
	wordMost   = math.MaxInt16
	actBudget  = math.MaxInt32 / sixMost // bound of Σ|y|: no dot exceeds int32

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

// Bounds says how products are bounded: by 6 or 8 bits of the codes, with
// activations of 16 bits or, coarse, of 8. Fewer bits are less to read and less
// to multiply, and leave wider bounds. A Screen in place has one sort of codes,
// whatever Bits says, and no coarse bounds.
type Bounds struct {
	Bits   int
	Coarse bool
}

// The numbers of bits that Bounds may read, and how many there are.
const (
	LeastBits  = 6
	MostBits   = 8
	bitChoices = 2
)

// choice is the place of Bits among those that there are.
func (b Bounds) choice() int {
	switch b.Bits {
	case LeastBits:
		return 0
	case MostBits:
		return 1
	}
	panic(fmt.Sprintf("quantkern: bounds of %d bits; there are %d and %d", b.Bits, LeastBits, MostBits))
}

// Screen is an 8-bit copy of a dense matrix that bounds the products of all
// rows with an activation row, so that only those rows need the exact product
// which can be among the largest. A pass over it may read six of the bits
// alone, which lie by themselves.
//
// Row w (n values, as its codec decodes it) is kept as codes q in ±127 of a scale
// s, a float32 of 16 significant bits. All eight bits make ŵ = s·q. Of six, what
// is left out counts as the middle of what it can be: ŵ = s/2·(2·(q & −4) + 3).
// With each come two norms, rounded up: the miss E ≥ ‖w−ŵ‖ and N ≥ ‖ŵ‖.
// Activations x become x̂ = t·y, y in ±32767 (ScreenActs). With v the factor of s or s/2
// in ŵ, |v| ≤ 253, the dot D = v·y is an exact int32; below, s stands for either.
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
	six, low           []byte // planes of codes, groups one after the other
	coefs              [bitChoices][]float32
	nibbles            []byte // the matrix itself: then no codes and coefs, but norms
	norms              []float32
}

// NewScreen makes room for a copy of a rows × cols matrix, to be filled by
// Fill. The error says that the matrix is too wide (ErrUnscreenable).
func NewScreen(rows, cols int) (*Screen, error) {
	const widest = 1 << 20
	if rows < 1 || cols < 1 || cols > widest {
		return nil, fmt.Errorf("quantkern: %w: %d rows of %d values; at least one row of 1 to %d values", ErrUnscreenable, rows, cols, widest)
	}
	s := &Screen{rows: rows, cols: cols, chunks: chunksOf(cols)}
	s.six = make([]byte, s.Groups()*s.chunks*sixBytes)
	s.low = make([]byte, s.Groups()*s.chunks*lowBytes)
	for i := range s.coefs {
		s.coefs[i] = make([]float32, s.Groups()*screenCoefs)
	}
	return s, nil
}

// chunksOf is the number of chunks of rows of cols values.
func chunksOf(cols int) int { return (cols + screenChunk - 1) / screenChunk }

// Rows is the number of rows of the matrix.
func (s *Screen) Rows() int { return s.rows }

// Groups is the number of groups of four rows, the last of which may have
// fewer.
func (s *Screen) Groups() int { return (s.rows + screenRows - 1) / screenRows }

// Reads is how many bytes bounds of the whole matrix are made of.
func (s *Screen) Reads(b Bounds) int {
	if s.nibbles != nil {
		return len(s.nibbles) + 4*len(s.norms)
	}
	n := len(s.six) + 4*len(s.coefs[b.choice()])
	if b.Bits == MostBits {
		n += len(s.low)
	}
	return n
}

// ScreenBytes is the memory that the Screen of a rows × cols matrix takes.
func ScreenBytes(rows, cols int) int {
	groups := (rows + screenRows - 1) / screenRows
	return groups * (chunksOf(cols)*(sixBytes+lowBytes) + 4*bitChoices*screenCoefs)
}

// Fill copies rows r0..r1-1 of the matrix, which lies in data as its codec has
// it; both are multiples of four, or r1 the number of rows. Ranges may be filled
// concurrently, each with its own scratch. The error (ErrUnscreenable) names a row
// with a value that is not finite or so large that a product could overflow.
func (s *Screen) Fill(c *Codec, data []byte, r0, r1 int, scratch *Scratch) error {
	if r0%screenRows != 0 || r1%screenRows != 0 && r1 != s.rows {
		panic(fmt.Sprintf("quantkern: Screen.Fill: rows %d to %d are not groups of %d", r0, r1, screenRows))
	}
	scratch.row = grow(scratch.row, s.cols)
	var codes []int8
	if s.nibbles == nil {
		scratch.codes = grow(scratch.codes, s.chunks*screenRows*screenChunk)
		codes = scratch.codes
	}
	for g := r0 / screenRows; g*screenRows < r1; g++ {
		clear(codes)
		for r := g * screenRows; r < min((g+1)*screenRows, r1); r++ {
			if c.Name == "F16" && active.fromF16 != nil && whole(s.cols) {
				row := data[2*r*s.cols:][:2*s.cols]
				active.fromF16(&scratch.row[0], (*uint16)(unsafe.Pointer(&row[0])), uintptr(s.cols/Lanes))
			} else {
				c.Decode(scratch.row, data, s.rows, s.cols, r)
			}
			if s.nibbles != nil && !s.setNorm(r, scratch.row) || s.nibbles == nil && !s.set(r, scratch.row, codes) {
				return fmt.Errorf("quantkern: %w: row %d has values that are not finite or beyond 2^60", ErrUnscreenable, r)
			}
		}
		if s.nibbles == nil {
			s.putPlanes(g, codes)
		}
	}
	return nil
}

// set makes the codes of row r, which go to those of its group, and its
// coefficients; false means that its values do not allow one.
func (s *Screen) set(r int, w []float32, codes []int8) bool {
	top := math.Float32frombits(absMaxBits(w))
	if !(top <= ceilNorm) {
		return false
	}
	var scale, inverse float32
	if top >= floorRow {
		scale = sixteenBits(upward(float64(top) / codeMost))
		inverse = 1 / scale
	}
	misses, norms := s.round(codes[r%screenRows*screenChunk:], w, scale, inverse)
	for i, unit := range [bitChoices]float32{scale / 2, scale} {
		// The differences and their squares are rounded to float32.
		e := float64(math.Sqrt(misses[i]) * (1 + 0x1p-22))
		n := float64(math.Sqrt(float64(norms[i])) * float64(unit) * (1 + 0x1p-40))
		if !(e+n <= ceilNorm) {
			return false
		}
		coefs := s.coefs[i][r/screenRows*screenCoefs+r%screenRows:]
		coefs[0] = unit
		coefs[screenRows] = upward(max(e, floorNorm))
		coefs[2*screenRows] = upward(max(n, floorNorm))
	}
	return true
}

// round writes the codes of a row, its chunks a group apart, and gives for six and
// for eight bits Σ(w−ŵ)² of squares rounded to float32, in float64 lanes, and Σv² (see
// Screen). The products that make ŵ are exact.
func (s *Screen) round(codes []int8, w []float32, scale, inverse float32) (misses [bitChoices]float64, norms [bitChoices]int64) {
	const exact = math.MaxInt32 / (sixMost * sixMost) // so many squares fit an int32
	if active.screenCodes != nil && s.cols%screenChunk == 0 && s.cols <= exact {
		m6, m8, n6, n8 := active.screenCodes(&codes[0], &w[0], uintptr(s.chunks), scale, inverse)
		return [bitChoices]float64{m6, m8}, [bitChoices]int64{int64(n6), int64(n8)}
	}
	var sums [bitChoices][Lanes]float64
	for i, v := range w {
		q := int32(math.Float32bits(float32(v*inverse)+roundMagic)) - roundMagicBits
		six := 2*(q&-4) + 3
		d6, d8 := v-float32(scale/2*float32(six)), v-float32(scale*float32(q))
		sums[0][i%Lanes] += float64(float32(d6 * d6))
		sums[1][i%Lanes] += float64(float32(d8 * d8))
		norms[0] += int64(six * six)
		norms[1] += int64(q * q)
		codes[i/screenChunk*screenRows*screenChunk+i%screenChunk] = int8(q)
	}
	return [bitChoices]float64{combine(&sums[0]), combine(&sums[1])}, norms
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
