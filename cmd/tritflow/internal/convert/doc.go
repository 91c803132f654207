// Package convert writes a GGUF file from a model folder (package gguf/hf).
//
//	config.json ─ network.go ─▶ graph.Shape: keys, and which tensors the file has
//	                               │
//	safetensors ─ names.go ────────┴─▶ parts: a tensor of the file, where its values come from
//	                                     │
//	            matrix.go ─ unpack, or round to trits ─▶ values, scale ─ pack.go ─▶ bytes ─▶ gguf.Writer
//
// One matrix is in memory at a time; embedding and head pass through in a few
// rows. Everything is checked and announced before the first byte of a tensor
// is written. Errors are those of package hf, and *Error.
package convert
