// Package operations computes the operations of a network on numbers of its own, with
// the kernels that are in use and again in float64, and says how far apart they are.
//
//	shapes, seed ─▶ inputs ─┬─ quantkern ─┬─▶ compare.Figures of each Operation
//	                        └─ float64 ───┘
package operations
