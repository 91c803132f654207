// Package fingerprint says with hashes what a model file holds.
//
//	gguf.File ─▶ metadata, SHA-256 ─┐
//	          ─▶ each tensor, SHA-256 ─┴─▶ Model.Digest
package fingerprint
