// Package layout finds out which of its three byte orders the I2_S tensors of
// a file have, where the file does not tell.
//
//	path ─┬─▶ weights ─ i2slayout ─▶ do columns agree with norms and with the rows that feed them?
//	      └─▶ opened as A, B and C ─▶ a short forward pass ─▶ how well English text is predicted
//	                                                             │
//	                       Verdict: the layout, and how sure ◀───┘
//
// Any order gives valid trits, so only the numbers can tell. The forward pass
// settles it: a wrong order makes noise of a network, which predicts no text
// better than chance.
package layout
