// Package gguf turns a model file into named, typed, memory-mapped tensors and
// metadata, and writes such files.
//
// Reading goes one way, and each arrow is one file of this package:
//
//	path ─▶ split.go ─▶ mapping (mmap_*.go) ─▶ header.go ─▶ resolve.go ─▶ layout.go ─▶ File
//	        all parts    bytes, no copy         keys, infos   ids → Types  bounds, views
//	                         │
//	                         └─▶ registry ◀── Guard: a fault in a mapping becomes a *FaultError
//
// The header (everything before the tensor data) is walked once on the mapping
// to find its end, copied to the heap, and parsed from the copy: keys, names
// and strings are views of that one copy, stay valid after Close, and can
// neither fault nor change. Arrays are checked then but decoded when asked for.
// Tensor data is never copied.
//
// Writing streams: Set and Add collect the header, the first WriteTensor writes
// it, each tensor passes through a fixed buffer, Close makes the file appear.
//
// The container is GGUF versions 2 and 3, little-endian, as described by the
// ggml project's docs/gguf.md; type numbers are those of llama.cpp, bitnet.cpp
// and ik_llama.cpp, which disagree (types.go, resolve.go).
//
// Every error about the content of a file is a *FormatError whose kind is one
// of the Err… sentinels; see errors.go.
package gguf
