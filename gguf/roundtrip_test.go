package gguf_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// anyValue draws a metadata value of any type.
func anyValue() *rapid.Generator[any] {
	return rapid.OneOf(
		of(rapid.Uint8()), of(rapid.Int8()), of(rapid.Uint16()), of(rapid.Int16()), of(rapid.Uint32()), of(rapid.Int32()),
		of(rapid.Uint64()), of(rapid.Int64()), of(rapid.Float32()), of(rapid.Float64()), of(rapid.Bool()), of(rapid.String()),
		of(list(rapid.Uint8())), of(list(rapid.Int8())), of(list(rapid.Uint16())), of(list(rapid.Int16())), of(list(rapid.Uint32())), of(list(rapid.Int32())),
		of(list(rapid.Uint64())), of(list(rapid.Int64())), of(list(rapid.Float32())), of(list(rapid.Float64())), of(list(rapid.Bool())), of(list(rapid.String())),
	)
}

func of[T any](g *rapid.Generator[T]) *rapid.Generator[any] { return g.AsAny() }

func list[T any](g *rapid.Generator[T]) *rapid.Generator[[]T] { return rapid.SliceOfN(g, 0, 20) }

// model is what goes into a file and must come out again.
type model struct {
	keys    []string
	values  map[string]any
	tensors []gguf.TensorInfo
	data    [][]byte
}

// anyModel draws a model. Each type id occurs with one Type, as in real files,
// and Q2_0 is left to the tests about it, since small tensors of it may be of
// either block.
func anyModel(t *rapid.T) model {
	m := model{values: map[string]any{}}
	m.keys = rapid.SliceOfNDistinct(rapid.StringN(1, 30, -1), 0, 8, rapid.ID[string]).Draw(t, "keys")
	for _, k := range m.keys {
		m.values[k] = anyValue().Draw(t, "value of "+k)
	}
	if rapid.Bool().Draw(t, "aligned") {
		m.keys = append(m.keys, "general.alignment")
		m.values["general.alignment"] = uint32(8) << rapid.IntRange(0, 6).Draw(t, "alignment")
	}
	types := []gguf.Type{gguf.TypeF32, gguf.TypeF16, gguf.TypeBF16, gguf.TypeI8, gguf.TypeI64, gguf.TypeQ4_0, gguf.TypeQ8_0, gguf.TypeQ6_K,
		gguf.TypeTQ1_0, gguf.TypeTQ2_0, gguf.TypeI2_S, gguf.TypeMXFP4, gguf.TypeIQ1_BN, gguf.TypeIQ2_BN}
	for i := range rapid.IntRange(0, 6).Draw(t, "tensors") {
		ti := gguf.TensorInfo{Name: fmt.Sprintf("blk.%d.%s", i, rapid.StringMatching(`[a-z_]{0,12}`).Draw(t, "name")), Type: rapid.SampledFrom(types).Draw(t, "type")}
		for d := range rapid.IntRange(0, 4).Draw(t, "n_dims") {
			ti.Dims = append(ti.Dims, rapid.Uint64Range(0, 5).Draw(t, "dim"))
			if d == 0 && ti.Type.BlockElements() > 1 || ti.Type == gguf.TypeI2_S && d == 0 {
				ti.Dims[0] *= 256
			}
		}
		size, err := ti.Type.Size(ti.Dims)
		if err != nil {
			continue // a scalar of a block type
		}
		b := make([]byte, size)
		for k := range b {
			b[k] = byte(k*7 + i)
		}
		m.tensors, m.data = append(m.tensors, ti), append(m.data, b)
	}
	return m
}

