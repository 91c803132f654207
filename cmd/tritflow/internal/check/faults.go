package check

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tritflow/gguf"
)

// causes names what package gguf finds.
var causes = []struct {
	kind  error
	cause string
}{
	{gguf.ErrNotGGUF, "not-gguf"}, {gguf.ErrBigEndian, "big-endian"}, {gguf.ErrVersion, "version"},
	{gguf.ErrTruncated, "truncated"}, {gguf.ErrDuplicate, "duplicate-name"}, {gguf.ErrType, "unknown-type"},
	{gguf.ErrAlignment, "bad-alignment"}, {gguf.ErrOverlap, "overlap"}, {gguf.ErrBounds, "outside-file"},
	{gguf.ErrAmbiguous, "ambiguous-type"}, {gguf.ErrSplit, "split"}, {gguf.ErrShape, "bad-shape"},
	{gguf.ErrKey, "damaged-header"}, {gguf.ErrLimit, "damaged-header"},
}

func causeOf(err error) string {
	for _, c := range causes {
		if errors.Is(err, c.kind) {
			return c.cause
		}
	}
	return "unreadable"
}

// header reports on a file that could not be opened at all. r is its header as
// far as it can be read, nil where it cannot.
func (r *Report) header(err error, h *raw, src io.ReaderAt) {
	cause := causeOf(err)
	p := r.reason("file", cause, "", "%v", err)
	if rsHeader(src) {
		p.Cause = "bitnet-rs-header"
		p.Message = "the header has two numbers too many (an alignment and an offset behind the counts), as files of BitNet-rs's own converter have; no other program reads them: " + p.Message
		p.Fix = advice(convertAgain + " with another converter")
		return
	}
	mendable := cause == "big-endian" || cause == "duplicate-name" || cause == "bad-alignment" || cause == "version"
	if h == nil || !mendable || h.version > 3 {
		switch cause {
		case "truncated":
			p.Fix = advice(downloadAgain)
		case "big-endian", "version", "damaged-header", "bad-alignment", "duplicate-name":
			p.Fix = advice(convertAgain)
		}
		return
	}
	if _, derr := newRawDraft(h, src); derr != nil {
		p.Fix = advice("%s; it cannot be mended here: %v", convertAgain, derr)
		return
	}
	what := map[string]string{
		"big-endian":     "turn every number round, to little-endian",
		"duplicate-name": "keep the first of the two",
		"bad-alignment":  "write the file with the usual alignment",
		"version":        "write the file as version 3",
	}[cause]
	p.Fix = &Fix{Name: cause, What: what, Lossless: true, apply: func(d *draft) error {
		d.drop("general.alignment")
		seen := map[string]bool{}
		d.tensors = slices.DeleteFunc(d.tensors, func(t *piece) bool {
			twice := seen[t.name]
			seen[t.name] = true
			return twice
		})
		return nil
	}}
	if cause == "duplicate-name" {
		if differ, what := duplicates(h); differ {
			p.Fix.Lossless, p.Fix.Asked = false, true
			p.Fix.What += fmt.Sprintf(" (they differ: %s)", what)
		}
	}
}

// duplicates tells whether names that stand twice stand for different things.
func duplicates(h *raw) (differ bool, what string) {
	first := map[string]any{}
	for _, k := range h.keys {
		if v, twice := first[k.name]; twice && fmt.Sprint(v) != fmt.Sprint(k.value) {
			return true, k.name
		}
		first[k.name] = k.value
	}
	names := map[string]bool{}
	for _, in := range h.infos {
		if names[in.name] {
			return true, in.name
		}
		names[in.name] = true
	}
	return false, ""
}

// rsHeader knows the files of BitNet-rs's converter: where the first key's
// length should be stands something that cannot be one.
func rsHeader(src io.ReaderAt) bool {
	b := make([]byte, 32)
	if src == nil {
		return false
	}
	if _, err := src.ReadAt(b, 0); err != nil || string(b[:4]) != "GGUF" || b[4] != 3 {
		return false
	}
	length := uint64(0)
	for i := 7; i >= 0; i-- {
		length = length<<8 | uint64(b[24+i])
	}
	align := length & 0xffffffff
	return length > 65535 && align >= 8 && align <= 4096 && align&(align-1) == 0
}

