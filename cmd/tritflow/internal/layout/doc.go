// Package layout finds out which of its three byte orders the I2_S tensors of
// a file have, where the file does not tell.
//
//	path ─┬─▶ opened as A, B and C ─▶ trits ─▶ structure: what lies in one row or column belongs together
//	      └─▶ opened as A, B and C ─▶ a short forward pass ─▶ how well English text is predicted
//	                                                             │
//	                       Verdict: the layout, and how sure ◀───┘
//
// Any order gives valid trits, so only the numbers can tell. Structure looks at
// zeros: rows and columns of trained weights differ in their number, and columns that
// read a channel go with rows that write it. The forward pass settles it: a wrong order makes
// noise of a network, which predicts no text better than chance.
package layout
