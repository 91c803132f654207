//go:build !unix && !windows

package gguf

import (
	"io"
	"os"
)

// mapFile reads the first size bytes of f: this system has no file mappings
// that Go can use.
func mapFile(f *os.File, size int) ([]byte, func() error, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, nil, err
}
