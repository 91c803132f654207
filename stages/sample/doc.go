// Package sample picks the next token from one row of logits.
//
// The chain is that of bitnet.cpp and llama.cpp, each step seeing what the one
// before left over:
//
//	logits ─▶ penalties ─▶ top-k ─▶ typical ─▶ top-p ─▶ min-p ─▶ temperature ─▶ draw ─▶ id
//	              │                                                              ▲
//	              └── temperature 0: the largest logit ──────────────────────▶ id │ mt19937
//
// Temperature comes after the cuts, which therefore see untempered
// probabilities. Candidates are ordered by descending logit and, among equals,
// ascending id, so that a draw is the same on every machine; exponentials and
// logarithms are quantkern's own for the same reason.
//
// A Sampler belongs to one request: its generator and its history of tokens
// are its own, so what a request draws does not depend on its neighbours in a
// batch.
package sample
