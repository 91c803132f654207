package gguf

import (
	"fmt"
	"slices"
)

// claims lists the Types that an id of a file may mean, likeliest first.
var claims = func() map[uint32][]Type {
	m := map[uint32][]Type{}
	for _, t := range Types() {
		if in := &typeTable[t]; !in.onDemand {
			m[in.id] = append(m[in.id], t)
		}
	}
	return m
}()

// ternaryArchs are the architectures that bitnet.cpp's converters write; its
// general.file_type numbers collide with llama.cpp's in files of others.
var ternaryArchs = []string{"bitnet", "bitnet-25", "bitnet-b1.58", "bitnet-1.58", "llama", "qwen3", "gemma3"}

// sighting is one tensor whose id is claimed by several Types.
type sighting struct {
	part *part
	info *info
	room uint64
}

// resolveTypes gives every tensor of every part its Type. A file comes from
// one writer, so an id means one Type in all of it: the one whose sizes are
// what the file has room for, else the one that general.file_type names, else
// the likeliest; TypeNone where that is a fault that may be.
func resolveTypes(parts []*part, meta *Metadata, opt Options, on verdict) ([][]Type, error) {
	if opt.I2SLayout == "" {
		if said, err := meta.Str(I2SLayoutKey); err == nil {
			if !slices.Contains([]string{"A", "B", "C"}, said) {
				bad := parts[0].bad(ErrKey, I2SLayoutKey, "name the layout with the option for it", "%q is none of A, B and C", shorten(said))
				if err := on(bad); err != nil {
					return nil, err
				}
				said = ""
			}
			opt.I2SLayout = said
		}
	}
	chosen, err := optionTypes(opt)
	if err != nil {
		return nil, err
	}
	seen := map[uint32][]sighting{}
	for _, p := range parts {
		var room []uint64
		for i := range p.infos {
			in := &p.infos[i]
			n := len(claims[in.id])
			if n == 0 {
				if err := on(unknownType(p, in)); err != nil {
					return nil, err
				}
				continue
			}
			if _, done := chosen[in.id]; n == 1 || done {
				continue
			}
			if room == nil {
				room = p.room()
			}
			seen[in.id] = append(seen[in.id], sighting{p, in, room[i]})
		}
	}
	for id, s := range seen {
		if chosen[id], err = decide(claims[id], s, meta); err != nil {
			if err := on(err); err != nil {
				return nil, err
			}
		}
	}
	types := make([][]Type, len(parts))
	for k, p := range parts {
		types[k] = make([]Type, len(p.infos))
		for i, in := range p.infos {
			if t, ok := chosen[in.id]; ok {
				types[k][i] = t
			} else if all := claims[in.id]; len(all) > 0 {
				types[k][i] = all[0]
			}
		}
	}
	return types, nil
}

func unknownType(p *part, in *info) error {
	if was, ok := retired[in.id]; ok {
		return p.badInfo(in, ErrType, "type", "convert the original model again", "type id %d is %s", in.id, was)
	}
	return p.badInfo(in, ErrType, "type", "the file is damaged or made by a newer or forked program; use a newer tritflow or convert the original model",
		"type id %d is not known", in.id)
}

// optionTypes are the decisions that the user has made.
func optionTypes(opt Options) (map[uint32]Type, error) {
	chosen := map[uint32]Type{}
	switch opt.I2SLayout {
	case "":
	case "A", "a":
		chosen[TypeI2_S.ID()] = TypeI2_S
	case "B", "b":
		chosen[TypeI2_S.ID()] = TypeI2_S_B
	case "C", "c":
		chosen[TypeI2_S.ID()] = TypeI2_S_C
	default:
		return nil, fmt.Errorf("gguf: %w: I2_S layout %q; use A, B or C", ErrOption, opt.I2SLayout)
	}
	switch opt.Q2Block {
	case 0:
	case 64:
		chosen[TypeQ2_0.ID()] = TypeQ2_0
	case 128:
		chosen[TypeQ2_0.ID()] = TypeQ2_0_128
	default:
		return nil, fmt.Errorf("gguf: %w: Q2_0 block of %d values; use 64 or 128", ErrOption, opt.Q2Block)
	}
	return chosen, nil
}

// decide chooses what an id means.
func decide(types []Type, seen []sighting, meta *Metadata) (Type, error) {
	seen = slices.DeleteFunc(slices.Clone(seen), func(s sighting) bool {
		ne0, rows, _ := shape(s.info.dims)
		return ne0 == 0 || rows == 0
	})
	if len(seen) == 0 {
		return types[0], nil
	}
	// Writers pad with less than one alignment, so a size that fills its room
	// up to that is no accident; gaps beyond are legal and prove nothing.
	fills := keep(types, seen, func(s sighting, size uint64) bool { return size <= s.room && s.room-size < s.part.align })
	left := fills
	if len(left) == 0 {
		left = keep(types, seen, func(s sighting, size uint64) bool { return size <= s.room })
	}
	switch len(left) {
	case 0:
		return types[0], nil
	case 1:
		return left[0], nil
	}
	for _, t := range left {
		if named(t, meta) {
			return t, nil
		}
	}
	if slices.Contains(left, TypeQ2_0) {
		s := seen[0]
		return TypeNone, s.part.badInfo(s.info, ErrAmbiguous, "type", "say which with the option for the Q2_0 block (64: llama.cpp, 128: PrismML)",
			"type id %d has blocks of 64 or of 128 values, and the file has room for both", s.info.id)
	}
	return left[0], nil
}

// keep are the types whose size for every sighting satisfies ok.
func keep(types []Type, seen []sighting, ok func(s sighting, size uint64) bool) []Type {
	var out []Type
	for _, t := range types {
		if !slices.ContainsFunc(seen, func(s sighting) bool {
			size, bad := t.size(s.info.dims)
			return bad != nil || !ok(s, size)
		}) {
			out = append(out, t)
		}
	}
	return out
}

// named tells whether the metadata says that the file is made of t.
func named(t Type, meta *Metadata) bool {
	want := typeTable[t].fileType
	if want == 0 {
		return false
	}
	arch, err := meta.Str("general.architecture")
	if err != nil || !slices.Contains(ternaryArchs, arch) {
		return false
	}
	got, err := meta.Uint("general.file_type")
	return err == nil && got == uint64(want)
}
