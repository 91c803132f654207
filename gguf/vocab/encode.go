package vocab

import "slices"

// Segment is a piece of a prompt. In a Special segment the texts of control
// tokens become those tokens; in others they are plain text. A special token
// never reaches over the border of two segments; words of plain text do.
type Segment struct {
	Text    string
	Special bool
}

// EncodeOptions: AddSpecial adds BOS/EOS where the file says so; ParseSpecial
// takes special tokens written in the text as such.
type EncodeOptions struct {
	AddSpecial   bool
	ParseSpecial bool
}

// Encode tokenizes text. Bytes that are not UTF-8 are taken as U+FFFD each.
// User-defined tokens are found whether or not ParseSpecial is set. It may be
// called from several goroutines.
func (v *Vocab) Encode(text string, opt EncodeOptions) []int32 {
	text = validUTF8(text)
	frags := v.partition(text, func(s *special, _, _ int) bool { return opt.ParseSpecial || !s.control })
	return v.encode(text, frags, opt.AddSpecial && v.AddBOS(), opt.AddSpecial && v.AddEOS())
}

// EncodeSegments tokenizes a prompt made of segments as if it were one text,
// except that control tokens are taken from Special segments only. addSpecial
// adds BOS and EOS where the file says so; a prompt that already begins with
// BOS does not get a second one.
func (v *Vocab) EncodeSegments(segs []Segment, addSpecial bool) []int32 {
	var text []byte
	ends := make([]int, len(segs))
	for i, s := range segs {
		text = append(text, validUTF8(s.Text)...)
		ends[i] = len(text)
	}
	frags := v.partition(string(text), func(s *special, lo, hi int) bool {
		i, _ := slices.BinarySearch(ends, lo+1) // the segment that holds byte lo
		return hi <= ends[i] && (segs[i].Special || !s.control)
	})
	bos := addSpecial && v.AddBOS()
	if len(frags) > 0 && frags[0].id == v.bos {
		bos = false
	}
	return v.encode(string(text), frags, bos, addSpecial && v.AddEOS())
}

// encode turns fragments into ids.
func (v *Vocab) encode(text string, frags []fragment, bos, eos bool) []int32 {
	ids := make([]int32, 0, len(text)/3+len(frags)+2)
	if bos {
		ids = append(ids, v.bos)
	}
	afterSpecial := true
	for _, f := range frags {
		switch {
		case f.id != none:
			ids = append(ids, f.id)
			afterSpecial = true
			continue
		case f.lo == f.hi:
			continue
		}
		part := text[f.lo:f.hi]
		if v.addSpacePrefix && afterSpecial {
			part = " " + part
		}
		afterSpecial = false
		if v.model == modelSPM {
			ids = v.encodeSPM(ids, part)
		} else {
			ids = v.encodeBPE(ids, part)
		}
	}
	if eos {
		ids = append(ids, v.eos)
	}
	return ids
}
