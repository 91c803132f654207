package idset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestSet(t *testing.T) {
	dir := t.TempDir()
	files := 0
	s := New(func() (File, error) {
		files++
		return os.Create(filepath.Join(dir, fmt.Sprint(files)))
	})
	const n = 120_000 // past memory, and past the first file
	for i := range int64(n) {
		if first, err := s.Add(fmt.Sprint("id-", i), i+1); err != nil || first != 0 {
			t.Fatalf("id %d: %d, %v", i, first, err)
		}
	}
	for i := int64(0); i < n; i += 7 {
		if first, err := s.Add(fmt.Sprint("id-", i), n+1); err != nil || first != i+1 {
			t.Fatalf("id %d again: %d, %v", i, first, err)
		}
	}
	if files != 2 {
		t.Errorf("%d files", files)
	}
	if first, err := s.Add("", 5); err != nil || first != 0 {
		t.Errorf("an empty id: %d, %v", first, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Add("x", 0); err == nil {
		t.Error("line 0 was accepted")
	}
}

func TestNoRoomForTheFile(t *testing.T) {
	full := errors.New("full")
	s := New(func() (File, error) { return nil, full })
	for i := int64(1); ; i++ {
		if _, err := s.Add(fmt.Sprint(i), i); err != nil {
			if !errors.Is(err, full) || i < 40_000 {
				t.Errorf("id %d: %v", i, err)
			}
			return
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	dir := b.TempDir()
	files := 0
	s := New(func() (File, error) {
		files++
		return os.Create(filepath.Join(dir, fmt.Sprint(files)))
	})
	for i := range b.N {
		if _, err := s.Add(fmt.Sprint("request-", i), int64(i+1)); err != nil {
			b.Fatal(err)
		}
	}
}
