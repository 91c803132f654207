// Package quantkern is tritflow's numbers: slices in, slices out. It unpacks
// and packs the tensor types of GGUF files and holds the arithmetic of the
// forward pass. It knows no files, devices or goroutines and imports nothing
// of tritflow.
//
// One block of a BitNet b1.58 network, in the words of this package:
//
//	x ─ RMSNorm ─ Acts ─ MulTernary q,k,v ─ Rope ─┬─ KVPages.Put
//	│                                             └─ Attend ─ RMSNorm ─ Acts ─ MulTernary ─┐
//	└────────────────────────────────────────────────────────────────────────────────── Add
//	                                                                                      │
//	┌─────────────────────────────────────────────────────────────────────────────────────┤
//	└ RMSNorm ─ Acts ─ MulTernary gate,up ─ ReLU2Mul ─ RMSNorm ─ Acts ─ MulTernary down ─ Add
//
// and the head is RMSNorm ─ MulDense ─ TopK or Softmax, or, for the largest
// logits alone, RMSNorm ─ ScreenActs ─ Screen.Upper ─ Shortlist ─ DotRow ─ TopK
// with the same result. Acts quantizes rows once for all products that read them.
//
// # Codecs
//
// A Codec, found by the name of the tensor type (Lookup), decodes rows of a
// matrix to float32 and encodes them. Ternary types are not decoded for
// multiplication: a Ternary reads trits and scales where they lie in the file.
//
// # The numbers are a contract
//
// The plain-Go functions are the specification: every other implementation of
// them gives the same bits. For that
//
//   - integer dots are exact;
//   - every float reduction over a row has sixteen lanes and one tree (Lanes),
//     and what is summed over positions or blocks is summed in ascending order;
//   - every product is rounded before it is added: nothing is fused, which Go
//     guarantees only where the product is converted explicitly;
//   - Exp, Log, Sin, Cos and Pow are our own, from operations that IEEE 754
//     defines exactly.
//
// Results are therefore the same on every processor, for every number of
// workers, batch, page size and tier. Only the sign and payload of a NaN may
// differ.
//
// # Tiers
//
// The hot kernels exist again in assembly: packages avx512 (VNNI), amx (tile registers, for
// products of ten and more activation rows; everything else is avx512's), avx2, avxvnni (ternary
// products; everything else is avx2's) and neon (with and without dot products), written by the generators in _gen and chosen
// once by what the processor can do (Tier), or by the environment variable TRITFLOW_ISA. They take whole
// blocks of sixteen values; everything else stays with plain Go. The build tag
// noasm leaves them out.
//
// Kernels check lengths and panic when a caller got them wrong. What depends
// on files or users is checked before (Codec.Check, NewTernary, NewKVPages)
// and gives errors.
package quantkern
