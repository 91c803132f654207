package input

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func reader(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// all reads a source and writes its items one a line.
func all(t *testing.T, src Source) (text string, err error) {
	t.Helper()
	var b strings.Builder
	seen := map[[8]byte]bool{}
	for {
		it, err := src.Next()
		if err != nil {
			if cerr := src.Close(); cerr != nil {
				t.Error(cerr)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return b.String(), err
		}
		if d := it.Digest(); seen[d] {
			t.Errorf("line %d has the digest of another", it.Line)
		} else {
			seen[d] = true
		}
		fmt.Fprintf(&b, "%d %q %q", it.Line, it.ID, it.Text)
		if it.Fault != nil {
			fmt.Fprintf(&b, " %s", it.Fault.Code)
		}
		b.WriteByte('\n')
	}
}

func expect(t *testing.T, what string, src Source, want string) {
	t.Helper()
	if got, err := all(t, src); err != nil || got != want {
		t.Errorf("%s: %v\n%swant\n%s", what, err, got, want)
	}
}

func TestLines(t *testing.T) {
	expect(t, "jsonl", NewLines(reader("\ufeff{1}\r\n\n \t\n{2}"), false, 0), "1 \"\" \"{1}\"\n4 \"\" \"{2}\"\n")
	expect(t, "text", NewLines(reader("a\n\nb\r\n"), true, 0), "1 \"line-1\" \"a\"\n2 \"line-2\" \"\"\n3 \"line-3\" \"b\"\n")
	expect(t, "nothing", NewLines(reader(""), true, 0), "")

	long := strings.Repeat("x", MostBytes+1)
	src := NewLines(reader(long+"\nshort\n"+long), true, 0)
	for i, want := range []bool{true, false, true} {
		it, err := src.Next()
		if err != nil || (it.Fault != nil) != want || len(it.Text) > MostBytes {
			t.Errorf("line %d: %v, %v, %d bytes", i+1, err, it.Fault, len(it.Text))
		}
	}
	if _, err := src.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if n, _ := src.Read(); n != int64(2*len(long)+7) {
		t.Errorf("%d bytes were read", n)
	}
}

func TestCSV(t *testing.T) {
	table := "\ufeffid,prompt\na,\"one, \"\"two\"\"\nthree\"\nb,x,more\nc,a\"b\n,last\n"
	src, err := NewCSV(reader(table), ',', Columns{Prompt: "prompt"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "csv", src, `1 "a" "one, \"two\"\nthree"
2 "row-2" "b,x,more" invalid_record
3 "row-3" "" invalid_record
4 "" "last"
`)
	src, err = NewCSV(reader("q\tid\nx\t1\n"), '\t', Columns{Prompt: "q"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "tsv", src, "1 \"1\" \"x\"\n")
	src, err = NewCSV(reader("q\nx\n"), ',', Columns{Prompt: "q"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "without ids", src, "1 \"row-1\" \"x\"\n")

	for _, c := range []struct {
		table string
		c     Columns
		says  string
	}{
		{"", Columns{Prompt: "prompt"}, "must name the columns"},
		{"a,b\n", Columns{Prompt: "prompt"}, `no column "prompt"`},
		{"a,b\n", Columns{Prompt: "a", ID: "c"}, `no column "c"`},
	} {
		var fe *FormatError
		if _, err := NewCSV(reader(c.table), ',', c.c, 0); !errors.As(err, &fe) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.table, err)
		}
	}
	// A quote that is never closed does not fill the memory.
	src, err = NewCSV(reader("prompt\n\""+strings.Repeat("x\n", MostBytes)), ',', Columns{Prompt: "prompt"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fe *FormatError
	if _, err := src.Next(); !errors.As(err, &fe) || !strings.Contains(err.Error(), "quote") {
		t.Errorf("an open quote: %v", err)
	}
}

func TestParquet(t *testing.T) {
	type row struct {
		Number int64   `parquet:"id"`
		Other  string  `parquet:"other,dict"`
		Prompt *string `parquet:"prompt,optional,zstd"`
		List   []string
	}
	path := filepath.Join(t.TempDir(), "t.parquet")
	var want strings.Builder
	var rows []row
	for i := range 700 {
		r := row{Number: int64(i * 3), Other: fmt.Sprint("o", i%5), List: []string{"a", "b"}}
		text := ""
		if i%10 != 0 {
			text = fmt.Sprint("prompt ", i)
			r.Prompt = &text
		}
		rows = append(rows, r)
		fmt.Fprintf(&want, "%d %q %q\n", i+1, fmt.Sprint(i*3), text)
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(300), parquet.PageBufferSize(2000))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	open := func(data []byte, c Columns) (Source, error) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return NewParquet(f, c)
	}
	src, err := open(b.Bytes(), Columns{Prompt: "prompt"})
	if err != nil {
		t.Fatal(err)
	}
	if _, total := src.Read(); total != 700 {
		t.Errorf("%d records", total)
	}
	expect(t, "parquet", src, want.String())

	var fe *FormatError
	for _, c := range []Columns{{Prompt: "none"}, {Prompt: "id"}, {Prompt: "List"}, {Prompt: "prompt", ID: "x"}} {
		if _, err := open(b.Bytes(), c); !errors.As(err, &fe) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// Damage ends in an error or in other texts, never in a panic or without end.
	for i := 0; i < b.Len(); i += 97 {
		data := bytes.Clone(b.Bytes())
		data[i] ^= 0xff
		if src, err := open(data, Columns{Prompt: "prompt"}); err == nil {
			for n := 0; err == nil && n < 10000; n++ {
				_, err = src.Next()
			}
			if err == nil {
				t.Errorf("byte %d: no end", i)
			}
			_ = src.Close()
		}
	}
}

func TestFormatOf(t *testing.T) {
	for _, c := range []struct {
		name, path string
		want       Format
	}{
		{"", "a.jsonl", JSONL}, {"", "", JSONL}, {"", "b.TXT", Text}, {"", "c.csv", CSV}, {"", "c.tsv", TSV},
		{"", "d.parquet", Parquet}, {"text", "d.parquet", Text}, {"", "e.doc", ""}, {"word", "a.jsonl", ""},
	} {
		if got, err := FormatOf(c.name, c.path); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q %q: %q, %v", c.name, c.path, got, err)
		}
	}
}

// TestPumpGivesUp: who waits for a pipe that says nothing can be told to stop.
func TestPumpGivesUp(t *testing.T) {
	r, w := io.Pipe()
	p := Pump(r)
	go func() { _, _ = io.WriteString(w, "some") }()
	b := make([]byte, 9)
	if n, err := io.ReadAtLeast(p, b, 4); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	got := make(chan error)
	go func() {
		_, err := p.Read(b)
		got <- err
	}()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-got:
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("a reader that was told to stop got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the reader still waits")
	}
	_ = w.Close() // ends the goroutine
}