// write writes a model.
func (m model) write(t interface{ Fatal(...any) }) []byte {
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range m.keys {
		if err := w.Set(k, m.values[k]); err != nil {
			t.Fatal(err)
		}
	}
	for _, ti := range m.tensors {
		if err := w.Add(ti); err != nil {
			t.Fatal(err)
		}
	}
	for i, ti := range m.tensors {
		if err := w.WriteTensor(ti.Name, bytes.NewReader(m.data[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read is a model as a File shows it.
func read(f *gguf.File) model {
	m := model{keys: f.Metadata().Keys(), values: map[string]any{}}
	for _, k := range m.keys {
		v, _ := f.Metadata().Get(k)
		m.values[k] = v.Any()
	}
	for _, ts := range f.Tensors() {
		m.tensors = append(m.tensors, gguf.TensorInfo{Name: ts.Name, Type: ts.Type, Dims: ts.Dims})
		m.data = append(m.data, ts.Data)
	}
	return m
}

// diff compares two models; floats by their bits, so that NaN equals itself,
// and the long lists at once, which cmp would take element by element.
func diff(want, got model) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(model{}), cmpopts.EquateEmpty(),
		atOnce[byte](), atOnce[string](), atOnce[int32](),
		cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
		cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }))
}

// atOnce compares slices of T as a whole; empty ones are cmpopts' affair.
func atOnce[T comparable]() cmp.Option {
	return cmp.FilterValues(func(a, b []T) bool { return len(a)+len(b) > 0 }, cmp.Comparer(slices.Equal[[]T]))
}

func roundTrip(t *rapid.T) {
	want := anyModel(t)
	data := want.write(t)
	f, err := gguf.Parse("drawn", data, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, read(f)); d != "" {
		t.Fatalf("reader(writer(x)) differs: %s", d)
	}
	if again := read(f).write(t); !bytes.Equal(data, again) {
		t.Fatal("writing what was read gives other bytes")
	}
	for _, ts := range f.Tensors() {
		if ts.Cols()*ts.Rows() != ts.Elements() || ts.File != "drawn" {
			t.Fatalf("%s: %d × %d, %d elements, file %s", ts.Name, ts.Cols(), ts.Rows(), ts.Elements(), ts.File)
		}
	}
}

func TestRoundTrip(t *testing.T) { rapid.Check(t, roundTrip) }

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"))
	f.Fuzz(rapid.MakeFuzz(roundTrip))
}

// FuzzParse: no bytes make the reader panic or take much memory, and what it
// accepts can be decoded and written again with the same content.
func FuzzParse(f *testing.F) {
	for _, c := range gguftest.Hostile() {
		if len(c.Data) < 4096 {
			f.Add(c.Data)
		}
	}
	for _, data := range gguftest.Odd() {
		if len(data) < 4096 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *gguf.File
		var err error
		if used := allocated(func() { file, err = gguf.Parse("fuzz", data, gguf.Options{}) }); used > 64*uint64(len(data))+1<<20 {
			t.Fatalf("allocated %d bytes for %d", used, len(data))
		}
		if err != nil {
			if file != nil || err.Error() == "" {
				t.Fatalf("file %v with error %q", file, err)
			}
			return
		}
		for _, k := range file.Metadata().Keys() {
			if v, ok := file.Metadata().Get(k); !ok || v.String() == "" || v.Type().String() == "" {
				t.Fatalf("key %q: %v", k, v)
			}
		}
		m := read(file)
		again, err := gguf.Parse("again", m.write(t), gguf.Options{Q2Block: q2Block(file)})
		if err != nil {
			t.Fatal(err)
		}
		got := read(again)
		if len(got.tensors) != len(m.tensors) {
			t.Fatalf("%d tensors became %d", len(m.tensors), len(got.tensors))
		}
		// Closing gaps may decide an id that forks share otherwise; its bytes
		// stay comparable through the type's name only.
		for i := range m.tensors {
			if m.tensors[i].Type.ID() == got.tensors[i].Type.ID() {
				got.tensors[i].Type, got.data[i] = m.tensors[i].Type, m.data[i]
			}
		}
		if d := diff(m, got); d != "" {
			t.Fatal(d)
		}
	})
}

// q2Block is the option under which a file's Q2_0 tensors are read again alike.
func q2Block(f *gguf.File) int {
	for _, ts := range f.Tensors() {
		if ts.Type == gguf.TypeQ2_0_128 {
			return 128
		}
	}
	return 64
}
