package check

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// raw is a GGUF header read without judging it: in either byte order, with
// keys and names that stand twice and with offsets that lead nowhere. Package
// gguf refuses such files; a doctor has to look inside.
type raw struct {
	version uint32
	order   binary.ByteOrder
	keys    []rawKey
	infos   []rawInfo
	align   uint64 // what general.alignment says, 32 where it says nothing usable
	end     uint64 // of the last tensor info
	size    uint64 // of the file
}

type rawKey struct {
	name  string
	value any // as gguf.Writer.Set takes it
}

type rawInfo struct {
	name   string
	dims   []uint64
	id     uint32
	offset uint64 // in the data section
}

var errRaw = errors.New("the header cannot be read")

// swapped tells a big-endian file.
func (r *raw) swapped() bool { return r.order == binary.BigEndian }

// body is where the data section begins with an alignment.
func (r *raw) body(align uint64) uint64 { return padTo(r.end, align) }

func padTo(n, align uint64) uint64 {
	if align == 0 {
		return n
	}
	return (n + align - 1) / align * align
}

// scan reads a header. What it allocates is bounded by the bytes that are there.
func scan(src io.ReaderAt, size int64) (*raw, error) {
	c := &scanner{r: bufio.NewReaderSize(io.NewSectionReader(src, 0, size), 1<<20), left: uint64(size), order: binary.LittleEndian}
	r := &raw{order: binary.LittleEndian, align: 32, size: uint64(size)}
	if string(c.bytes(4)) != "GGUF" {
		return nil, fmt.Errorf("%w: it does not begin with GGUF", errRaw)
	}
	v := c.bytes(4)
	if c.err != nil {
		return nil, c.err
	}
	if r.version = binary.LittleEndian.Uint32(v); r.version&0xFFFF == 0 && r.version != 0 {
		r.order, c.order = binary.BigEndian, binary.BigEndian
		r.version = binary.BigEndian.Uint32(v)
	}
	if r.version < 1 || r.version > 16 {
		return nil, fmt.Errorf("%w: version %d", errRaw, r.version)
	}
	c.short = r.version == 1
	tensors, keys := c.count(), c.count()
	for range keys {
		if c.err != nil {
			return nil, c.err
		}
		k := rawKey{name: c.str()}
		k.value = c.value(c.u32())
		if c.err == nil {
			r.keys = append(r.keys, k)
		}
	}
	for range tensors {
		if c.err != nil {
			return nil, c.err
		}
		in := rawInfo{name: c.str()}
		n := c.u32()
		if n > 8 {
			return nil, fmt.Errorf("%w: tensor %q has %d dimensions", errRaw, in.name, n)
		}
		for range n {
			in.dims = append(in.dims, c.count())
		}
		in.id, in.offset = c.u32(), c.u64()
		r.infos = append(r.infos, in)
	}
	if c.err != nil {
		return nil, c.err
	}
	r.end = uint64(size) - c.left
	if a, ok := r.get("general.alignment").(uint32); ok && a >= 8 && a <= 1<<20 && a&(a-1) == 0 {
		r.align = uint64(a)
	}
	return r, nil
}

// get finds the first value of a key, nil where there is none.
func (r *raw) get(name string) any {
	for _, k := range r.keys {
		if k.name == name {
			return k.value
		}
	}
	return nil
}

// scanner reads numbers until something is wrong, then zeros.
type scanner struct {
	r     *bufio.Reader
	left  uint64
	order binary.ByteOrder
	short bool // version 1: lengths of 32 bits
	err   error
}

func (c *scanner) bytes(n uint64) []byte {
	if c.err == nil && n > c.left {
		c.err = fmt.Errorf("%w: %d bytes are wanted and %d are left", errRaw, n, c.left)
	}
	if c.err != nil {
		return make([]byte, min(n, 8))
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.err = fmt.Errorf("%w: %w", errRaw, err)
	}
	c.left -= n
	return b
}

func (c *scanner) u32() uint32 { return c.order.Uint32(c.bytes(4)) }
func (c *scanner) u64() uint64 { return c.order.Uint64(c.bytes(8)) }

func (c *scanner) count() uint64 {
	if c.short {
		return uint64(c.u32())
	}
	return c.u64()
}

func (c *scanner) str() string {
	n := c.count()
	if n > 1<<30 && c.err == nil {
		c.err = fmt.Errorf("%w: a string of %d bytes", errRaw, n)
	}
	if c.err != nil {
		return ""
	}
	return string(c.bytes(n))
}

// value reads a value of a type of the format.
func (c *scanner) value(typ uint32) any {
	switch typ {
	case 0:
		return c.bytes(1)[0]
	case 1:
		return int8(c.bytes(1)[0])
	case 2:
		return c.order.Uint16(c.bytes(2))
	case 3:
		return int16(c.order.Uint16(c.bytes(2)))
	case 4:
		return c.u32()
	case 5:
		return int32(c.u32())
	case 6:
		return math.Float32frombits(c.u32())
	case 7:
		return c.bytes(1)[0] != 0
	case 8:
		return c.str()
	case 9:
		return c.array()
	case 10:
		return c.u64()
	case 11:
		return int64(c.u64())
	case 12:
		return math.Float64frombits(c.u64())
	}
	if c.err == nil {
		c.err = fmt.Errorf("%w: value type %d", errRaw, typ)
	}
	return nil
}

func (c *scanner) array() any {
	typ, n := c.u32(), c.count()
	sizes := map[uint32]uint64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 8: 4, 10: 8, 11: 8, 12: 8}
	if size, ok := sizes[typ]; c.err == nil && (!ok || n > c.left/size) {
		c.err = fmt.Errorf("%w: an array of %d elements of type %d", errRaw, n, typ)
	}
	if c.err != nil {
		return nil
	}
	switch typ {
	case 0:
		return list(n, c, func() uint8 { return c.bytes(1)[0] })
	case 1:
		return list(n, c, func() int8 { return int8(c.bytes(1)[0]) })
	case 2:
		return list(n, c, func() uint16 { return c.order.Uint16(c.bytes(2)) })
	case 3:
		return list(n, c, func() int16 { return int16(c.order.Uint16(c.bytes(2))) })
	case 4:
		return list(n, c, c.u32)
	case 5:
		return list(n, c, func() int32 { return int32(c.u32()) })
	case 6:
		return list(n, c, func() float32 { return math.Float32frombits(c.u32()) })
	case 7:
		return list(n, c, func() bool { return c.bytes(1)[0] != 0 })
	case 8:
		return list(n, c, c.str)
	case 10:
		return list(n, c, c.u64)
	case 11:
		return list(n, c, func() int64 { return int64(c.u64()) })
	default:
		return list(n, c, func() float64 { return math.Float64frombits(c.u64()) })
	}
}

func list[T any](n uint64, c *scanner, next func() T) []T {
	out := []T{}
	for range n {
		v := next()
		if c.err != nil {
			return nil
		}
		out = append(out, v)
	}
	return out
}
