package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"tritflow/gguf"
)

// written makes a file in memory; a tensor's data is of its Type's size.
func written(t *testing.T, kvs map[string]any, tensors ...gguf.TensorInfo) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for k, v := range kvs {
		if err := w.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, ti := range tensors {
		if err := w.Add(ti); err != nil {
			t.Fatal(err)
		}
	}
	for _, ti := range tensors {
		size, err := ti.Type.Size(ti.Dims)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor(ti.Name, bytes.NewReader(make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestIDsThatForksShare(t *testing.T) {
	fork := func(ftype uint32) map[string]any {
		return map[string]any{"general.architecture": "bitnet", "general.file_type": ftype}
	}
	big, small := []uint64{1024, 64}, []uint64{256, 6}
	cases := []struct {
		name string
		kvs  map[string]any
		typ  gguf.Type
		dims []uint64
		opt  gguf.Options
		want gguf.Type // TypeNone: typ
	}{
		{name: "I2_S", typ: gguf.TypeI2_S, dims: big},
		{name: "I2_S, layout A", typ: gguf.TypeI2_S, dims: big, opt: gguf.Options{I2SLayout: "A"}},
		{name: "I2_S, layout B", typ: gguf.TypeI2_S, dims: big, opt: gguf.Options{I2SLayout: "B"}, want: gguf.TypeI2_S_B},
		{name: "I2_S, layout C", typ: gguf.TypeI2_S, dims: big, opt: gguf.Options{I2SLayout: "c"}, want: gguf.TypeI2_S_C},
		{name: "narrow I2_S_B", typ: gguf.TypeI2_S_B, dims: []uint64{64, 3}, opt: gguf.Options{I2SLayout: "B"}},
		{name: "removed 36", typ: gguf.TypeIQ4_NL_4_4, dims: big},
		{name: "removed 37", typ: gguf.TypeIQ4_NL_4_8, dims: big},
		{name: "I8_S", typ: gguf.TypeI8_S, dims: big},
		{name: "TL1", typ: gguf.TypeTL1, dims: big, kvs: fork(38)},
		{name: "TL1 without file type", typ: gguf.TypeTL1, dims: big},
		{name: "removed 38", typ: gguf.TypeIQ4_NL_8_8, dims: big},
		{name: "TL2", typ: gguf.TypeTL2, dims: big, kvs: fork(39)},
		{name: "TL2 without file type", typ: gguf.TypeTL2, dims: small},
		{name: "MXFP4", typ: gguf.TypeMXFP4, dims: big, kvs: fork(38)},
		{name: "MXFP4 in a file that names TL2", typ: gguf.TypeMXFP4, dims: big, kvs: fork(39)},
		{name: "NVFP4", typ: gguf.TypeNVFP4, dims: big},
		{name: "Q1_0", typ: gguf.TypeQ1_0, dims: big},
		{name: "Q2_0", typ: gguf.TypeQ2_0, dims: big},
		{name: "Q2_0_128", typ: gguf.TypeQ2_0_128, dims: big},
		{name: "Q2_0, tiny, by option", typ: gguf.TypeQ2_0, dims: []uint64{128}, opt: gguf.Options{Q2Block: 64}},
		{name: "Q2_0_128, tiny, by option", typ: gguf.TypeQ2_0, dims: []uint64{128}, opt: gguf.Options{Q2Block: 128}, want: gguf.TypeQ2_0_128},
		{name: "Q2_0 of 64 columns", typ: gguf.TypeQ2_0, dims: []uint64{64}},
		{name: "Q2_0 without elements", typ: gguf.TypeQ2_0_128, dims: []uint64{0}, want: gguf.TypeQ2_0},
		{name: "IQ1_BN", typ: gguf.TypeIQ1_BN, dims: big},
		{name: "IQ2_BN", typ: gguf.TypeIQ2_BN, dims: big},
		{name: "IQ2_BN_R4", typ: gguf.TypeIQ2_BN_R4, dims: big},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := c.want
			if want == gguf.TypeNone {
				want = c.typ
			}
			f32 := gguf.TensorInfo{Name: "f32", Type: gguf.TypeF32, Dims: []uint64{3}}
			it := gguf.TensorInfo{Name: "it", Type: c.typ, Dims: c.dims}
			for place, order := range map[string][]gguf.TensorInfo{"last": {f32, it}, "first": {it, f32}, "alone": {it}} {
				f, err := gguf.Parse(place, written(t, c.kvs, order...), c.opt)
				if err != nil {
					t.Fatal(err)
				}
				got, _ := f.Tensor("it")
				if got.Type != want {
					t.Errorf("%s: type %v, want %v", place, got.Type, want)
				}
				if size, err := want.Size(c.dims); err != nil || uint64(len(got.Data)) != size {
					t.Errorf("%s: %d bytes, want %d, %v", place, len(got.Data), size, err)
				}
			}
		})
	}
}

// A tensor that fits both ways is decided by its larger neighbour.
func TestTinyFollowsTheOthers(t *testing.T) {
	for _, typ := range []gguf.Type{gguf.TypeQ2_0, gguf.TypeQ2_0_128} {
		data := written(t, nil,
			gguf.TensorInfo{Name: "tiny", Type: typ, Dims: []uint64{128}},
			gguf.TensorInfo{Name: "large", Type: typ, Dims: []uint64{1024, 4}})
		f, err := gguf.Parse("q2", data, gguf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, ts := range f.Tensors() {
			if ts.Type != typ {
				t.Errorf("%s: %v, want %v", ts.Name, ts.Type, typ)
			}
		}
	}
}

// A gap behind the tensor hides its size; then the file type speaks.
func TestGapLeavesItToTheFileType(t *testing.T) {
	for ftype, want := range map[uint32]gguf.Type{39: gguf.TypeTL2, 38: gguf.TypeMXFP4} {
		data := written(t, map[string]any{"general.architecture": "bitnet-b1.58", "general.file_type": ftype},
			gguf.TensorInfo{Name: "it", Type: gguf.TypeMXFP4, Dims: []uint64{256, 64}})
		data = append(data, make([]byte, 4096)...)
		f, err := gguf.Parse("gap", data, gguf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Tensors()[0].Type; got != want {
			t.Errorf("file type %d: %v, want %v", ftype, got, want)
		}
	}
}

func TestUnknownTypeNamesTensorAndID(t *testing.T) {
	data := written(t, nil, gguf.TensorInfo{Name: "blk.0.odd", Type: gguf.TypeQ1_0, Dims: []uint64{128}})
	at := bytes.Index(data, binary.LittleEndian.AppendUint32(nil, 41))
	data[at] = 200
	_, err := gguf.Parse("odd", data, gguf.Options{})
	var fe *gguf.FormatError
	if !errors.As(err, &fe) || fe.Tensor != "blk.0.odd" || !bytes.Contains([]byte(err.Error()), []byte("200")) {
		t.Fatalf("got %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	data := written(t, nil)
	for _, opt := range []gguf.Options{{I2SLayout: "D"}, {Q2Block: 32}} {
		if _, err := gguf.Parse("x", data, opt); !errors.Is(err, gguf.ErrOption) {
			t.Errorf("%+v: got %v", opt, err)
		}
	}
}
