// Package i2slayout finds out in which of its three byte orders the I2_S
// tensors of a file are stored, from the weights alone.
//
//	for each order:  trits ─▶ how dense is each row and column ─▶ does that agree with what
//	                          no byte order can move (norm weights, the rows next door)?
//
// A wrong order shuffles the columns of a matrix within 64 or 128 and (C) mixes
// four rows, and every code stays valid. But in a trained network the columns
// of a matrix are not alike: those that read a loud feature differ in density
// from the others, and what is loud shows elsewhere too, in the norm before the
// matrix and in the rows that produce the feature. Right orders make these agree,
// wrong ones do not. Random weights agree with nothing, and then the verdict is
// that nothing can be said.
package i2slayout
