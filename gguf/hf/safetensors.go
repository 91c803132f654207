package hf

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// Tensor is a tensor of a safetensors file.
type Tensor struct {
	Name  string
	Type  string // "BF16", "F16", "F32", "U8" ...
	Shape []int  // the last dimension is the fastest

	file   *os.File
	offset int64
	size   int64
}

// elementBytes are the sizes of the types that safetensors files may hold.
var elementBytes = map[string]int64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
	"F8_E4M3": 1, "F8_E5M2": 1,
}

// maxHeader is what the format allows for the header.
const maxHeader = 100 << 20

// Bytes is the size of the tensor.
func (t *Tensor) Bytes() int64 { return t.size }

// Elements is the product of the shape.
func (t *Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// ReadAt reads the tensor's bytes from an offset in it; see io.ReaderAt.
func (t *Tensor) ReadAt(p []byte, off int64) (int, error) {
	n, err := io.NewSectionReader(t.file, t.offset, t.size).ReadAt(p, off)
	if err != nil && !(err == io.EOF && n == len(p)) {
		return n, &Error{File: t.file.Name(), Tensor: t.Name, Reason: "reading it", Err: err}
	}
	return n, nil
}

// File is the path of the file that the tensor lies in.
func (t *Tensor) File() string { return t.file.Name() }

// entry is a tensor as the header describes it.
type entry struct {
	DType   string  `json:"dtype"`
	Shape   []int64 `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}

// readHeader lists the tensors of a safetensors file: a length of 8 bytes, so
// many bytes of JSON, and the data, to whose beginning offsets are relative.
func readHeader(f *os.File) ([]*Tensor, error) {
	fail := func(format string, args ...any) ([]*Tensor, error) {
		return nil, &Error{File: f.Name(), Reason: fmt.Sprintf(format, args...) + "; fetch the file again"}
	}
	st, err := f.Stat()
	if err != nil {
		return nil, &Error{File: f.Name(), Err: err}
	}
	var length [8]byte
	if _, err := f.ReadAt(length[:], 0); err != nil {
		return fail("it is too short for a safetensors file")
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > st.Size()-8 {
		return fail("its header claims %d bytes, the file has %d: it is cut short, or no safetensors file", n, st.Size())
	}
	raw := make([]byte, n)
	if _, err := f.ReadAt(raw, 8); err != nil {
		return nil, &Error{File: f.Name(), Reason: "reading its header", Err: err}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return fail("its header is no JSON object (%v)", err)
	}
	delete(fields, "__metadata__")
	var tensors []*Tensor
	for name, raw := range fields {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, &Error{File: f.Name(), Tensor: name, Reason: "its description cannot be read", Err: err}
		}
		t, reason := e.tensor(name, f, 8+int64(n), st.Size())
		if reason != "" {
			return nil, &Error{File: f.Name(), Tensor: name, Reason: reason + "; fetch the file again"}
		}
		tensors = append(tensors, t)
	}
	// Of those that begin at one place the empty ones come first.
	slices.SortFunc(tensors, func(a, b *Tensor) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size), cmp.Compare(a.Name, b.Name))
	})
	for i, t := range tensors[min(1, len(tensors)):] {
		if before := tensors[i]; t.offset < before.offset+before.size {
			return nil, &Error{File: f.Name(), Tensor: t.Name, Reason: "it begins inside tensor " + before.Name + "; fetch the file again"}
		}
	}
	return tensors, nil
}

// tensor checks an entry; reason says what is wrong with it.
func (e *entry) tensor(name string, f *os.File, data, end int64) (t *Tensor, reason string) {
	size, ok := elementBytes[e.DType]
	if !ok {
		return nil, fmt.Sprintf("its type %.20q is none of safetensors", e.DType)
	}
	t = &Tensor{Name: name, Type: e.DType, file: f}
	for _, d := range e.Shape {
		if d < 0 || d > math.MaxInt32 || (d > 0 && size > math.MaxInt64/d) {
			return nil, fmt.Sprintf("its shape %v is impossible", e.Shape)
		}
		size *= d
		t.Shape = append(t.Shape, int(d))
	}
	if len(e.Offsets) != 2 || e.Offsets[0] < 0 || e.Offsets[1] < e.Offsets[0] || e.Offsets[1] > end-data {
		return nil, fmt.Sprintf("it should lie at bytes %v of %d", e.Offsets, end-data)
	}
	if have := e.Offsets[1] - e.Offsets[0]; have != size {
		return nil, fmt.Sprintf("shape %v of %s takes %d bytes, it has %d", e.Shape, e.DType, size, have)
	}
	t.offset, t.size = data+e.Offsets[0], size
	return t, ""
}
