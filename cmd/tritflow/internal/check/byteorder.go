package check

import (
	"slices"

	"tritflow/gguf"
)

// field is a number of several bytes inside a block.
type field struct{ at, width int }

// wide says where block types keep such numbers; nibbles, trits and bytes have
// no order (formats of llama.cpp's ggml-common.h).
var wide = map[gguf.Type]struct {
	block  int
	fields []field
}{
	gguf.TypeF32:   {4, []field{{0, 4}}},
	gguf.TypeF16:   {2, []field{{0, 2}}},
	gguf.TypeBF16:  {2, []field{{0, 2}}},
	gguf.TypeQ4_0:  {18, []field{{0, 2}}},
	gguf.TypeQ4_1:  {20, []field{{0, 2}, {2, 2}}},
	gguf.TypeQ5_0:  {22, []field{{0, 2}, {2, 4}}},
	gguf.TypeQ5_1:  {24, []field{{0, 2}, {2, 2}, {4, 4}}},
	gguf.TypeQ8_0:  {34, []field{{0, 2}}},
	gguf.TypeQ4_K:  {144, []field{{0, 2}, {2, 2}}},
	gguf.TypeQ5_K:  {176, []field{{0, 2}, {2, 2}}},
	gguf.TypeQ6_K:  {210, []field{{208, 2}}},
	gguf.TypeTQ1_0: {54, []field{{52, 2}}},
	gguf.TypeTQ2_0: {66, []field{{64, 2}}},
}

// byteOrder returns what turns a tensor's numbers round, in place.
func byteOrder(t gguf.Type) (func([]byte) ([]byte, error), bool) {
	if t == gguf.TypeI2_S {
		return func(b []byte) ([]byte, error) {
			for i := len(b) - 32; i < len(b); i += 4 { // the scale and its copies
				slices.Reverse(b[i : i+4])
			}
			return b, nil
		}, true
	}
	w, ok := wide[t]
	return func(b []byte) ([]byte, error) {
		for i := 0; i+w.block <= len(b); i += w.block {
			for _, f := range w.fields {
				slices.Reverse(b[i+f.at : i+f.at+f.width])
			}
		}
		return b, nil
	}, ok
}
