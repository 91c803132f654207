//go:build cuda

package cuda

import (
	"errors"
	"fmt"
)

// attention are the kernels for one head dimension, and one way to keep keys and values.
type attention struct {
	chunks, rows, decode, each kernel
	clusters                   clusterKernels // without code where exact is false
	span, fewSpan              kernel         // for all blocks together; without code where spanned is false
	bytes                      int            // of a chunk in shared memory
	own                        int            // of a position that is rounded there
	folds                      *foldKernels
}

// foldKernels put chunks together, for one head dimension.
type foldKernels struct{ combine, narrow, wide kernel }

// attentions are the kernels for heads of 64 and 128 values, kept as halves and as bytes.
type attentions struct {
	of    [2][2]attention // [dimension][kept]
	folds [2]foldKernels
}

// attentionDims are the head dimensions that they are for; keptNames what tells in their names how keys and values are kept.
var (
	attentionDims = [...]int{64, 128}
	keptNames     = [...]string{"", "_q8"}
)

func (a *attentions) init() {
	for i, dim := range attentionDims {
		for j, kept := range [...]struct{ bytes, own int }{{halvesOf(dim), 0}, {bytesOfChunk(dim), 2 * 4 * dim}} {
			a.of[i][j] = attention{clusters: newClusterKernels(), bytes: kept.bytes, own: kept.own, folds: &a.folds[i]}
		}
	}
}

// nameAttention lists the kernels of attention and of all blocks together.
func (k *kernelSet) nameAttention(all map[string]map[string]*kernel) {
	if k.spanned {
		all["span"], all["span_few"] = map[string]*kernel{}, map[string]*kernel{}
	}
	if k.exact {
		all["decode_cluster"], all["decode_cluster_q8"] = map[string]*kernel{}, map[string]*kernel{}
	}
	for i, dim := range attentionDims {
		at := func(source, name, kept string, kn *kernel) { all[source][fmt.Sprintf("%s%s_%d", name, kept, dim)] = kn }
		folds := &k.attn.folds[i]
		at("attention", "attn_combine", "", &folds.combine)
		at("decode", "attn_norm12", "", &folds.narrow)
		at("decode", "attn_norm32", "", &folds.wide)
		for j, kept := range keptNames {
			a := &k.attn.of[i][j]
			at("attention", "attn_chunks", kept, &a.chunks)
			at("attention", "attn_rows", kept, &a.rows)
			at("decode", "attn_decode", kept, &a.decode)
			at("decode", "attn_each", kept, &a.each)
			if k.spanned {
				at("span", "span", kept, &a.span)
				at("span_few", "span_few", kept, &a.fewSpan)
			}
			if !k.exact {
				continue
			}
			for _, list := range a.clusters {
				for _, kn := range list {
					all["decode_cluster"+kept][kn.name(dim, kept)] = &kn.kernel
				}
			}
		}
	}
}

// ready prepares those that need much shared memory; exact: clusters too.
func (a *attentions) ready(exact bool) error {
	for i, dim := range attentionDims {
		for j := range keptNames {
			k := &a.of[i][j]
			err := errors.Join(k.rows.f.AllowShared(k.rowBytes(dim)), k.each.f.AllowShared(2*k.bytes))
			if err == nil && exact {
				err = k.clusters.ready(dim, k.bytes+k.own)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// halvesOf and bytesOfChunk are the bytes of a chunk's keys and values in shared memory (Halves and Bytes of
// kernels/chunk_halves.cuh and chunk_bytes.cuh).
func halvesOf(dim int) int     { return 2 * 2 * positionsOfChunk * dim }
func bytesOfChunk(dim int) int { return 2 * positionsOfChunk * dim / q8Values * q8Bytes }

// attention picks the kernels for heads of so many values, kept so.
func (k *kernelSet) attention(dim, kept int) *attention {
	i, j := 0, 0
	if dim == attentionDims[1] {
		i = 1
	}
	if kept == keptBytes {
		j = 1
	}
	return &k.attn.of[i][j]
}

// rowBytes is the shared memory of the kernel for many rows: two chunks, or one of bytes and what becomes of it.
func (k *attention) rowBytes(dim int) int { return k.bytes + halvesOf(dim) }
