package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	magic        = "GGUF"
	versionMin   = 2
	versionMax   = 3
	alignKey     = "general.alignment"
	alignDefault = 32
	maxAlign     = 1 << 20
)

// header is everything in front of the tensor data of one file.
type header struct {
	version uint32
	meta    *Metadata
	infos   []info
	align   uint64
	end     uint64 // bytes up to the end of the last tensor info
	body    uint64 // where the data section begins, end rounded up to align
}

// info is a tensor info as the file has it.
type info struct {
	name   string
	dims   []uint64
	id     uint32
	offset uint64 // from the start of the data section
	at     uint64 // byte in the file where the info begins
}

// parseHeader reads a header from the beginning of data. Keys, names and
// values are views of data.
func parseHeader(file string, data []byte) (*header, error) {
	c := &cursor{file: file, data: data}
	h := &header{meta: &Metadata{file: file, index: map[string]int{}}, align: alignDefault}
	if err := h.start(c); err != nil {
		return nil, err
	}
	tensors, err := c.count("tensor count")
	if err != nil {
		return nil, err
	}
	keys, err := c.count("key count")
	if err != nil {
		return nil, err
	}
	if need := keys*minKV + tensors*minTensor; need > c.left() {
		return nil, c.fail(ErrTruncated, 8, "counts", hintTruncated, "%d keys and %d tensors need at least %d bytes, %d are left", keys, tensors, need, c.left())
	}
	for range keys {
		if err := h.readKey(c); err != nil {
			return nil, err
		}
	}
	if err := h.readAlignment(c); err != nil {
		return nil, err
	}
	// Room is made for tensors that are there, not for those that the count claims:
	// a file may be long and hold nothing.
	seen := map[string]struct{}{}
	for range tensors {
		if err := h.readInfo(c, seen); err != nil {
			return nil, err
		}
	}
	h.end = c.pos
	h.body = pad(h.end, h.align)
	return h, nil
}

// foreign are beginnings of files that are often mistaken for models.
var foreign = []struct {
	at     int
	prefix string
	hint   string
}{
	{0, "version https://git-lfs", "it is a Git LFS pointer: fetch the real file with `git lfs pull`"},
	{0, "<", "it looks like a web page saved instead of the file: download it again"},
	{0, "PK\x03\x04", "it looks like a PyTorch checkpoint or a zip archive: convert it to GGUF"},
	{8, "{", "it looks like safetensors: convert it to GGUF"},
	{0, "lmgg", "it is a GGML file from before GGUF: convert the original model again"},
	{0, "fmgg", "it is a GGML file from before GGUF: convert the original model again"},
	{0, "tjgg", "it is a GGML file from before GGUF: convert the original model again"},
}

// start checks magic and version.
func (h *header) start(c *cursor) error {
	m := c.data[:min(len(c.data), len(magic))]
	if !bytes.HasPrefix([]byte(magic), m) {
		hint := "give a .gguf file"
		for _, f := range foreign {
			if len(c.data) > f.at && bytes.HasPrefix(c.data[f.at:], []byte(f.prefix)) {
				hint = f.hint
				break
			}
		}
		return c.fail(ErrNotGGUF, 0, "magic", hint, "begins with %q instead of %q", m, magic)
	}
	if _, err := c.take(uint64(len(magic)), "magic"); err != nil {
		return err
	}
	v, err := c.u32("version")
	if err != nil {
		return err
	}
	h.version = v
	switch {
	case v != 0 && v&0xFFFF == 0:
		return c.fail(ErrBigEndian, 4, "version", "convert the model again for a little-endian machine",
			"the version reads as %#x, which is %d with its bytes reversed", v, swap32(v))
	case v == 1:
		return c.fail(ErrVersion, 4, "version", "convert the original model again", "version 1 (2023) is not supported, only %d and %d are", versionMin, versionMax)
	case v < versionMin:
		return c.fail(ErrVersion, 4, "version", hintDamaged, "version %d does not exist", v)
	case v > versionMax:
		return c.fail(ErrVersion, 4, "version", "use a newer tritflow or convert the model to version 3", "version %d is newer than %d", v, versionMax)
	}
	return nil
}

func swap32(v uint32) uint32 {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return binary.BigEndian.Uint32(b[:])
}

// readKey reads one key and its value.
func (h *header) readKey(c *cursor) error {
	at := c.pos
	b, err := c.str("key", maxKey)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return c.fail(ErrKey, at, "key", hintDamaged, "key %d is empty", len(h.meta.keys))
	}
	c.key = view(b)
	defer func() { c.key = "" }()
	if _, twice := h.meta.index[c.key]; twice {
		return c.fail(ErrDuplicate, at, "key", "remove one of the two", "the key appears twice")
	}
	v, err := c.value()
	if err != nil {
		return err
	}
	h.meta.add(c.key, v)
	return c.fits()
}

// readAlignment takes general.alignment from the metadata. The format asks for
// a multiple of 8, every reader in use for a power of two; the upper limit is
// ours, so that padding cannot be used to make files of nothing.
func (h *header) readAlignment(c *cursor) error {
	v, ok := h.meta.Get(alignKey)
	if !ok {
		return nil
	}
	c.key = alignKey
	defer func() { c.key = "" }()
	align, isU32 := v.Any().(uint32)
	if !isU32 {
		return c.fail(ErrAlignment, 0, "", "write it as u32", "it is %s, not u32", describe(v))
	}
	if reason := badAlignment(align); reason != "" {
		return c.fail(ErrAlignment, 0, "", "write a power of two, 32 as a rule", "%s", reason)
	}
	h.align = uint64(align)
	return nil
}

// badAlignment says what is wrong with an alignment, "" if nothing is.
func badAlignment(align uint32) string {
	if align < 8 || align > maxAlign || align&(align-1) != 0 {
		return fmt.Sprintf("%d is not a power of two from 8 to %d", align, maxAlign)
	}
	return ""
}

// readInfo reads one tensor info.
func (h *header) readInfo(c *cursor, seen map[string]struct{}) error {
	at := c.pos
	b, err := c.str("tensor name", maxName)
	if err != nil {
		return err
	}
	c.tensor = view(b)
	defer func() { c.tensor = "" }()
	if _, twice := seen[c.tensor]; twice {
		return c.fail(ErrDuplicate, at, "tensor name", "remove or rename one of the two", "the name appears twice")
	}
	seen[c.tensor] = struct{}{}
	in := info{name: c.tensor, at: at}
	n, err := c.u32("n_dims")
	if err != nil {
		return err
	}
	if n > maxDims {
		return c.fail(ErrShape, c.pos-4, "n_dims", hintDamaged, "%d dimensions, at most %d are possible", n, maxDims)
	}
	in.dims = make([]uint64, n)
	for i := range in.dims {
		if in.dims[i], err = c.u64("dimension"); err != nil {
			return err
		}
	}
	if _, _, bad := shape(in.dims); bad != nil {
		return c.fail(bad.Kind, c.pos-8*uint64(n), "dimensions", bad.Hint, "%s", bad.Reason)
	}
	if in.id, err = c.u32("type"); err != nil {
		return err
	}
	if in.offset, err = c.u64("offset"); err != nil {
		return err
	}
	h.infos = append(h.infos, in)
	return c.fits()
}
