package check

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/stages"
)

// forge makes files of any kind, broken ones above all: what gguf.Writer
// refuses to write is written here byte by byte.
type forge struct {
	order   binary.AppendByteOrder
	version uint32
	keys    []rawKey
	tensors []*forged
	align   int // where the data really lies
}

type forged struct {
	name   string
	dims   []uint64
	id     uint32
	data   []byte
	offset int // in the data section; -1: behind the one before
}

// forgeOf takes a good file apart.
func forgeOf(t testing.TB, data []byte) *forge {
	t.Helper()
	r, err := scan(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	f := &forge{order: binary.LittleEndian, version: 3, keys: r.keys, align: 32}
	for _, in := range r.infos {
		typ, _ := typeOf(in.id)
		size, err := typ.Size(in.dims)
		if err != nil {
			t.Fatal(err)
		}
		at := r.body(r.align) + in.offset
		f.tensors = append(f.tensors, &forged{in.name, in.dims, in.id, slices.Clone(data[at : at+size]), -1})
	}
	return f
}

func (f *forge) set(key string, value any) {
	i := slices.IndexFunc(f.keys, func(k rawKey) bool { return k.name == key })
	if i < 0 {
		f.keys = append(f.keys, rawKey{key, value})
		return
	}
	f.keys[i].value = value
}

func (f *forge) get(key string) any {
	i := slices.IndexFunc(f.keys, func(k rawKey) bool { return k.name == key })
	return f.keys[i].value
}

func (f *forge) drop(key string) {
	f.keys = slices.DeleteFunc(f.keys, func(k rawKey) bool { return k.name == key })
}

func (f *forge) tensor(name string) *forged {
	i := slices.IndexFunc(f.tensors, func(t *forged) bool { return t.name == name })
	return f.tensors[i]
}

func (f *forge) dropTensors(part string) {
	f.tensors = slices.DeleteFunc(f.tensors, func(t *forged) bool { return strings.Contains(t.name, part) })
}

// each changes all tensors with a part in their names.
func (f *forge) each(part string, change func(t *forged)) {
	for _, t := range f.tensors {
		if strings.Contains(t.name, part) {
			change(t)
		}
	}
}

// matrices changes all I2_S tensors.
func (f *forge) matrices(change func(t *forged)) {
	for _, t := range f.tensors {
		if t.id == gguf.TypeI2_S.ID() {
			change(t)
		}
	}
}

// place fixes the offsets, so that they stay when sizes and labels change.
func (f *forge) place() {
	at := 0
	for _, t := range f.tensors {
		t.offset = at
		at += (len(t.data) + f.align - 1) / f.align * f.align
	}
}

func (f *forge) bytes() []byte {
	if slices.ContainsFunc(f.tensors, func(t *forged) bool { return t.offset < 0 }) {
		f.place()
	}
	o := f.order
	b := o.AppendUint32([]byte("GGUF"), f.version)
	b = o.AppendUint64(b, uint64(len(f.tensors)))
	b = o.AppendUint64(b, uint64(len(f.keys)))
	for _, k := range f.keys {
		b = f.value(f.str(b, k.name), k.value, true)
	}
	for _, t := range f.tensors {
		b = o.AppendUint32(f.str(b, t.name), uint32(len(t.dims)))
		for _, d := range t.dims {
			b = o.AppendUint64(b, d)
		}
		b = o.AppendUint64(o.AppendUint32(b, t.id), uint64(t.offset))
	}
	for len(b)%f.align != 0 {
		b = append(b, 0)
	}
	body := len(b)
	at := 0
	for _, t := range f.tensors { // in their true places, whatever the offsets say
		for len(b) < body+at {
			b = append(b, 0)
		}
		b = append(b, t.data...)
		at += (len(t.data) + f.align - 1) / f.align * f.align
	}
	for len(b) < body+at {
		b = append(b, 0)
	}
	return b
}

func (f *forge) str(b []byte, s string) []byte {
	return append(f.order.AppendUint64(b, uint64(len(s))), s...)
}

func (f *forge) value(b []byte, v any, typed bool) []byte {
	o := f.order
	id := func(n uint32) {
		if typed {
			b = o.AppendUint32(b, n)
		}
	}
	switch x := v.(type) {
	case uint32:
		id(4)
		return o.AppendUint32(b, x)
	case int32:
		id(5)
		return o.AppendUint32(b, uint32(x))
	case float32:
		id(6)
		return o.AppendUint32(b, math.Float32bits(x))
	case bool:
		id(7)
		if x {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		id(8)
		return f.str(b, x)
	}
	r := reflect.ValueOf(v)
	elem := map[reflect.Kind]uint32{reflect.Int32: 5, reflect.Float32: 6, reflect.String: 8, reflect.Uint32: 4}[r.Type().Elem().Kind()]
	id(9)
	b = o.AppendUint64(o.AppendUint32(b, elem), uint64(r.Len()))
	for i := range r.Len() {
		b = f.value(b, r.Index(i).Interface(), false)
	}
	return b
}

// builtinBytes is the trained model inside the program.
func builtinBytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := builtin.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// logitsOf runs a few tokens through a file.
func logitsOf(t *testing.T, path string, opt gguf.Options) []uint32 {
	t.Helper()
	e, err := stages.Open(t.Context(), path, stages.Options{Devices: "cpu", Ctx: 64, MaxSeqs: 1, Gguf: opt})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var out []uint32
	for row, err := range e.Logits(t.Context(), []int32{1, 300, 17, 256, 400, 99, 5, 270}, false) {
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range row {
			out = append(out, math.Float32bits(v))
		}
	}
	return out
}

// store writes bytes to a file of the test.
func store(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
