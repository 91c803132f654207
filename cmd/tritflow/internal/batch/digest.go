package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf"
)

// ModelDigest is a SHA-256 over everything that a model file says: metadata and
// tensors by name. It does not depend on the file's own name or on how it is split.
func ModelDigest(ctx context.Context, f *gguf.File) (string, error) {
	h := sha256.New()
	err := gguf.Guard(func() error {
		md := f.Metadata()
		for _, key := range md.Keys() {
			v, _ := md.Get(key)
			fmt.Fprintf(h, "%q %s %#v\n", key, v.Type(), v.Any())
		}
		return nil
	})
	if err != nil {
		return "", err
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
		return "", err
	}
	for i, t := range tensors {
		fmt.Fprintf(h, "%q %s %v %x\n", t.Name, t.Type, t.Dims, sums[i])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
