package quantkern

// SKELETON: signatures that the other packages compile against. Codecs and
// f16 belong to one author, the arithmetic kernels to another.

// Codec packs and unpacks one tensor type. Codecs are found by the name that
// gguf gives the type.
type Codec struct {
	Name        string
	BlockValues int  // values of a row that are packed together
	BlockBytes  int  // their bytes; 0 for whole-tensor layouts (I2_S)
	Ternary     bool // values are trit × scale
}

// Lookup finds a codec by name; the error names the type (ErrUnknownType).
func Lookup(name string) (*Codec, error) { panic("skeleton") }

// Names lists all codecs.
func Names() []string { panic("skeleton") }

// Size is the number of bytes of a rows × cols matrix.
func (c *Codec) Size(rows, cols int) int { panic("skeleton") }

// Decode unpacks row r of a rows × cols matrix into dst (len cols).
func (c *Codec) Decode(dst []float32, data []byte, rows, cols, r int) { panic("skeleton") }

// Encode packs a rows × cols matrix; an error where the type has no encoder
// here (ErrNoEncoder) or the values cannot be held (not ternary).
func (c *Codec) Encode(dst []byte, src []float32, rows, cols int) error { panic("skeleton") }

// Ternary is a ternary matrix in the layout of its file, used in place.
type Ternary struct {
	Codec      *Codec
	Rows, Cols int
	Data       []byte
	Uniform    bool    // one Scale serves every trit of the matrix
	Scale      float32 // weight = trit × Scale; valid when Uniform
}

// NewTernary prepares a matrix of a ternary codec: reads its scale(s).
func NewTernary(c *Codec, data []byte, rows, cols int) (*Ternary, error) { panic("skeleton") }

// Trits unpacks row r into dst (len Cols): code − 1, so −1, 0, 1 (and 2 for
// the undefined 2-bit code 3).
func (t *Ternary) Trits(dst []int8, r int) { panic("skeleton") }

// BlockScales unpacks the scales of row r, one per Codec.BlockValues values
// (only when the matrix is not Uniform).
func (t *Ternary) BlockScales(dst []float32, r int) { panic("skeleton") }

// F16ToF32 and F32ToF16 convert IEEE half precision (round to nearest even).
func F16ToF32(h uint16) float32 { panic("skeleton") }
func F32ToF16(f float32) uint16 { panic("skeleton") }

// ---- arithmetic kernels (the plain-Go reference is the specification) ----

// Lanes is the number of float accumulators of every reduction: element i goes
// to lane i%Lanes, the lanes are combined as l+8, l+4, l+2, l+1. Every tier
// follows it, so results do not depend on the tier.
const Lanes = 16

// Dot is Σ a[i]·b[i] in float32 lanes, each product rounded before it is added.
func Dot(a, b []float32) float32 { panic("skeleton") }

// QuantizeRow: s = float32(127/max(1e-5, max|x|)), q = round-half-even(x·s) clamped to ±128.
func QuantizeRow(q []int8, x []float32) (s float32) { panic("skeleton") }

// MulTernary computes dst[i*stride+r] = product of row r of w with activation
// row i (q[i*Cols:], scale s[i]), for r in [r0, r1) and every i < len(s):
// Uniform: float32(acc)/s × Scale, acc the exact int32 dot; otherwise per block, ascending.
// scratch needs ScratchTernary(w) bytes.
func MulTernary(dst []float32, stride int, w *Ternary, r0, r1 int, q []int8, s []float32, scratch *Scratch) {
	panic("skeleton")
}

// MulDense is the same for any codec with float32 activations x [rows, cols].
func MulDense(dst []float32, stride int, c *Codec, data []byte, rows, cols, r0, r1 int, x []float32, n int, scratch *Scratch) {
	panic("skeleton")
}

// Scratch is per-worker memory of the kernels; it grows to what is needed and stays.
type Scratch struct{}

// RMSNorm: dst = x / sqrt(mean(x²)+eps) × w; squares are rounded to float32 and
// summed in float64 lanes. dst may be x.
func RMSNorm(dst, x, w []float32, eps float32) { panic("skeleton") }

// RopeAngles fills cos and sin (len dims/2) for a position: theta_0 = pos×scale,
// theta_{i+1} = theta_i × base^(−2/dims) in float32 steps, divided by factors (nil = none).
func RopeAngles(cos, sin []float32, pos int32, dims int, base, scale float32, factors []float32) {
	panic("skeleton")
}

// Rope rotates one head in place; neox pairs (i, i+dims/2), otherwise (2i, 2i+1).
func Rope(x, cos, sin []float32, neox bool) { panic("skeleton") }

// KVPages is one block's keys and values. Page p holds, for each KV head,
// PageSize keys of KeyDim values, and the same for values.
type KVPages struct{}

// NewKVPages plans pages; memory is taken when a page is first written.
// onAlloc (may be nil) hears of the bytes.
func NewKVPages(typ string, pages, pageSize, kvHeads, keyDim, valueDim int, onAlloc func(bytes int64)) (*KVPages, error) {
	panic("skeleton")
}

// Put stores one position's keys [kvHeads*keyDim] and values; Bytes is the size of one page.
func (k *KVPages) Put(table []int32, pos int, key, value []float32) { panic("skeleton") }
func (k *KVPages) PageBytes() int                                   { panic("skeleton") }

// Attend computes one query head over positions 0..pos of a sequence:
// dst[valueDim] = softmax(scale × q·K) · V. With f16 pages q is rounded to f16
// first; probabilities stay float32; sums run over ascending positions whatever the pages are.
func Attend(dst, q []float32, kv *KVPages, table []int32, kvHead, pos int, scale float32, scratch *Scratch) {
	panic("skeleton")
}

// ReLU2Mul: dst = relu(gate)² × up. SiLUMul: dst = gate/(1+exp(−gate)) × up. dst may be gate or up.
func ReLU2Mul(dst, gate, up []float32) { panic("skeleton") }
func SiLUMul(dst, gate, up []float32)  { panic("skeleton") }

// Add: dst += x.
func Add(dst, x []float32) { panic("skeleton") }

// Exp, Log, Sin, Cos, Pow: own, the same bits everywhere; error bounds in their comments.
func Exp(x float32) float32    { panic("skeleton") }
func Log(x float32) float32    { panic("skeleton") }
func Sin(x float32) float32    { panic("skeleton") }
func Cos(x float32) float32    { panic("skeleton") }
func Pow(x, y float32) float32 { panic("skeleton") }

// Softmax in place over x (max subtracted, denominator in float64 lanes, one
// multiplication by float32(1/sum)); returns max and the sum.
func Softmax(x []float32) (max float32, sum float64) { panic("skeleton") }

// TopK finds the k largest values (ties: lowest index first), descending.
func TopK(x []float32, k int, ids []int32, vals []float32) ([]int32, []float32) { panic("skeleton") }

// FirstNonFinite returns the index of the first NaN or Inf, or -1.
func FirstNonFinite(x []float32) int { panic("skeleton") }
