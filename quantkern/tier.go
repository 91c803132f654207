package quantkern

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// tier is a set of vector kernels that give the bits of the plain-Go
// reference. All work on whole blocks of Lanes values; a function that is nil
// or a length that is no whole number of blocks means the reference itself.
// Strides (ld…) are in bytes.
type tier struct {
	name string

	// Ternary products: quantize writes rows in the order that the tiles read
	// (paired: see Acts) and returns their sum; tiles go by codec.
	paired   bool
	quantize func(q *int8, x *float32, chunks, tail uintptr, s float32) int32
	tiles    map[string]tiles
	panels   panels

	dotF32, dotF16 denseTiles

	packed      map[string]packed // by codec
	screens     [bitChoices]screenTiles
	nibbles     []nibbleTile // bounds of 4 rows of Q4_0 where they lie × n activation rows; may be nil
	screenCodes func(codes *int8, w *float32, chunks uintptr, scale, inverse float32) (miss6, miss8 float64, norm6, norm8 int32)

	weightedF32x1, weightedF32x4 func(dst, v *float32, ldv uintptr, p *float32, n uintptr)
	weightedF16x1, weightedF16x4 func(dst *float32, v *uint16, ldv uintptr, p *float32, n uintptr)

	// Four queries with groups of four keys; four or eight rows of weights that
	// share 32 values a row. What lies ahead bytes on is fetched. All may be nil.
	scoresF32     func(dst *float32, ldd uintptr, k, q *float32, ldq, blocks, groups, ahead uintptr)
	scoresF16     func(dst *float32, ldd uintptr, k *uint16, q *float32, ldq, blocks, groups, ahead uintptr)
	weightedF16h4 func(dst *float32, ldd uintptr, v *uint16, ldv uintptr, p *float32, ldp uintptr, n, ahead uintptr)
	weightedF32h8 func(dst *float32, ldd uintptr, v *float32, ldv uintptr, p *float32, ldp uintptr, n uintptr)

	expSum     func(x *float32, blocks uintptr, max float32) float64
	maxOf      func(x *float32, blocks uintptr) float32
	absMaxBits func(x *float32, blocks uintptr) uint32
	sumSquares func(x *float32, blocks uintptr) float64
	add        func(dst, x *float32, blocks uintptr)
	scale      func(dst, x *float32, blocks uintptr, f float32)
	scaleMul   func(dst, x, w *float32, blocks uintptr, f float32)
	relu2Mul   func(dst, gate, up *float32, blocks uintptr)
	siluMul    func(dst, gate, up *float32, blocks uintptr)
	toF16      func(dst *uint16, x *float32, blocks uintptr)
	fromF16    func(dst *float32, x *uint16, blocks uintptr)
	ropeNeoX   func(x, cos, sin *float32, blocks uintptr)

	fetch     func(p *byte, lines uintptr)
	readProbe func(p *byte, blocks, ahead uintptr) uint64
	int8Probe func(rounds uintptr) uint32
}

// ternaryTile multiplies rows of 2-bit codes with rows of quantized
// activations: dst = float32(Σ code·q − sum)/s·scale. It reads chunks×256
// codes a row and, when tail is 1, another 128. With each chunk four lines from
// next on are fetched, and next grows by step; tiles.row fetches one line and
// moves with its weights.
type ternaryTile func(dst *float32, ldd uintptr, w *byte, ldw uintptr, a *int8, lda uintptr,
	chunks, tail uintptr, sums *int32, scales *float32, scale float32, next *byte, step uintptr)

// tiles of one layout of codes.
type tiles struct {
	row  ternaryTile   // 1 row × 1 activation row; may be nil
	rows []ternaryTile // rows[n-1]: 4 rows × n activation rows
}

// denseTiles are the products of float32 or float16 rows (w) with float32
// activation rows: one with one, and four with one and with four (or nil).
type denseTiles struct{ one, x1, x4 denseTile }

