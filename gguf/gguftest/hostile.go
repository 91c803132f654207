package gguftest

import (
	"fmt"
	"strings"

	"tritflow/gguf"
)

// Case is a file that must be refused.
type Case struct {
	Name string
	Data []byte
	Want error // sentinel that the error matches
}

// Hostile lists files that break one rule each. None is larger than 128 KiB;
// what they claim to hold is.
func Hostile() []Case {
	var all []Case
	for _, group := range [][]Case{truncated(), beginnings(), counts(), keys(), arrays(), alignments(), infos(), places(), types(), splits()} {
		all = append(all, group...)
	}
	return all
}

// truncated cuts the smallest legal file inside or after each structure.
func truncated() []Case {
	cuts := []struct {
		at   int
		what string
		want error
	}{
		{0, "everything", gguf.ErrTruncated},
		{3, "magic", gguf.ErrTruncated},
		{4, "version missing", gguf.ErrTruncated},
		{7, "version", gguf.ErrTruncated},
		{8, "tensor count missing", gguf.ErrTruncated},
		{15, "tensor count", gguf.ErrTruncated},
		{23, "key count", gguf.ErrTruncated},
		{24, "all keys", gguf.ErrTruncated},
		{31, "key length", gguf.ErrTruncated},
		{40, "key", gguf.ErrTruncated},
		{54, "value type", gguf.ErrTruncated},
		{60, "string length", gguf.ErrTruncated},
		{66, "string", gguf.ErrTruncated},
		{70, "all tensors", gguf.ErrTruncated},
		{75, "tensor name length", gguf.ErrTruncated},
		{81, "number of dimensions", gguf.ErrTruncated},
		{90, "dimension", gguf.ErrTruncated},
		{94, "tensor type", gguf.ErrTruncated},
		{102, "tensor offset", gguf.ErrTruncated},
		{103, "padding", gguf.ErrBounds},
		{128, "all data", gguf.ErrBounds},
		{143, "data", gguf.ErrBounds},
	}
	var out []Case
	for _, c := range cuts {
		out = append(out, Case{"truncated: " + c.what, Smallest()[:c.at], c.want})
	}
	deep := start(3, 0, 2).kvString("k", "v")
	return append(out,
		Case{"truncated: scalar", append(deep.key("n", valueU32), 1, 0, 0), gguf.ErrTruncated},
		Case{"truncated: array element type", append(deep.key("abcde", valueArray), 4, 0), gguf.ErrTruncated},
		Case{"truncated: array length", append(deep.key("a", valueArray).u32(valueU32), 4, 0), gguf.ErrTruncated},
		Case{"truncated: array", append(deep.kvArray("a", valueU32, 3), make([]byte, 11)...), gguf.ErrTruncated},
		Case{"truncated: array string length", append(deep.kvArray("a", valueString, 1), 1, 0, 0, 0), gguf.ErrTruncated},
		Case{"truncated: array string", append(deep.kvArray("a", valueString, 2).str("x").u64(9), "short"...), gguf.ErrTruncated},
	)
}

