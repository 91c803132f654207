package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Entry is a record that counts, without its long parts.
type Entry struct {
	Kind  Kind
	Text  []byte // H and D
	First int64  // I: index of the first line
	Count int64  // I: how many
	Line  Answer // L, without Text
	At    Ref    // L: where Text is
}

// Ref is where an output line stands in the journal.
type Ref struct {
	Off  int64
	Size uint32
}

// errTorn ends a scan: what follows does not count.
var errTorn = errors.New("journal: the record does not count")

// Scan visits the records that count, in order, and returns where they end.
// It holds no more than a buffer, whatever the records' size.
func Scan(f io.ReaderAt, size int64, visit func(Entry) error) (end int64, err error) {
	buf := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<16)
	for end < size {
		e, n, err := next(buf, end, size-end)
		if errors.Is(err, errTorn) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		if err := visit(e); err != nil {
			return end, err
		}
		end += n
	}
	return end, nil
}

// next reads one record, which begins at off, of at most left bytes.
func next(r *bufio.Reader, off, left int64) (e Entry, n int64, err error) {
	var head [frame]byte
	if left < frame+1 {
		return e, 0, errTorn
	}
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return e, 0, err
	}
	body := int64(binary.LittleEndian.Uint32(head[:]))
	sum := binary.LittleEndian.Uint32(head[4:])
	if body < 1 || frame+body > left {
		return e, 0, errTorn
	}
	crc := crc32.New(castagnoli)
	in := io.TeeReader(io.LimitReader(r, body), crc)
	if err := e.decode(in, off, body); err != nil {
		return e, 0, err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return e, 0, err
	}
	if crc.Sum32() != sum {
		return e, 0, errTorn
	}
	return e, frame + body, nil
}

// longestText bounds what a damaged length can make the scan allocate.
const longestText = 1 << 20

// decode reads the beginning of a record's body.
func (e *Entry) decode(in io.Reader, off, body int64) error {
	var fixed [1 + lineFixed]byte
	if _, err := io.ReadFull(in, fixed[:1]); err != nil {
		return err
	}
	e.Kind = Kind(fixed[0])
	switch rest := body - 1; e.Kind {
	case Header, Done:
		if rest > longestText {
			return errTorn
		}
		e.Text = make([]byte, rest)
		_, err := io.ReadFull(in, e.Text)
		return err
	case Inputs:
		if rest < 8 || (rest-8)%DigestBytes != 0 {
			return errTorn
		}
		if _, err := io.ReadFull(in, fixed[:8]); err != nil {
			return err
		}
		e.First, e.Count = int64(binary.LittleEndian.Uint64(fixed[:])), (rest-8)/DigestBytes
		return nil
	case Line:
		if rest < lineFixed {
			return errTorn
		}
		if _, err := io.ReadFull(in, fixed[:lineFixed]); err != nil {
			return err
		}
		e.Line = Answer{
			Index:            int64(binary.LittleEndian.Uint64(fixed[:])),
			PromptTokens:     binary.LittleEndian.Uint32(fixed[8:]),
			CompletionTokens: binary.LittleEndian.Uint32(fixed[12:]),
			Failed:           fixed[16] != 0,
			Draws:            [drawBytes]byte(fixed[17:]),
		}
		e.At = Ref{Off: off + frame + 1 + lineFixed, Size: uint32(rest - lineFixed)}
		return nil
	}
	return errTorn
}

// Digests reads the digests of the input lines one after the other. The
// records up to end must count.
type Digests struct {
	r    *bufio.Reader
	left int64 // in the record
	off  int64
	end  int64
}

// NewDigests reads from the beginning of a journal.
func NewDigests(f io.ReaderAt, end int64) *Digests {
	return &Digests{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, end), 1<<16), end: end}
}

// Next gives the digest of the next line, or io.EOF.
func (d *Digests) Next() (g Digest, err error) {
	for d.left == 0 {
		if d.off == d.end {
			return g, io.EOF
		}
		var head [frame + 1]byte
		if _, err := io.ReadFull(d.r, head[:]); err != nil {
			return g, fmt.Errorf("reading the journal: %w", err)
		}
		body := int64(binary.LittleEndian.Uint32(head[:]))
		d.off += frame + body
		skip := body - 1
		if Kind(head[frame]) == Inputs {
			skip, d.left = 8, (body-9)/DigestBytes
		}
		// Discard takes an int, which may have 32 bits.
		if _, err := io.CopyN(io.Discard, d.r, skip); err != nil {
			return g, fmt.Errorf("reading the journal: %w", err)
		}
	}
	d.left--
	if _, err := io.ReadFull(d.r, g[:]); err != nil {
		return g, fmt.Errorf("reading the journal: %w", err)
	}
	return g, nil
}
