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
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"sync"

	"tritflow/gguf"
)

//go:embed mini.gguf
var mini []byte

// Name is how the built-in model calls itself in messages.
const Name = "builtin:mini"

// SHA256 is the hexadecimal digest of the built-in model's file.
const SHA256 = "9fdf32bed846ee4632526e0659c4a91539ad03e03794546d7b05e5ec6585ecce"

// DigestError: the model inside the program is not the one that was put there.
type DigestError struct{ Got string }

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: its digest is %s, not %s: the program file is damaged, build or install it again", Name, e.Got, SHA256)
}

// verified compares the digest once; two megabytes take about a millisecond.
var verified = sync.OnceValue(func() error { return verify(mini) })

func verify(data []byte) error {
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != SHA256 {
		return &DigestError{got}
	}
	return nil
}

// Open parses the built-in model. The tensors are views of the program's own
// read-only data; Close costs nothing. A damaged program is a *DigestError.
func Open() (*gguf.File, error) { return OpenFile("", gguf.Options{}) }

// OpenFile opens a model file as gguf.Open does, or with an empty path the built-in
// model, which is read with the same options.
func OpenFile(path string, opt gguf.Options) (*gguf.File, error) {
	if path != "" {
		return gguf.Open(path, opt)
	}
	if err := verified(); err != nil {
		return nil, err
	}
	return gguf.Parse(Name, mini, opt)
}

// WriteTo writes the model as a GGUF file.
func WriteTo(w io.Writer) (int64, error) {
	if err := verified(); err != nil {
		return 0, err
	}
	return bytes.NewReader(mini).WriteTo(w)
}
