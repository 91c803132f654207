// Package check finds every reason why a model file would not run.
//
//	file ─▶ faults ─▶ vocabulary ─▶ network ─▶ types ─▶ values of all tensors
//	           │           │            │         │          │
//	           └───────────┴────────────┴─────────┴──────────┴──▶ reasons, warnings
//
// The examinations are independent of each other, so that one fault does not
// hide the next.
package check
