package gguftest

import "encoding/binary"

// Numbers of the format, written out so that a wrong constant of package gguf
// cannot hide itself.
const (
	valueU8     = 0
	valueU16    = 2
	valueU32    = 4
	valueF32    = 6
	valueBool   = 7
	valueString = 8
	valueArray  = 9

	typeF32  = 0
	typeQ4_0 = 2
	typeI2S  = 36
	typeQ2_0 = 42
	typeF16  = 1
	typeTQ2  = 35
)

// raw is a file under construction.
type raw []byte

// start begins a file of version 2 or later.
func start(version uint32, tensors, keys uint64) raw {
	return raw("GGUF").u32(version).u64(tensors).u64(keys)
}

func (r raw) u8(v uint8) raw   { return append(r, v) }
func (r raw) u16(v uint16) raw { return binary.LittleEndian.AppendUint16(r, v) }
func (r raw) u32(v uint32) raw { return binary.LittleEndian.AppendUint32(r, v) }
func (r raw) u64(v uint64) raw { return binary.LittleEndian.AppendUint64(r, v) }

// str is a length and that many bytes.
func (r raw) str(s string) raw { return append(r.u64(uint64(len(s))), s...) }

// key is a key and the type of the value that must follow.
func (r raw) key(k string, typ uint32) raw { return r.str(k).u32(typ) }

// kvString is a whole string key.
func (r raw) kvString(k, v string) raw { return r.key(k, valueString).str(v) }

// kvU32 is a whole u32 key.
func (r raw) kvU32(k string, v uint32) raw { return r.key(k, valueU32).u32(v) }

// kvU16 is a whole u16 key.
func (r raw) kvU16(k string, v uint16) raw { return r.key(k, valueU16).u16(v) }

// kvArray is the beginning of an array; the elements must follow.
func (r raw) kvArray(k string, elem uint32, n uint64) raw {
	return r.key(k, valueArray).u32(elem).u64(n)
}

// info is a tensor info.
func (r raw) info(name string, typ uint32, offset uint64, dims ...uint64) raw {
	r = r.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		r = r.u64(d)
	}
	return r.u32(typ).u64(offset)
}

// body pads to 32 and appends n zero bytes of tensor data.
func (r raw) body(n int) raw {
	for len(r)%32 != 0 {
		r = append(r, 0)
	}
	return append(r, make([]byte, n)...)
}

// Smallest is the smallest legal file with one key and one tensor:
// general.architecture "bitnet" and "a", F32 [4] = 1, 0, 0, 0.
func Smallest() []byte {
	b := start(3, 1, 1).kvString("general.architecture", "bitnet").info("a", typeF32, 0, 4).body(32)
	copy(b[128:], []byte{0, 0, 0x80, 0x3f})
	return b
}

// Odd is a list of files that look wrong and are legal.
func Odd() map[string][]byte {
	return map[string][]byte{
		"nothing in it":              start(3, 0, 0),
		"version 2":                  start(2, 0, 1).kvU32("k", 1),
		"no padding at the end":      Smallest()[:144],
		"bytes behind the end":       append(Smallest(), 1, 2, 3),
		"gap between tensors":        start(3, 2, 0).info("a", typeF32, 0, 8).info("b", typeF32, 4096, 8).body(4096 + 32),
		"tensors in reverse":         start(3, 2, 0).info("a", typeF32, 32, 8).info("b", typeF32, 0, 8).body(64),
		"scalar without dimensions":  start(3, 1, 0).info("a", typeF32, 0).body(4),
		"empty tensor":               start(3, 1, 0).info("a", typeF32, 0, 0, 7),
		"empty tensor between":       start(3, 3, 0).info("a", typeF32, 0, 8).info("z", typeF32, 32, 0).info("b", typeF32, 32, 8).body(64),
		"empty tensor behind":        start(3, 2, 0).info("a", typeF32, 0, 4).info("z", typeF32, 32, 0).body(16),
		"bool of 2":                  start(3, 0, 1).key("k", valueBool).u8(2),
		"empty array and string":     start(3, 0, 2).kvArray("a", valueString, 0).kvString("s", ""),
		"alignment of 8":             start(3, 1, 1).kvU32("general.alignment", 8).info("a", typeF32, 0, 2).body(8),
		"alignment behind the end":   start(3, 0, 1).kvU32("general.alignment", 1<<20),
		"split into one":             start(3, 0, 2).kvU16("split.no", 0).kvU16("split.count", 1),
		"name of 63 bytes":           start(3, 1, 0).info("nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", typeF32, 0, 8).body(32),
		"array of invalid UTF-8":     start(3, 0, 1).kvArray("a", valueString, 1).str("\xff\xfe"),
		"type that is only a name":   start(3, 1, 0).info("a", 31, 0, 32).body(32),
		"array as long as it can be": start(3, 0, 1).kvArray("a", valueU8, 1<<16).body(1 << 16),
	}
}