// faults reports what is wrong with the file as such and returns the names of
// the tensors that cannot be read because of it.
func (r *Report) faults(all []error, g *geometry) (damaged map[string]bool) {
	const most = 20 // named, as graph.BindError does
	if g != nil {
		r.layoutCauses(all, g)
	}
	damaged = map[string]bool{}
	for i, fault := range all {
		tensor := ""
		var fe *gguf.FormatError
		if errors.As(fault, &fe) {
			tensor = fe.Tensor
			damaged[tensor] = true
		}
		if i < most {
			r.reason("file", causeOf(fault), tensor, "%v", fault)
		}
	}
	if more := len(all) - most; more > 0 {
		r.reason("file", "more", "", "and %d more faults", more)
	}
	return damaged
}

// layoutCauses looks for one cause behind tensors that do not lie where they should.
func (r *Report) layoutCauses(faults []error, g *geometry) {
	displaced := slices.ContainsFunc(faults, func(err error) bool {
		return errors.Is(err, gguf.ErrOverlap) || errors.Is(err, gguf.ErrBounds) || errors.Is(err, gguf.ErrAlignment) || errors.Is(err, gguf.ErrShape)
	})
	if align, ok := g.otherAlignment(); ok {
		p := r.reason("file", "wrong-alignment", "", "the data is laid out for an alignment of %d, the header says %d: every tensor is read from the wrong place "+
			"(the file's length, norms and scales fit %d only)", align, g.raw.align, align)
		p.Fix = &Fix{Name: p.Cause, What: "read the data where it is and write the file with the usual alignment", Lossless: true, apply: func(d *draft) error {
			d.drop("general.alignment")
			for _, in := range g.raw.infos {
				if t := d.tensor(in.name); t != nil {
					t.src, t.at = g.src, int64(g.raw.body(align)+in.offset)
				}
			}
			return nil
		}}
		return
	}
	for _, l := range g.relabels() {
		from := l.from.String()
		if l.from == gguf.TypeNone {
			from = fmt.Sprintf("type id %d", g.raw.infos[l.tensors[0]].id)
		}
		p := r.reason("type", "mislabelled-type", g.raw.infos[l.tensors[0]].name,
			"labelled %s, but %v fills the room up to the next tensor and has contents that make sense (%s)", from, l.to, g.list(l.tensors))
		p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("call them %v", l.to), Lossless: true, apply: func(d *draft) error {
			for _, i := range l.tensors {
				t := d.tensor(g.raw.infos[i].name)
				t.typ, t.src, t.at = l.to, g.src, int64(g.raw.body(g.raw.align)+g.raw.infos[i].offset)
			}
			return nil
		}}
		displaced = false // this explains it
	}
	if !displaced {
		return
	}
	if offsets, wrong, ok := g.runningOffsets(); ok {
		p := r.reason("file", "wrong-offset", g.raw.infos[wrong[0]].name,
			"the offset in the header is wrong (%s): the other tensors lie one behind the other and leave exactly its place free", g.list(wrong))
		p.Fix = &Fix{Name: p.Cause, What: "read the tensors one behind the other", Lossless: true, apply: func(d *draft) error {
			for i, in := range g.raw.infos {
				t := d.tensor(in.name)
				t.src, t.at = g.src, int64(g.raw.body(g.raw.align)+offsets[i])
			}
			return nil
		}}
		return
	}
	if need, ok := g.need(g.raw.align); ok && need > g.raw.size {
		var cut []string
		for _, i := range g.byOffset() {
			if size, ok := g.size(i, g.types[i]); ok && g.raw.body(g.raw.align)+g.raw.infos[i].offset+size > g.raw.size {
				cut = append(cut, g.raw.infos[i].name)
			}
		}
		p := r.reason("file", "truncated", "", "the file ends too early: it has %d bytes of %d (%.1f %%), so that %d of %d tensors are not whole, the first being %s",
			g.raw.size, need, 100*float64(g.raw.size)/float64(need), len(cut), len(g.raw.infos), strings.Join(cut[:min(1, len(cut))], ""))
		p.Fix = advice(downloadAgain)
	}
}
