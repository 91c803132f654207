package gguf

import (
	"bytes"
	"errors"
)

// Tensor is a named view into a file.
type Tensor struct {
	Name   string
	Type   Type
	Dims   []uint64 // ne order: Dims[0] is the fastest (columns, input features)
	Offset uint64   // absolute offset in the file part it lies in
	Data   []byte   // read-only view of the mapping, Type.Size(Dims) bytes; nil after Close
	File   string   // path of the part
	Tile   string   // "BM/BK/bm" of a TL1 or TL2 tensor, "" where nobody says
}

// Cols is Dims[0], 1 for a scalar.
func (t *Tensor) Cols() int {
	cols, _, _ := shape(t.Dims)
	return int(cols)
}

// Rows is the product of all Dims but the first.
func (t *Tensor) Rows() int {
	_, rows, _ := shape(t.Dims)
	return int(rows)
}

// Elements is the product of all Dims.
func (t *Tensor) Elements() int { return t.Cols() * t.Rows() }

// File is an open model file: metadata and tensors of all its parts. All
// methods but Close may be called from several goroutines.
type File struct {
	name    string
	version uint32
	size    uint64
	meta    *Metadata
	tensors []*Tensor
	index   map[string]*Tensor
	maps    []*mapping
}

// Options of Open and Parse.
type Options struct {
	I2SLayout string // "", "A", "B" or "C": layout of I2_S tensors; B and C give Types "I2_S_B", "I2_S_C"; "" takes what the file says, or A
	Q2Block   int    // 0, 64 or 128: values in a block of type id 42; 0 decides by the room in the file
	Tiles     string // of TL1 and TL2: "BM/BK/bm", or "ROWSxCOLUMNS=BM/BK/bm, …"; "" takes what the file says
}

// part is one file of a model, read but not yet understood as a whole.
type part struct {
	*mapping
	*header
	size uint64
}

// Open maps path and, for a split file, its sisters; any part may be named.
// The File must be closed; tensor data must not be used after that.
//
// Errors about content are *FormatErrors, a file that cannot be read while it
// is opened is a *FaultError, everything else comes from the system.
func Open(path string, opt Options) (*File, error) {
	parts, err := openParts(path)
	if err != nil {
		return nil, err
	}
	f, err := assemble(path, parts, opt, strict)
	if err != nil {
		return nil, errors.Join(err, closeParts(parts))
	}
	return f, nil
}

// Parse reads a whole file that is already in memory (the built-in model).
// data is used in place and must not be changed afterwards.
func Parse(name string, data []byte, opt Options) (*File, error) {
	h, err := parseHeader(name, data)
	if err != nil {
		return nil, err
	}
	p := &part{mapping: &mapping{path: name, data: data}, header: h, size: uint64(len(data))}
	if n, err := p.splitCount(); err != nil {
		return nil, err
	} else if n > 1 {
		return nil, p.bad(ErrSplit, splitCountKey, "open the file by its path instead", "it is one part of %d, which cannot be found from memory", n)
	}
	return assemble(name, []*part{p}, opt, strict)
}

// openPart maps one file and parses its header: once on the mapping to find
// its end, then on a copy, so that nothing read later can fault or change.
func openPart(path string) (*part, error) {
	m, err := openMapping(path)
	if err != nil {
		return nil, err
	}
	p := &part{mapping: m, size: uint64(len(m.data))}
	err = Guard(func() error {
		h, err := parseHeader(path, m.data)
		if err != nil {
			return err
		}
		p.header, err = parseHeader(path, bytes.Clone(m.data[:h.end]))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return p, nil
}

func closeParts(parts []*part) error {
	var all []error
	for _, p := range parts {
		all = append(all, p.close())
	}
	return errors.Join(all...)
}

// verdict decides about a fault: an error ends the reading, nil leaves the
// tensor without data and goes on.
type verdict func(fault error) error

func strict(fault error) error { return fault }

// assemble makes a File of parts whose order and number have been checked.
func assemble(name string, parts []*part, opt Options, on verdict) (*File, error) {
	f := &File{name: name, version: parts[0].version, index: map[string]*Tensor{}}
	var err error
	if f.meta, err = mergeMetadata(parts); err != nil {
		return nil, err
	}
	types, err := resolveTypes(parts, f.meta, opt, on)
	if err != nil {
		return nil, err
	}
	told, err := tiles(parts, f.meta, opt, on)
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		ts, err := p.layout(types[i], on)
		if err != nil {
			return nil, err
		}
		for _, t := range ts {
			if first, twice := f.index[t.Name]; twice {
				e := p.bad(ErrDuplicate, "", "the parts are not of one model; download all of them again", "the tensor is also in %s", first.File)
				e.Tensor = t.Name
				if err := on(e); err != nil {
					return nil, err
				}
				continue
			}
			t.Tile = told.of(t)
			f.index[t.Name] = t
			f.tensors = append(f.tensors, t)
		}
		f.maps = append(f.maps, p.mapping)
		f.size += p.size
	}
	if err := checkSplitTotal(parts, len(f.tensors)); err != nil {
		if err := on(err); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Close unmaps all parts. It must not run while tensor data is in use; a
// second call does nothing. Metadata and names stay usable.
func (f *File) Close() error {
	for _, t := range f.tensors {
		t.Data = nil
	}
	var all []error
	for _, m := range f.maps {
		all = append(all, m.close())
	}
	f.maps = nil
	return errors.Join(all...)
}

// Name is the path given to Open or the name given to Parse.
func (f *File) Name() string { return f.name }

// Version is the format's version, 2 or 3.
func (f *File) Version() uint32 { return f.version }

// Size is the number of bytes of all parts.
func (f *File) Size() uint64 { return f.size }

// Metadata is the key/value list; of a split file, that of all parts together.
func (f *File) Metadata() *Metadata { return f.meta }

// Tensors lists all tensors in file order. The caller may reorder the slice,
// not change the tensors.
func (f *File) Tensors() []*Tensor { return append([]*Tensor(nil), f.tensors...) }

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (*Tensor, bool) {
	t, ok := f.index[name]
	return t, ok
}
