package requant

import (
	"context"
	"fmt"
	"strings"

	"tritflow/gguf"
)

const fileTypeKey = "general.file_type"

// Write writes metadata and all tensors to w and leaves closing it to the caller.
func (p *Plan) Write(ctx context.Context, w *gguf.Writer, progress func(done, total int)) error {
	if err := p.header(w); err != nil {
		return fmt.Errorf("requant: %w", err)
	}
	total, done := 0, 0
	for i := range p.changes {
		total += len(p.changes[i].from.Data)
	}
	for i := range p.changes {
		c := &p.changes[i]
		for _, t := range []*Tensor{c.weight, c.scale} {
			if t == nil {
				continue
			}
			if err := gguf.Guard(func() error { return t.Write(ctx, w) }); err != nil {
				return err
			}
		}
		done += len(c.from.Data)
		if progress != nil {
			progress(done>>20, total>>20)
		}
	}
	return nil
}

// header carries over everything but what the change makes wrong.
func (p *Plan) header(w *gguf.Writer) error {
	var err error
	set := func(key string, value any) {
		if err == nil {
			err = w.Set(key, value)
		}
	}
	md := p.from.Metadata()
	typed := p.opt.Type != gguf.TypeNone
	for _, key := range md.Keys() {
		v, _ := md.Get(key)
		switch {
		case key == gguf.TilesKey, key == gguf.I2SLayoutKey, strings.HasPrefix(key, "split."):
		case key == fileTypeKey && typed:
			if t, ok := FileType(p.opt.Type); ok {
				set(key, t)
			}
		default:
			set(key, v)
		}
	}
	if _, ok := md.Get(fileTypeKey); !ok && typed {
		if t, ok := FileType(p.opt.Type); ok {
			set(fileTypeKey, t)
		}
	}
	if _, ok := md.Get("general.quantization_version"); !ok {
		set("general.quantization_version", uint32(2))
	}
	p.layouts.Write(set)
	for i := range p.changes {
		c := &p.changes[i]
		if err == nil {
			err = c.weight.Add(w)
		}
		if err == nil && c.scale != nil {
			err = c.scale.Add(w)
		}
	}
	return err
}

// Summary is what a plan changes.
type Summary struct {
	From, To string // types
	How      string // "trits", "absmean", "rounded"
	Tensors  int
	Scales   int     // in tensors of their own
	Lost     float64 // largest share of a matrix's squares that absmean missed
}

// Summary lists the changes by kind, in the order of the file.
func (p *Plan) Summary() []Summary {
	var all []Summary
	for i := range p.changes {
		c := &p.changes[i]
		if c.how == "copied" {
			continue
		}
		s := Summary{From: c.from.Type.String(), To: c.weight.Info.Type.String(), How: c.how}
		at := -1
		for j := range all {
			if all[j].From == s.From && all[j].To == s.To && all[j].How == s.How {
				at = j
			}
		}
		if at < 0 {
			all, at = append(all, s), len(all)
		}
		all[at].Tensors++
		all[at].Lost = max(all[at].Lost, c.lost)
		if c.scale != nil {
			all[at].Scales++
		}
	}
	return all
}
