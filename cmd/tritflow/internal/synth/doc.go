// Package synth writes models of a given shape with random weights and a
// made-up vocabulary, for measuring and testing where no trained file is at
// hand. Loading and speed are those of a real file; the text is noise.
//
//	graph.Shape ─▶ metadata, tensor list ─▶ gguf.Writer ─▶ file
//	seed ─▶ generator per tensor ─▶ values, a few rows at a time ─▶ codec ─┘
//
// Trits are 0 with probability 0.4 and otherwise −1 or +1 alike, with one
// random scale a tensor; norm weights are 1 ± 0.2, embedding rows 0.05, both
// normal. The same shape, type and
// seed give the same bytes.
package synth
