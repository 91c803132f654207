package fingerprint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf"
)

// Model is what a file holds. It does not depend on the file's name or on how it is split.
type Model struct {
	Digest   string   `json:"digest"`   // of everything below, "sha256:" and hexadecimal digits
	Metadata string   `json:"metadata"` // of keys and values, hexadecimal
	Tensors  []Tensor `json:"tensors"`  // in the order of the file
}

// Tensor is one tensor's name, shape and the SHA-256 of its bytes.
type Tensor struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Dims   []uint64 `json:"dims"`
	SHA256 string   `json:"sha256"`
}

// Of reads the whole file. Errors are those of reading, or ctx's cause.
func Of(ctx context.Context, f *gguf.File) (*Model, error) {
	// Journals of batch jobs hold this digest.
	all, meta := sha256.New(), sha256.New()
	err := gguf.Guard(func() error {
		md := f.Metadata()
		for _, key := range md.Keys() {
			v, _ := md.Get(key)
			fmt.Fprintf(io.MultiWriter(all, meta), "%q %s %#v\n", key, v.Type(), v.Any())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	tensors := f.Tensors()
	sums := make([][sha256.Size]byte, len(tensors))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, t := range tensors {
		group.Go(func() error {
			return gguf.Guard(func() error {
				sums[i] = sha256.Sum256(t.Data)
				return context.Cause(ctx)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	m := &Model{Metadata: hex.EncodeToString(meta.Sum(nil))}
	for i, t := range tensors {
		fmt.Fprintf(all, "%q %s %v %x\n", t.Name, t.Type, t.Dims, sums[i])
		m.Tensors = append(m.Tensors, Tensor{t.Name, fmt.Sprint(t.Type), slices.Clone(t.Dims), hex.EncodeToString(sums[i][:])})
	}
	m.Digest = "sha256:" + hex.EncodeToString(all.Sum(nil))
	return m, nil
}

// Differs says what the first difference of another model to this one is, "" where there is none.
func (m *Model) Differs(other *Model) string {
	if m.Digest == other.Digest {
		return ""
	}
	for i, t := range m.Tensors {
		if i >= len(other.Tensors) {
			return fmt.Sprintf("tensor %s is missing", t.Name)
		}
		o := other.Tensors[i]
		switch {
		case o.Name != t.Name:
			return fmt.Sprintf("tensor %d is %s, not %s", i, o.Name, t.Name)
		case o.Type != t.Type || !slices.Equal(o.Dims, t.Dims):
			return fmt.Sprintf("tensor %s is %s %v, not %s %v", t.Name, o.Type, o.Dims, t.Type, t.Dims)
		case o.SHA256 != t.SHA256:
			return fmt.Sprintf("tensor %s holds other values", t.Name)
		}
	}
	if extra := len(other.Tensors) - len(m.Tensors); extra > 0 {
		return fmt.Sprintf("%d more tensors, the first of them %s", extra, other.Tensors[len(m.Tensors)].Name)
	}
	return "the metadata differs"
}
