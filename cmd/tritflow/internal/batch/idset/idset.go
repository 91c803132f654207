package idset

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
)

const (
	slot      = 16
	pageBytes = 4096
	slots     = pageBytes / slot
	prints    = 10 // bytes of a slot that stand for the id

	memoryPages = 256
	mostLines   = 1<<48 - 1
)

// File is where a large set lives.
type File interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Close() error
}

// Set is a set of ids. It serves one goroutine.
type Set struct {
	grow  func() (File, error) // an empty file for the next table
	table File
	pages uint64
	used  uint64
	page  [pageBytes]byte
}

// New makes an empty set. temp makes an empty temporary file; the set closes it.
func New(temp func() (File, error)) *Set {
	return &Set{grow: temp, table: new(memory), pages: memoryPages}
}

// Add adds an id that was met on a line (from 1). If it was there already, its
// first line is returned, else 0.
func (s *Set) Add(id string, line int64) (first int64, err error) {
	if line < 1 || line > mostLines {
		return 0, errors.New("idset: a line number out of range")
	}
	if s.used >= s.pages*slots*7/10 {
		if err := s.double(); err != nil {
			return 0, err
		}
	}
	sum := sha256.Sum256([]byte(id))
	var entry [slot]byte
	copy(entry[:prints], sum[:])
	putLine(entry[:], line)
	return s.put(entry)
}

func putLine(entry []byte, line int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(line))
	copy(entry[prints:slot], b[:])
}

func lineOf(entry []byte) int64 {
	var b [8]byte
	copy(b[:], entry[prints:slot])
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// put adds an entry unless its id is there. A line of 0 marks a free slot.
func (s *Set) put(entry [slot]byte) (first int64, err error) {
	home := binary.LittleEndian.Uint64(entry[:]) % s.pages
	for at := home; ; at = (at + 1) % s.pages {
		off := int64(at) * pageBytes
		if _, err := s.table.ReadAt(s.page[:], off); err != nil {
			return 0, err
		}
		for i := 0; i < pageBytes; i += slot {
			have := s.page[i : i+slot]
			line := lineOf(have)
			if line == 0 {
				if _, err := s.table.WriteAt(entry[:], off+int64(i)); err != nil {
					return 0, err
				}
				s.used++
				return 0, nil
			}
			if string(have[:prints]) == string(entry[:prints]) {
				return line, nil
			}
		}
	}
}

// double moves everything to a table of twice the size.
func (s *Set) double() error {
	file, err := s.grow()
	if err != nil {
		return err
	}
	pages := s.pages * 2
	if err := file.Truncate(int64(pages) * pageBytes); err != nil {
		return errors.Join(err, file.Close())
	}
	old, oldPages := s.table, s.pages
	s.table, s.pages, s.used = file, pages, 0
	var page [pageBytes]byte
	for at := range oldPages {
		if _, err := old.ReadAt(page[:], int64(at)*pageBytes); err != nil {
			return errors.Join(err, old.Close())
		}
		for i := 0; i < pageBytes && lineOf(page[i:i+slot]) != 0; i += slot {
			if _, err := s.put([slot]byte(page[i : i+slot])); err != nil {
				return errors.Join(err, old.Close())
			}
		}
	}
	return old.Close()
}

// Close gives the table back.
func (s *Set) Close() error { return s.table.Close() }

// memory is the first table.
type memory [memoryPages * pageBytes]byte

func (m *memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }
func (m *memory) Truncate(int64) error                     { return nil }
func (m *memory) Close() error                             { return nil }
