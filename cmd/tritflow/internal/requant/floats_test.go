package requant

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"path/filepath"
	"testing"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// oneMatrix writes a file of one matrix of trits whose rows (or, in types with one
// scale, whole) have the given scales.
func oneMatrix(t *testing.T, typ gguf.Type, scales ...float32) string {
	t.Helper()
	c, err := quantkern.Lookup(typ.String())
	if err != nil {
		t.Fatal(err)
	}
	const rows, cols = 32, 256
	src := quantkern.TritSource{Rows: rows, Cols: cols, Scale: scales[0], Group: c.BlockValues, Trits: func(dst []int8, r int) error {
		for i := range dst {
			dst[i] = int8((i+r)%3) - 1
		}
		return nil
	}}
	if len(scales) > 1 {
		src.Scales = func(dst []float32, r int) {
			for i := range dst {
				dst[i] = scales[r%len(scales)]
			}
		}
	}
	data := make([]byte, c.Size(rows, cols))
	if err := c.EncodeTernary(data, src, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "in.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const name = "blk.0.attn_q.weight"
	err = errors.Join(w.Add(gguf.TensorInfo{Name: name, Type: typ, Dims: []uint64{cols, rows}}), w.WriteTensor(name, bytes.NewReader(data)), w.Close())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFloats: trits that become floats are trit × scale to the bit, or refused.
func TestFloats(t *testing.T) {
	const odd = 0.0123456 // not a half precision number
	for name, c := range map[string]struct {
		from   gguf.Type
		to     gguf.Type
		round  bool
		scales []float32
		fails  bool
	}{
		"rows of halves":              {gguf.TypeIQ2_BN, gguf.TypeF16, false, []float32{0.5, 0.25}, false},
		"rows that F16 would round":   {gguf.TypeIQ2_BN, gguf.TypeF16, false, []float32{0.5, odd}, true},
		"rows that may be rounded":    {gguf.TypeIQ2_BN, gguf.TypeF16, true, []float32{0.5, odd}, false},
		"rows in F32":                 {gguf.TypeIQ2_BN, gguf.TypeF32, false, []float32{0.5, odd}, false},
		"a negative scale":            {gguf.TypeI2_S, gguf.TypeF16, false, []float32{-0.5}, false},
		"a negative scale in F32":     {gguf.TypeI2_S, gguf.TypeF32, false, []float32{-odd}, false},
		"a negative scale beside F16": {gguf.TypeI2_S, gguf.TypeF16, false, []float32{-odd}, false},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.gguf")
			err := convert(t.Context(), oneMatrix(t, c.from, c.scales...), out, Options{Type: c.to, RoundScales: c.round})
			var refused *RefusedError
			if c.fails {
				if !errors.As(err, &refused) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f, err := gguf.Open(out, gguf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			w, _ := f.Tensor("blk.0.attn_q.weight")
			own := float32(1)
			if s, ok := f.Tensor("blk.0.attn_q.scale"); ok {
				own = math.Float32frombits(binary.LittleEndian.Uint32(s.Data))
			}
			codec, err := quantkern.Lookup(w.Codec())
			if err != nil {
				t.Fatal(err)
			}
			row := make([]float32, w.Cols())
			for r := range w.Rows() {
				codec.Decode(row, w.Data, w.Rows(), w.Cols(), r)
				want := c.scales[r%len(c.scales)]
				if c.round {
					want = quantkern.F16ToF32(quantkern.F32ToF16(want))
				}
				for i, v := range row {
					if v*own != float32((i+r)%3-1)*want {
						t.Fatalf("row %d, column %d is %v", r, i, v*own)
					}
				}
			}
		})
	}
}
