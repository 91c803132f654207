package gguf_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

var oneF32 = gguf.TensorInfo{Name: "a", Type: gguf.TypeF32, Dims: []uint64{4}}

// The worked example of the format's description, byte for byte.
func TestWriterMakesTheSmallestFile(t *testing.T) {
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	steps := []error{
		w.Set("general.architecture", "bitnet"),
		w.Add(oneF32),
		w.WriteTensor("a", bytes.NewReader([]byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})),
		w.Close(),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), gguftest.Smallest()) {
		t.Errorf("got %x\nwant %x", b.Bytes(), gguftest.Smallest())
	}
}

func TestWriterRefuses(t *testing.T) {
	zeros := func(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }
	cases := []struct {
		name string
		do   func(w *gguf.Writer) error
		want error
	}{
		{"empty key", func(w *gguf.Writer) error { return w.Set("", 1) }, gguf.ErrKey},
		{"long key", func(w *gguf.Writer) error { return w.Set(strings.Repeat("k", 65536), 1) }, gguf.ErrKey},
		{"no value", func(w *gguf.Writer) error { return w.Set("k", nil) }, gguf.ErrType},
		{"zero Value", func(w *gguf.Writer) error { return w.Set("k", gguf.Value{}) }, gguf.ErrType},
		{"struct", func(w *gguf.Writer) error { return w.Set("k", struct{}{}) }, gguf.ErrType},
		{"slice of slices", func(w *gguf.Writer) error { return w.Set("k", [][]int{{1}}) }, gguf.ErrType},
		{"alignment of 3", func(w *gguf.Writer) error { return w.Set("general.alignment", uint32(3)) }, gguf.ErrAlignment},
		{"alignment of 2 GiB", func(w *gguf.Writer) error { return w.Set("general.alignment", uint32(1<<31)) }, gguf.ErrAlignment},
		{"alignment as int", func(w *gguf.Writer) error { return w.Set("general.alignment", 32) }, gguf.ErrAlignment},
		{"long name", func(w *gguf.Writer) error {
			return w.Add(gguf.TensorInfo{Name: strings.Repeat("n", 64), Type: gguf.TypeF32, Dims: []uint64{1}})
		}, gguf.ErrLimit},
		{"no type", func(w *gguf.Writer) error { return w.Add(gguf.TensorInfo{Name: "x", Dims: []uint64{1}}) }, gguf.ErrType},
		{"bad shape", func(w *gguf.Writer) error {
			return w.Add(gguf.TensorInfo{Name: "x", Type: gguf.TypeTQ2_0, Dims: []uint64{100}})
		}, gguf.ErrShape},
		{"same name", func(w *gguf.Writer) error { return errors.Join(w.Add(oneF32), w.Add(oneF32)) }, gguf.ErrDuplicate},
		{"not announced", func(w *gguf.Writer) error { return w.WriteTensor("a", zeros(16)) }, gguf.ErrOrder},
		{"other tensor first", func(w *gguf.Writer) error { return errors.Join(w.Add(oneF32), w.WriteTensor("b", zeros(16))) }, gguf.ErrOrder},
		{"Set too late", func(w *gguf.Writer) error {
			return errors.Join(w.Add(oneF32), w.WriteTensor("a", zeros(16)), w.Set("k", 1))
		}, gguf.ErrOrder},
		{"Add too late", func(w *gguf.Writer) error {
			return errors.Join(w.Add(oneF32), w.WriteTensor("a", zeros(16)), w.Add(gguf.TensorInfo{Name: "b", Type: gguf.TypeF32}))
		}, gguf.ErrOrder},
		{"tensor missing", func(w *gguf.Writer) error { return errors.Join(w.Add(oneF32), w.Close()) }, gguf.ErrOrder},
		{"short data", func(w *gguf.Writer) error { return errors.Join(w.Add(oneF32), w.WriteTensor("a", zeros(15))) }, gguf.ErrSize},
		{"long data", func(w *gguf.Writer) error { return errors.Join(w.Add(oneF32), w.WriteTensor("a", zeros(17))) }, gguf.ErrSize},
		{"source fails", func(w *gguf.Writer) error {
			return errors.Join(w.Add(oneF32), w.WriteTensor("a", iotest.ErrReader(io.ErrUnexpectedEOF)))
		}, io.ErrUnexpectedEOF},
		{"closed", func(w *gguf.Writer) error { return errors.Join(w.Close(), w.Set("k", 1)) }, os.ErrClosed},
		{"closed twice", func(w *gguf.Writer) error { return errors.Join(w.Close(), w.Close()) }, os.ErrClosed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(gguf.NewWriter(io.Discard)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want an error matching %q", err, c.want)
			}
		})
	}
}

func TestSizeErrorHasTheNumbers(t *testing.T) {
	for n, got := range map[int]uint64{0: 0, 15: 15, 17: 17, 100: 17} {
		w := gguf.NewWriter(io.Discard)
		err := errors.Join(w.Add(oneF32), w.WriteTensor("a", bytes.NewReader(make([]byte, n))))
		var se *gguf.SizeError
		if !errors.As(err, &se) || se.Tensor != "a" || se.Want != 16 || se.Got != got || !strings.Contains(se.Error(), `"a"`) {
			t.Errorf("%d bytes: %+v (%v)", n, se, err)
		}
	}
}

var errNoSpace = errors.New("no space")

// full accepts some bytes and then has no space.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	n := min(f.left, len(p))
	f.left -= n
	if n < len(p) {
		return n, errNoSpace
	}
	return n, nil
}

// large writes a file of a header and 4 MiB, more than any buffer holds.
func large(w *gguf.Writer) error {
	if err := errors.Join(w.Set("k", "v"), w.Add(gguf.TensorInfo{Name: "big", Type: gguf.TypeI8, Dims: []uint64{4 << 20}}), w.Add(oneF32)); err != nil {
		return err
	}
	if err := w.WriteTensor("big", bytes.NewReader(make([]byte, 4<<20))); err != nil {
		return err
	}
	if err := w.WriteTensor("a", bytes.NewReader(make([]byte, 16))); err != nil {
		return err
	}
	return w.Close()
}

func TestDiskFull(t *testing.T) {
	var all bytes.Buffer
	if err := large(gguf.NewWriter(&all)); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 10, 1 << 20, 3 << 20, 4 << 20, all.Len() - 1} {
		w := gguf.NewWriter(&full{room})
		if err := large(w); !errors.Is(err, errNoSpace) {
			t.Errorf("room for %d bytes: got %v", room, err)
		}
		if err := w.Close(); err == nil {
			t.Errorf("room for %d bytes: Close succeeded", room)
		}
	}
	if err := large(gguf.NewWriter(&full{all.Len()})); err != nil {
		t.Errorf("room for all: %v", err)
	}
}

// Memory does not grow with the tensors.
func TestWriterStreams(t *testing.T) {
	const size = 256 << 20
	used := allocated(func() {
		w := gguf.NewWriter(io.Discard)
		err := errors.Join(
			w.Add(gguf.TensorInfo{Name: "big", Type: gguf.TypeI8, Dims: []uint64{size}}),
			w.WriteTensor("big", io.LimitReader(zeroes{}, size)),
			w.Close())
		if err != nil {
			t.Error(err)
		}
	})
	if used > 8<<20 {
		t.Errorf("allocated %d bytes", used)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
