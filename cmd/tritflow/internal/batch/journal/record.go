package journal

import (
	"encoding/binary"
	"hash/crc32"
)

// Kind of a record.
type Kind byte

// The kinds; see the package comment.
const (
	Header Kind = 'H'
	Inputs Kind = 'I'
	Line   Kind = 'L'
	Done   Kind = 'D'
)

const (
	frame     = 8                         // length and checksum
	lineFixed = 8 + 4 + 4 + 1 + drawBytes // of an L record, after its kind
	drawBytes = 32
	mostBytes = 1<<32 - 1 - 64 // of kind and payload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// DigestBytes is the size of a line's digest.
const DigestBytes = 8

// Digest stands for an input line.
type Digest [DigestBytes]byte

// Answer is the finished line of an input line.
type Answer struct {
	Index            int64
	PromptTokens     uint32
	CompletionTokens uint32
	Failed           bool
	Draws            [drawBytes]byte // digest of what was drawn for it, see stages.Result.Digest; zero for an error line
	Text             []byte          // the output line, without its newline
}

// seal completes a record that begins with frame free bytes.
func seal(rec []byte) []byte {
	binary.LittleEndian.PutUint32(rec, uint32(len(rec)-frame))
	binary.LittleEndian.PutUint32(rec[4:], crc32.Checksum(rec[frame:], castagnoli))
	return rec
}

func begin(kind Kind, size int) []byte {
	rec := make([]byte, frame, frame+1+size)
	return append(rec, byte(kind))
}

func textRecord(kind Kind, text []byte) []byte {
	return seal(append(begin(kind, len(text)), text...))
}

func inputsRecord(first int64, digests []Digest) []byte {
	rec := begin(Inputs, 8+DigestBytes*len(digests))
	rec = binary.LittleEndian.AppendUint64(rec, uint64(first))
	for _, d := range digests {
		rec = append(rec, d[:]...)
	}
	return seal(rec)
}

func lineRecord(a Answer) []byte {
	rec := begin(Line, lineFixed+len(a.Text))
	rec = binary.LittleEndian.AppendUint64(rec, uint64(a.Index))
	rec = binary.LittleEndian.AppendUint32(rec, a.PromptTokens)
	rec = binary.LittleEndian.AppendUint32(rec, a.CompletionTokens)
	failed := byte(0)
	if a.Failed {
		failed = 1
	}
	rec = append(rec, failed)
	rec = append(rec, a.Draws[:]...)
	return seal(append(rec, a.Text...))
}
