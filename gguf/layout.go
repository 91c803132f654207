package gguf

import (
	"cmp"
	"fmt"
	"slices"
)

// bad makes an error about the file as a whole or one key of it.
func (p *part) bad(kind error, key, hint, reason string, args ...any) *FormatError {
	return &FormatError{File: p.path, Key: key, Kind: kind, Reason: fmt.Sprintf(reason, args...), Hint: hint}
}

// badInfo makes an error about a tensor info.
func (p *part) badInfo(in *info, kind error, field, hint, reason string, args ...any) *FormatError {
	return &FormatError{File: p.path, Offset: in.at, Tensor: in.name, Field: field, Kind: kind, Reason: fmt.Sprintf(reason, args...), Hint: hint}
}

// room returns, for every info, the bytes from its offset to the next larger
// offset of the part or to the part's end; 0 when it begins behind the end.
func (p *part) room() []uint64 {
	starts := make([]uint64, 0, len(p.infos)+1)
	for _, in := range p.infos {
		starts = append(starts, in.offset)
	}
	held := uint64(0) // bytes of the data section
	if p.size > p.body {
		held = p.size - p.body
	}
	starts = append(starts, held)
	slices.Sort(starts)
	room := make([]uint64, len(p.infos))
	for i, in := range p.infos {
		next, _ := slices.BinarySearchFunc(starts, in.offset, func(s, at uint64) int {
			if s <= at {
				return -1
			}
			return 1
		})
		if in.offset < held {
			room[i] = min(starts[next], held) - in.offset
		}
	}
	return room
}

// layout checks where the tensors lie and makes views of them. Tensors need
// not touch each other nor be in order: writers differ, and sizes that only
// one fork knows make the strict rule of llama.cpp useless here.
func (p *part) layout(types []Type, on verdict) ([]*Tensor, error) {
	tensors := make([]*Tensor, len(p.infos))
	for i := range p.infos {
		in := &p.infos[i]
		tensors[i] = &Tensor{Name: in.name, Type: types[i], Dims: in.dims, Offset: p.body + in.offset, File: p.path}
		if types[i] == TypeNone {
			continue // told already
		}
		data, err := p.place(in, types[i])
		if err != nil {
			if err := on(err); err != nil {
				return nil, err
			}
		}
		tensors[i].Data = data
	}
	byOffset := slices.Clone(tensors)
	slices.SortStableFunc(byOffset, func(a, b *Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	var last *Tensor
	for _, t := range byOffset {
		if len(t.Data) == 0 {
			continue
		}
		if last != nil && t.Offset < last.Offset+uint64(len(last.Data)) {
			err := on(&FormatError{File: p.path, Tensor: t.Name, Field: "data", Offset: t.Offset, Kind: ErrOverlap,
				Reason: fmt.Sprintf("it begins inside tensor %q, which lies at %d and has %d bytes", last.Name, last.Offset, len(last.Data)), Hint: hintDamaged})
			if err != nil {
				return nil, err
			}
			t.Data = nil
			continue
		}
		last = t
	}
	p.describe(byOffset)
	return tensors, nil
}

// place makes the view of one tensor's data.
func (p *part) place(in *info, typ Type) ([]byte, error) {
	size, bad := typ.size(in.dims)
	if bad != nil {
		return nil, p.badInfo(in, bad.Kind, bad.Field, bad.Hint, "%s", bad.Reason)
	}
	if in.offset%p.align != 0 {
		return nil, p.badInfo(in, ErrAlignment, "offset", hintDamaged, "offset %d is not a multiple of the file's alignment %d", in.offset, p.align)
	}
	start, end := p.body+in.offset, p.size
	if size == 0 {
		// Nothing is read there, and writers differ in padding the end.
		end = pad(p.size, p.align)
	}
	if start < in.offset || start+size < start || start+size > end {
		return nil, p.badInfo(in, ErrBounds, "offset", hintTruncated,
			"%d bytes of %v at offset %d of the data section (which begins at %d) do not fit the file's %d bytes", size, typ, in.offset, p.body, p.size)
	}
	from := min(start, p.size)
	return p.data[from : from+size : from+size], nil
}
