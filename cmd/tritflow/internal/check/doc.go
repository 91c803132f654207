// Package check is a doctor for model files: what a file is, what is wrong
// with it, and what mends it.
//
//	header ─▶ geometry ─▶ vocabulary ─▶ network ─▶ types ─▶ values ─▶ byte orders ─▶ trials
//	   │         │            │            │         │        │           │            │
//	   └─────────┴────────────┴────────────┴────┬────┴────────┴───────────┴────────────┘
//	                                            ▼
//	                     reasons, faults, warnings, each with a Fix ─▶ draft ─▶ a new file ─▶ again
//
// The examinations are independent of each other, so that one fault does not
// hide the next; causes that explain several findings come first. What follows
// from the file is certain; what is inferred from statistics (byte orders from
// trained weights, swapped matrices from the likelihood of plain English,
// pre-tokenizers from tokens that they could never make) says how sure it is, and
// stays silent where the weights are random.
//
// A Fix that brings back, to the bit, the model that was meant is made by every
// repair; others are made when they are named.
package check
