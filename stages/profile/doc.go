// Package profile measures how long devices take for the parts of a model,
// with the model's own weights, and remembers it.
//
//	devices ─┐
//	         ├─▶ Measure: embed, blocks, head at some numbers of rows ─▶ Set ─▶ Load/Save (the user's cache)
//	model ───┘
//
// A Profile is a table from rows to seconds; what lies between two entries is
// interpolated. Where several devices use the host's memory, each is measured
// alone and again while all work, because they share its bandwidth.
package profile