// screenTiles bound products with one number of bits of a Screen; may be nil.
type screenTiles struct {
	fine       []screenTile // fine[n-1]: a group of 4 rows × n activation rows
	coarse     []coarseTile // the same with activations of 8 bits
	coarseNear []coarseTile // coarse, fetching past the second cache
}

// screenTile bounds the products of one group of a Screen (see screenUpper) with
// activation rows ldy apart, two widths each; rows of dst are ldd apart.
type screenTile func(dst *float32, ldd uintptr, six, low *byte, y *int16, ldy, chunks uintptr, bases *int32, coefs, widths *float32)

// coarseTile is screenTile for activations of 8 bits; with each chunk a chunk's lines
// from nextSix and nextLow on are fetched, which grow by 3·step and step.
type coarseTile func(dst *float32, ldd uintptr, six, low *byte, y *int8, ldy, chunks uintptr, nextSix, nextLow *byte, step uintptr, bases *int32, coefs, widths *float32)

// nibbleTile bounds the products of 4 rows of Q4_0, chunks of 128 values, with
// split activation rows (see nibbleUpper).
type nibbleTile func(dst *float32, ldd uintptr, w *byte, ldw uintptr, y *byte, ldy, chunks uintptr, norms, widths *float32)

type denseTile func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx, blocks uintptr)

// packed are the kernels of one codec. Their blocks are those of the codec, or
// of Lanes values where it has none.
type packed struct {
	decode func(dst *float32, src *byte, blocks, ahead uintptr) // a row; ahead bytes on is what is fetched meanwhile
	stream denseTile                                            // four rows × one, decoded on the way; may be nil

	decodeName, streamName string // of the kernels, for Strategy
}

// pack makes packed of two kernels.
func pack(decode func(dst *float32, src *byte, blocks, ahead uintptr), stream denseTile) packed {
	p := packed{decode: decode, stream: stream, decodeName: kernelName(decode)}
	if stream != nil {
		p.streamName = kernelName(stream)
	}
	return p
}

// takes tells whether there are kernels for rows of cols values.
func (p packed) takes(cols int) bool { return p.decode != nil && whole(cols) }

var generic = tier{name: "generic"}

// active is the tier in use. It is chosen once, when the program starts, by
// what the processor can do or by TRITFLOW_ISA.
var active, errActive = choose(os.Getenv("TRITFLOW_ISA"))

// TierError: TRITFLOW_ISA (or a test) asks for a tier that is not there.
type TierError struct {
	Name string
	Have []string
}

func (e *TierError) Error() string {
	return fmt.Sprintf("quantkern: this machine has no kernels %q; TRITFLOW_ISA may be one of %s, or empty for the best",
		e.Name, strings.Join(e.Have, ", "))
}

// Tier names the kernels in use: generic, avx2, avxvnni, avx512, amx, neon or neon_dotprod.
// The error is a *TierError when the environment variable TRITFLOW_ISA names
// others than this machine has.
func Tier() (string, error) { return active.name, errActive }

// Tiers lists what this machine can run, best first.
func Tiers() []string {
	names := make([]string, 0, 3)
	for _, t := range available() {
		names = append(names, t.name)
	}
	return append(names, generic.name)
}

// UseTier switches kernels, for tests and measurements; restore switches back.
// Nothing may be computing at that moment, and Acts must be filled anew.
func UseTier(name string) (restore func(), err error) {
	t, err := choose(name)
	if err != nil {
		return nil, err
	}
	old := active
	active = t
	return func() { active = old }, nil
}

func choose(name string) (*tier, error) {
	all := append(available(), &generic)
	if name == "" {
		return all[0], nil
	}
	i := slices.IndexFunc(all, func(t *tier) bool { return t.name == name })
	if i < 0 {
		return &generic, &TierError{Name: name, Have: Tiers()}
	}
	return all[i], nil
}

// whole tells whether n values are a positive number of blocks.
func whole(n int) bool { return n > 0 && n%Lanes == 0 }
