// Package requant writes tensors as other types: ternary ones without losing
// anything, real-valued ones rounded as their types do.
//
//	gguf.File ─▶ plan: what becomes of every tensor, by its name and its own values ─▶ header
//	                                      │
//	trits ─ quantkern.EncodeTernary ◀─────┤
//	values ─ absmean ─ trits, or Encode ◀─┤  one tensor at a time
//	bytes as they are ◀───────────────────┘
//	                                      └─▶ gguf.Writer ─▶ Verify reads both files again ─▶ OUT
//
// Tensor and its makers (FromTrits, FromValues, Copy) do not know where the
// numbers come from, so that another converter can use them: it announces with
// Add and writes with Write. Memory is that of the largest tensor that is packed
// as a whole, and of a few rows otherwise.
//
// A scale that the blocks of a type cannot hold becomes an F32 tensor of its
// own beside the weights, "blk.N.NAME.scale", with 1 in the blocks; the
// architecture of tritflow's graph (and of llama.cpp's bitnet) multiplies the
// product with it, which is the same arithmetic to the bit.
package requant
