// Package builtin carries the small trained model that is used when no file is
// named, so that the program answers without a download.
//
//	mini.gguf ─ go:embed ─▶ bytes in the binary ─ gguf.Parse ─▶ *gguf.File (no copy, no mapping)
//
// mini.gguf is a BitNet b1.58 network of 5.1 million parameters (architecture
// bitnet-b1.58, 6 blocks of width 256, I2_S weights) trained by this project on
// generated text; Apache-2.0. It is a file like any other and takes the same
// path through the program.
package builtin

import (
	_ "embed"

	"tritflow/gguf"
)

//go:embed mini.gguf
var mini []byte

// Name is how the built-in model calls itself in messages.
const Name = "builtin:mini"

// SHA256 is the hexadecimal digest of the built-in model's file.
const SHA256 = "0e6080ea22158617caf5205fa660facdbb63937f935c1d51cc9adc1a44acce17"

// Open parses the built-in model. The tensors are views of the program's own
// read-only data; Close costs nothing.
func Open() (*gguf.File, error) {
	return gguf.Parse(Name, mini, gguf.Options{})
}