func beginnings() []Case {
	return []Case{
		{"magic: wrong", raw("GGUG").u32(3).u64(0).u64(0), gguf.ErrNotGGUF},
		{"magic: old GGML", raw("tjgg").u32(3).u64(0).u64(0), gguf.ErrNotGGUF},
		{"magic: Git LFS pointer", raw("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), gguf.ErrNotGGUF},
		{"magic: safetensors", append(raw(nil).u64(2), "{}"...), gguf.ErrNotGGUF},
		{"version: 0", start(0, 0, 0), gguf.ErrVersion},
		{"version: 1", raw("GGUF").u32(1).u32(0).u32(0), gguf.ErrVersion},
		{"version: 4", start(4, 0, 0), gguf.ErrVersion},
		{"version: huge", start(0xFFFF_FFFF, 0, 0), gguf.ErrVersion},
		{"big-endian: version 3", append(raw("GGUF"), 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), gguf.ErrBigEndian},
		{"big-endian: version 2", append(raw("GGUF"), 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), gguf.ErrBigEndian},
	}
}

func counts() []Case {
	return []Case{
		{"count: negative tensors", start(3, 1<<63, 0), gguf.ErrLimit},
		{"count: all ones", start(3, 1<<64-1, 1<<64-1), gguf.ErrLimit},
		{"count: huge tensors", start(3, 1<<40, 0), gguf.ErrLimit},
		{"count: huge keys", start(3, 0, 1<<40), gguf.ErrLimit},
		{"count: more tensors than bytes", start(3, 1<<31, 0).body(1 << 16), gguf.ErrTruncated},
		{"count: more keys than bytes", start(3, 0, 1<<31).body(1 << 16), gguf.ErrTruncated},
		{"count: one key too many", start(3, 0, 2).kvString("k", "v"), gguf.ErrTruncated},
		{"count: counts that wrap together", start(3, 0xAAAA_AAAA_AAAA_AAAB, 0x1249_2492_4924_9249), gguf.ErrLimit},
	}
}

func keys() []Case {
	return []Case{
		{"key: empty", start(3, 0, 1).kvString("", "value"), gguf.ErrKey},
		{"key: too long", start(3, 0, 1).kvU32(strings.Repeat("k", 65536), 1), gguf.ErrLimit},
		{"key: huge length", start(3, 0, 1).u64(1 << 63).body(64), gguf.ErrLimit},
		{"key: twice", start(3, 0, 2).kvU32("k", 1).kvU32("k", 1), gguf.ErrDuplicate},
		{"key: twice with other types", start(3, 0, 2).kvU32("k", 1).kvString("k", "1"), gguf.ErrDuplicate},
		{"value: unknown type", start(3, 0, 1).key("k", 13).body(64), gguf.ErrType},
		{"value: huge type", start(3, 0, 1).key("k", 0xFFFF_FFFF).body(64), gguf.ErrType},
		{"string: huge", start(3, 0, 1).key("k", valueString).u64(1 << 62).body(64), gguf.ErrLimit},
		{"string: above a GiB", start(3, 0, 1).key("k", valueString).u64(1<<30 + 1).body(64), gguf.ErrLimit},
		{"string: longer than the file", start(3, 0, 1).key("k", valueString).u64(1 << 29).body(64), gguf.ErrTruncated},
	}
}

func arrays() []Case {
	return []Case{
		{"array: nested", start(3, 0, 1).kvArray("k", valueArray, 1).u32(valueU8).u64(1).u8(0), gguf.ErrType},
		{"array: unknown type", start(3, 0, 1).kvArray("k", 99, 1).body(64), gguf.ErrType},
		{"array: huge", start(3, 0, 1).kvArray("k", valueU32, 1<<62).body(64), gguf.ErrLimit},
		{"array: bytes that wrap", start(3, 0, 1).kvArray("k", valueU32, 1<<62+1).body(64), gguf.ErrLimit},
		{"array: longer than the file", start(3, 0, 1).kvArray("k", valueF32, 1<<20).body(64), gguf.ErrTruncated},
		{"array: more strings than bytes", start(3, 0, 1).kvArray("k", valueString, 1<<26).body(1 << 10), gguf.ErrTruncated},
		{"array: huge string", start(3, 0, 1).kvArray("k", valueString, 1).u64(1 << 40).body(64), gguf.ErrLimit},
		{"array: more bools than bytes", start(3, 0, 1).kvArray("k", valueBool, 1<<29).body(64), gguf.ErrTruncated},
	}
}

func alignments() []Case {
	const key = "general.alignment"
	one := func(r raw) raw { return r.info("a", typeF32, 0, 8).body(64) }
	return []Case{
		{"alignment: 0", one(start(3, 1, 1).kvU32(key, 0)), gguf.ErrAlignment},
		{"alignment: 3", one(start(3, 1, 1).kvU32(key, 3)), gguf.ErrAlignment},
		{"alignment: 4", one(start(3, 1, 1).kvU32(key, 4)), gguf.ErrAlignment},
		{"alignment: 48", one(start(3, 1, 1).kvU32(key, 48)), gguf.ErrAlignment},
		{"alignment: u16", one(start(3, 1, 1).kvU16(key, 32)), gguf.ErrAlignment},
		{"alignment: string", one(start(3, 1, 1).kvString(key, "32")), gguf.ErrAlignment},
		{"alignment: 2 GiB", one(start(3, 1, 1).kvU32(key, 1<<31)), gguf.ErrAlignment},
		{"alignment: data behind the end", one(start(3, 1, 1).kvU32(key, 1<<20)), gguf.ErrBounds},
	}
}

func infos() []Case {
	return []Case{
		{"tensor: name of 64 bytes", start(3, 1, 0).info(strings.Repeat("n", 64), typeF32, 0, 8).body(32), gguf.ErrLimit},
		{"tensor: huge name", start(3, 1, 0).u64(1 << 50).body(64), gguf.ErrLimit},
		{"tensor: twice", start(3, 2, 0).info("a", typeF32, 0, 8).info("a", typeF32, 32, 8).body(64), gguf.ErrDuplicate},
		{"tensor: 5 dimensions", start(3, 1, 0).info("a", typeF32, 0, 1, 1, 1, 1, 1).body(32), gguf.ErrShape},
		{"tensor: 2^32-1 dimensions", start(3, 1, 0).str("a").u32(0xFFFF_FFFF).body(64), gguf.ErrShape},
		{"tensor: product wraps", start(3, 1, 0).info("a", typeF32, 0, 1<<32, 1<<32).body(32), gguf.ErrLimit},
		{"tensor: product wraps to the right size", start(3, 1, 0).info("a", typeF32, 0, 1<<63+4, 2).body(32), gguf.ErrLimit},
		{"tensor: negative dimension", start(3, 1, 0).info("a", typeF32, 0, 1<<64-1).body(32), gguf.ErrLimit},
		{"tensor: product wraps behind a zero", start(3, 1, 0).info("a", typeF32, 0, 0, 1<<40, 1<<40).body(32), gguf.ErrLimit},
		{"tensor: bytes wrap", start(3, 1, 0).info("a", typeF32, 0, 1<<62).body(32), gguf.ErrLimit},
		{"tensor: columns not in blocks", start(3, 1, 0).info("a", typeQ4_0, 0, 31).body(32), gguf.ErrShape},
		{"tensor: TQ2_0 columns not in blocks", start(3, 1, 0).info("a", typeTQ2, 0, 128, 2).body(96), gguf.ErrShape},
		{"tensor: I2_S columns not in blocks", start(3, 1, 0).info("a", typeI2S, 0, 64, 4).body(96), gguf.ErrShape},
	}
}

func places() []Case {
	return []Case{
		{"place: misaligned", start(3, 1, 0).info("a", typeF32, 4, 4).body(64), gguf.ErrAlignment},
		{"place: behind the end", start(3, 1, 0).info("a", typeF32, 1<<20, 4).body(64), gguf.ErrBounds},
		{"place: across the end", start(3, 1, 0).info("a", typeF32, 32, 16).body(64), gguf.ErrBounds},
		{"place: offset wraps", start(3, 1, 0).info("a", typeF32, 1<<64-32, 16).body(64), gguf.ErrBounds},
		{"place: empty tensor far away", start(3, 1, 0).info("a", typeF32, 1<<40, 0).body(64), gguf.ErrBounds},
		{"place: larger than any disk", start(3, 1, 0).info("a", typeF32, 0, 1<<58).body(64), gguf.ErrBounds},
		{"place: overlap", start(3, 2, 0).info("a", typeF32, 0, 16).info("b", typeF32, 32, 8).body(64), gguf.ErrOverlap},
		{"place: same place", start(3, 2, 0).info("a", typeF32, 0, 8).info("b", typeF16, 0, 8).body(64), gguf.ErrOverlap},
		{"place: overlap out of order", start(3, 2, 0).info("a", typeF32, 32, 8).info("b", typeF32, 0, 16).body(64), gguf.ErrOverlap},
		{"place: overlap across an empty tensor", start(3, 3, 0).info("a", typeF32, 0, 16).info("z", typeF32, 32, 0).info("b", typeF32, 32, 8).body(64), gguf.ErrOverlap},
	}
}

func types() []Case {
	var out []Case
	for _, id := range []uint32{4, 5, 43, 133, 136, 142, 143, 334, 336, 0xFFFF_FFFF} {
		out = append(out, Case{fmt.Sprintf("type: id %d", id), start(3, 1, 0).info("a", id, 0, 256).body(1024), gguf.ErrType})
	}
	return append(out, Case{"type: Q2_0 of either block", start(3, 1, 0).info("a", typeQ2_0, 0, 128).body(64), gguf.ErrAmbiguous})
}

func splits() []Case {
	part := func(no, count uint16) raw {
		return start(3, 1, 2).kvU16("split.no", no).kvU16("split.count", count).info("a", typeF32, 0, 8).body(32)
	}
	return []Case{
		{"split: a part alone", part(0, 3), gguf.ErrSplit},
		{"split: the last part alone", part(2, 3), gguf.ErrSplit},
		{"split: count is a string", start(3, 0, 1).kvString("split.count", "2"), gguf.ErrSplit},
	}
}
