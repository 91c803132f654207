// Package builtin carries the small trained model that is used when no file is
// named.
package builtin

import (
	_ "embed"

	"tritflow/gguf"
)

//go:embed mini.gguf
var mini []byte

// Name is how the built-in model calls itself in messages.
const Name = "builtin:mini"

// Open parses the built-in model.
func Open() (*gguf.File, error) {
	return gguf.Parse(Name, mini, gguf.Options{})
}
