package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tritflow/cmd/tritflow/internal/batch/disk"
)

// filled writes a journal and returns its bytes and the ends of its records.
func filled(t *testing.T) (data []byte, ends []int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "j")
	j, err := Open(disk.OS{}, path, os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.end)
	}
	step(j.Begin([]byte("{}")))
	for i := range int64(4) {
		step(j.AddInputs([]Digest{{byte(i)}, {byte(i), 1}}))
		at, err := j.AddLine(Answer{Index: i, PromptTokens: 3, CompletionTokens: uint32(i), Failed: i == 2, Text: bytes.Repeat([]byte{'a' + byte(i)}, int(i)*9)})
		step(err)
		if text, err := j.ReadLine(at); err != nil || len(text) != int(i)*9 {
			t.Fatalf("line %d: %q, %v", i, text, err)
		}
	}
	step(j.Finish([]byte(`{"requests":4}`)))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return data, ends
}

func tell(entries *[]string) func(Entry) error {
	return func(e Entry) error {
		*entries = append(*entries, fmt.Sprintf("%c%s %d+%d %d %d %d %v %d", e.Kind, e.Text, e.First, e.Count, e.Line.Index, e.Line.PromptTokens, e.Line.CompletionTokens, e.Line.Failed, e.At.Size))
		return nil
	}
}

// TestTornAnywhere: whatever part of a journal is there, the records before the
// tear count and nothing else does.
func TestTornAnywhere(t *testing.T) {
	data, ends := filled(t)
	var whole []string
	if end, err := Scan(bytes.NewReader(data), int64(len(data)), tell(&whole)); err != nil || end != int64(len(data)) || len(whole) != len(ends) {
		t.Fatalf("%d of %d bytes, %d records, %v", end, len(data), len(whole), err)
	}
	whole0 := fmt.Sprint(whole)
	if want := "I 0+2 0 0 0 false 0"; whole[1] != want {
		t.Errorf("%q, want %q", whole[1], want)
	}
	if want := "L 0+0 2 3 2 true 18"; whole[6] != want {
		t.Errorf("%q, want %q", whole[6], want)
	}
	check := func(what string, torn []byte, at int64) {
		t.Helper()
		var some []string
		end, err := Scan(bytes.NewReader(torn), int64(len(torn)), tell(&some))
		count := 0
		for count < len(ends) && ends[count] <= at {
			count++
		}
		want := int64(0)
		if count > 0 {
			want = ends[count-1]
		}
		if err != nil || end != want || len(some) != count {
			t.Errorf("%s at %d: %d records to %d, want %d to %d (%v)", what, at, len(some), end, count, want, err)
		}
	}
	for at := range data {
		check("cut", data[:at], int64(at))
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << (at % 8)
		check("flipped", flipped, int64(at))
		zeros := bytes.Clone(data)
		clear(zeros[at:])
		if !bytes.Equal(zeros, data) && data[at] != 0 {
			check("zeros", zeros, int64(at))
		}
	}
	if fmt.Sprint(whole) != whole0 {
		t.Error("entries share memory")
	}
}

func TestDigestsAndCompaction(t *testing.T) {
	data, _ := filled(t)
	path := filepath.Join(t.TempDir(), "j")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	open := func() (*Journal, []string) {
		j, err := Open(disk.OS{}, path, 0)
		if err != nil {
			t.Fatal(err)
		}
		var entries []string
		if torn, err := j.Read(nil, tell(&entries)); err != nil || torn != 0 {
			t.Fatal(torn, err)
		}
		return j, entries
	}
	digests := func(j *Journal) {
		t.Helper()
		d := j.Digests()
		for i := range byte(4) {
			for k := range byte(2) {
				if g, err := d.Next(); err != nil || g != (Digest{i, k}) {
					t.Errorf("digest %d, %d: %v, %v", i, k, g, err)
				}
			}
		}
		if _, err := d.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last: %v", err)
		}
	}
	j, _ := open()
	digests(j)
	if err := j.Compact([]byte("{}"), []byte(`{"requests":4}`)); err != nil {
		t.Fatal(err)
	}
	j, entries := open()
	defer j.Close()
	digests(j)
	if len(entries) != 3 || entries[1][:5] != "I 0+8" {
		t.Errorf("%q", entries)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(lineRecord(Answer{Index: 1, Text: []byte("x")}))
	f.Add(append(textRecord(Header, []byte("{}")), inputsRecord(0, []Digest{{1}})...))
	f.Fuzz(func(t *testing.T, data []byte) {
		last := int64(0)
		end, err := Scan(bytes.NewReader(data), int64(len(data)), func(e Entry) error {
			if e.Kind == Line && e.At.Off+int64(e.At.Size) > int64(len(data)) {
				t.Fatal("a line outside the file")
			}
			last++
			return nil
		})
		if err != nil || end > int64(len(data)) || last == 0 && end != 0 {
			t.Fatalf("%d records to %d of %d: %v", last, end, len(data), err)
		}
		d := NewDigests(bytes.NewReader(data), end)
		for {
			if _, err := d.Next(); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}
