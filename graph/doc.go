// Package graph says what the network in a file is, and which device runs
// which part of it. It computes nothing and knows no device.
//
//	GGUF file ── general.architecture ──▶ architecture   arch_*.go: data
//	   │                                     │
//	   │  <arch>.* keys ── keys.go ──▶ Params│  slots: names, roles, dimensions (slot.go)
//	   │                                 │   │
//	   └─ tensors, by name ──────▶ bind.go ◀─┘
//	                                 │
//	                                 ▼
//	                Model: Embed ─▶ Block 0 ─▶ … ─▶ Block N-1 ─▶ Head
//	                                 │
//	    Capacity (bytes, speed) ─▶ MakePlan ─▶ Plan: part 0 │ part 1 │ …   one a device
//
// A new architecture is one short file: which slots its blocks have and in
// which order files keep them, its RoPE, its activation. Shapes read the same
// tables backwards, into tensors and metadata of files yet to be written.
//
// Whatever keeps a file from being the network that it claims to be is a
// typed error (errors.go). What the network does not use and does not need is
// listed in Model.Surplus; what was assumed in Model.Notes.
package graph
