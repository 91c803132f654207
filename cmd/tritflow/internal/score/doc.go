// Package score asks a model how likely given text is: perplexity of a long
// one, log-probabilities of continuations of a prompt. The logits are those of
// the pipeline, the sums float64.
//
//	text ─ tokens ─ windows ─▶ Source.Logits ─▶ ln p(token | before) ─▶ Report
package score
