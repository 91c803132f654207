package check

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"tritflow/gguf"
)

// draft is the file that a repair is going to write: what the old one holds,
// mended by fixes. No tensor is read before it is written.
//
//	old file ─▶ draft ─ fix ─ fix ─ … ─▶ gguf.Writer ─▶ new file (or nothing)
type draft struct {
	keys    []rawKey
	tensors []*piece
}

// piece is a tensor of a draft.
type piece struct {
	name string
	typ  gguf.Type
	dims []uint64
	src  io.ReaderAt
	at   int64                                   // in src
	edit func(data []byte) (out []byte, e error) // of the whole tensor, before it is written; nil: none
}

// get returns the value of a key, nil where there is none.
func (d *draft) get(key string) any {
	i := slices.IndexFunc(d.keys, func(k rawKey) bool { return k.name == key })
	if i < 0 {
		return nil
	}
	return d.keys[i].value
}

// set gives a key a value, in its old place where it had one.
func (d *draft) set(key string, value any) {
	i := slices.IndexFunc(d.keys, func(k rawKey) bool { return k.name == key })
	if i < 0 {
		d.keys = append(d.keys, rawKey{key, value})
		return
	}
	d.keys[i].value = value
}

func (d *draft) drop(key string) {
	d.keys = slices.DeleteFunc(d.keys, func(k rawKey) bool { return k.name == key })
}

func (d *draft) tensor(name string) *piece {
	i := slices.IndexFunc(d.tensors, func(p *piece) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return d.tensors[i]
}

func (d *draft) dropTensor(name string) {
	d.tensors = slices.DeleteFunc(d.tensors, func(p *piece) bool { return p.name == name })
}

// swap exchanges the names of two tensors.
func (d *draft) swap(a, b string) error {
	x, y := d.tensor(a), d.tensor(b)
	if x == nil || y == nil {
		return fmt.Errorf("check: %s and %s are not both there", a, b)
	}
	x.name, y.name = y.name, x.name
	return nil
}

// then adds a change of the tensor's bytes after those that are there.
func (p *piece) then(edit func([]byte) ([]byte, error)) {
	first := p.edit
	if first == nil {
		p.edit = edit
		return
	}
	p.edit = func(data []byte) ([]byte, error) {
		out, err := first(data)
		if err != nil {
			return nil, err
		}
		return edit(out)
	}
}

// newDraft takes over a file that package gguf could read, of one part or
// several. raw, where it is not nil, says where tensors lie that gguf gave up.
func newDraft(f *gguf.File, r *raw, src io.ReaderAt) *draft {
	d := &draft{}
	md := f.Metadata()
	for _, k := range md.Keys() {
		if k == "split.no" || k == "split.count" || k == "split.tensors.count" {
			continue
		}
		v, _ := md.Get(k)
		d.keys = append(d.keys, rawKey{k, v.Any()})
	}
	for _, t := range f.Tensors() {
		p := &piece{name: t.Name, typ: t.Type, dims: t.Dims, src: bytes.NewReader(t.Data)}
		if t.Data == nil && r != nil && src != nil {
			if i := slices.IndexFunc(r.infos, func(in rawInfo) bool { return in.name == t.Name }); i >= 0 {
				p.src, p.at = src, int64(r.body(r.align)+r.infos[i].offset)
			}
		}
		d.tensors = append(d.tensors, p)
	}
	return d
}

// newRawDraft takes over a file whose header gguf refuses. Of keys that stand
// twice the first counts.
func newRawDraft(r *raw, src io.ReaderAt) (*draft, error) {
	d := &draft{}
	for _, k := range r.keys {
		if d.get(k.name) == nil {
			d.keys = append(d.keys, k)
		}
	}
	for _, in := range r.infos {
		typ, ok := typeOf(in.id)
		if !ok {
			return nil, fmt.Errorf("check: tensor %q has type id %d, which is not known", in.name, in.id)
		}
		p := &piece{name: in.name, typ: typ, dims: in.dims, src: src, at: int64(r.body(r.align) + in.offset)}
		if r.swapped() {
			edit, ok := byteOrder(typ)
			if !ok {
				return nil, fmt.Errorf("check: tensor %q: where %v has numbers of several bytes is not known", in.name, typ)
			}
			p.edit = edit
		}
		d.tensors = append(d.tensors, p)
	}
	return d, nil
}

// typeOf is the likeliest type of an id.
func typeOf(id uint32) (gguf.Type, bool) {
	for _, t := range gguf.Types() {
		if t.ID() == id {
			return t, true
		}
	}
	return gguf.TypeNone, false
}

// write makes the file; until it is complete there is none at path. ctx ends
// it between two tensors.
func (d *draft) write(ctx context.Context, path string) (err error) {
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if aerr := w.Abort(); err == nil {
			err = aerr
		}
	}()
	if err := d.writeTo(ctx, w); err != nil {
		return err
	}
	return w.Close()
}

func (d *draft) writeTo(ctx context.Context, w *gguf.Writer) error {
	for _, k := range d.keys {
		if err := w.Set(k.name, k.value); err != nil {
			return err
		}
	}
	for _, p := range d.tensors {
		if err := w.Add(gguf.TensorInfo{Name: p.name, Type: p.typ, Dims: p.dims}); err != nil {
			return err
		}
	}
	for _, p := range d.tensors {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		size, err := p.typ.Size(p.dims)
		if err != nil {
			return err
		}
		var from io.Reader = io.NewSectionReader(p.src, p.at, int64(size))
		if p.edit != nil {
			data, err := io.ReadAll(from)
			if err == nil && uint64(len(data)) != size {
				err = fmt.Errorf("check: tensor %q: %d of %d bytes are in the file", p.name, len(data), size)
			}
			if err == nil {
				data, err = p.edit(data)
			}
			if err != nil {
				return err
			}
			from = bytes.NewReader(data)
		}
		if err := w.WriteTensor(p.name, from); err != nil {
			return err
		}
	}
	return nil
}
