package quantkern

import "fmt"

// MulTernary multiplies rows r0..r1-1 of w with len(s) quantized activation
// rows:
//
//	dst[i*stride+r] = (row r of w) · (activation row i)
//
// q holds the activation rows one after the other, w.Cols values each, s their
// scales (QuantizeRow). The dots are exact int32. A uniform matrix gives
// float32(dot)/s × Scale, in that order (bitnet.cpp's I2_S). Otherwise each
// block's dot is multiplied by the block's scale, the products, each rounded,
// are added in ascending order of the blocks, and the sum is divided by s.
//
// dst must not overlap the inputs. Ranges of r may be computed concurrently,
// each with its own scratch.
func MulTernary(dst []float32, stride int, w *Ternary, r0, r1 int, q []int8, s []float32, scratch *Scratch) {
	cols, n := w.Cols, len(s)
	if len(q) < n*cols {
		panic(fmt.Sprintf("quantkern: MulTernary: %d activations for %d rows of %d", len(q), n, cols))
	}
	words := groupWords * groupsOf(cols)
	scratch.acts = grow(scratch.acts, n*words)
	scratch.weights = grow(scratch.weights, words)
	scratch.trits = grow(scratch.trits, groupValues*groupsOf(cols))
	acts, weights, trits := scratch.acts, scratch.weights, scratch.trits
	clear(trits[cols:])
	for i := range n {
		packActivations(acts[i*words:(i+1)*words], q[i*cols:(i+1)*cols])
	}
	for r := r0; r < r1; r++ {
		w.Trits(trits[:cols], r)
		packTrits(weights, asBytes(trits))
		if w.Uniform {
			for i, si := range s {
				dot := dotWords(weights, acts[i*words:(i+1)*words])
				dst[i*stride+r] = float32(dot) / si * w.Scale
			}
			continue
		}
		scales := scratch.blockScales(w, r)
		for i, si := range s {
			sum := blockDots(weights, acts[i*words:(i+1)*words], scales, w.Codec.BlockValues)
			dst[i*stride+r] = sum / si
		}
	}
}

// blockDots adds up dot × scale of blocks of the given number of values.
func blockDots(w, a []uint64, scales []float32, values int) float32 {
	block := values / wordValues
	if values%groupValues != 0 {
		panic(fmt.Sprintf("quantkern: ternary blocks of %d values are not a multiple of %d", values, groupValues))
	}
	var sum float32
	for b, scale := range scales {
		end := min((b+1)*block, len(w))
		dot := dotWords(w[b*block:end], a[b*block:end])
		sum += float32(float32(dot) * scale)
	}
	return sum
}

// MulDense multiplies rows r0..r1-1 of a rows × cols matrix of any codec with
// n float32 activation rows x [n, cols]:
//
//	dst[i*stride+r] = Dot(row r of the matrix, activation row i)
//
// Each matrix row is decoded once; a row of the codec F32 is used where it
// lies when the memory is aligned. dst must not overlap the inputs. Ranges of
// r may be computed concurrently, each with its own scratch.
func MulDense(dst []float32, stride int, c *Codec, data []byte, rows, cols, r0, r1 int, x []float32, n int, scratch *Scratch) {
	if len(x) < n*cols {
		panic(fmt.Sprintf("quantkern: MulDense: %d activations for %d rows of %d", len(x), n, cols))
	}
	var inPlace []float32
	if c.Name == "F32" {
		inPlace, _ = floatsOf(data, rows*cols)
	}
	for r := r0; r < r1; r++ {
		var row []float32
		if inPlace != nil {
			row = inPlace[r*cols : (r+1)*cols]
		} else {
			scratch.row = grow(scratch.row, cols)
			row = scratch.row
			c.Decode(row, data, rows, cols, r)
		}
		for i := range n {
			dst[i*stride+r] = Dot(row, x[i*cols:(i+1)*cols])
		}
	}
}
