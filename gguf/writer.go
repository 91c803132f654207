package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"tritflow/gguf/atomicfile"
)

// Writer writes a GGUF v3 file streaming: all metadata and tensor infos
// first, then each tensor's bytes in order, so that memory stays constant.
//
//	Set, Add … ─▶ header ─▶ WriteTensor … ─▶ Close   (or Abort at any time)
//
// After the first error of the stream every call returns that error, and a
// file begun by Create is gone. A Writer serves one goroutine.
type Writer struct {
	out     *bufio.Writer
	target  *atomicfile.File // nil for NewWriter
	keys    map[string]int
	kvs     []keyValue
	tensors []TensorInfo
	sizes   []uint64
	names   map[string]struct{}
	align   uint64
	next    int  // tensor that WriteTensor expects
	begun   bool // the header is written
	closed  bool
	err     error
	check   func(path string) error // of Close; may be nil
}

type keyValue struct {
	key string
	val Value
}

// TensorInfo announces a tensor.
type TensorInfo struct {
	Name string
	Type Type
	Dims []uint64
}

var errInterrupted = errors.New("an earlier write was interrupted")

// NewWriter writes to w (for tests and pipes). Close does not close w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{out: bufio.NewWriterSize(w, 1<<20), keys: map[string]int{}, names: map[string]struct{}{}, align: alignDefault}
}

// Create starts a file at path (written beside it under a temporary name,
// renamed by Close, removed by Abort, so that nothing half-written is left).
// Errors of writing contain an *atomicfile.Error; a pipe or device, which could
// not be taken back, is refused.
func Create(path string) (*Writer, error) {
	f, err := atomicfile.Create(path, atomicfile.Options{})
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	w := NewWriter(f)
	w.target = f
	return w, nil
}

// Set adds a metadata value: Go integers, floats, bool, string or slices of
// them, or a Value of another file. Setting a key again replaces its value.
// general.alignment must be a uint32 and takes effect for this file.
func (w *Writer) Set(key string, value any) error {
	if err := w.open("Set", key); err != nil {
		return err
	}
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("gguf: %w: %d bytes; use 1 to %d", ErrKey, len(key), maxKey)
	}
	v, err := encode(value)
	if err != nil {
		return fmt.Errorf("gguf: key %q: %w", key, err)
	}
	if key == alignKey {
		align, ok := v.Any().(uint32)
		if !ok {
			return fmt.Errorf("gguf: key %q: %w: it must be a uint32", key, ErrAlignment)
		}
		if reason := badAlignment(align); reason != "" {
			return fmt.Errorf("gguf: key %q: %w: %s", key, ErrAlignment, reason)
		}
		w.align = uint64(align)
	}
	if i, again := w.keys[key]; again {
		w.kvs[i].val = v
		return nil
	}
	w.keys[key] = len(w.kvs)
	w.kvs = append(w.kvs, keyValue{key, v})
	return nil
}

// open refuses changes of the header once it is written.
func (w *Writer) open(call, name string) error {
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return fmt.Errorf("gguf: %s %q: %w", call, name, os.ErrClosed)
	case w.begun && call != "WriteTensor":
		return fmt.Errorf("gguf: %s %q: %w: the header is already written; announce everything before the first tensor's data", call, name, ErrOrder)
	}
	return nil
}

// Add announces a tensor; WriteTensor must follow in the same order. The shape
// is checked as a reader would.
func (w *Writer) Add(t TensorInfo) error {
	if err := w.open("Add", t.Name); err != nil {
		return err
	}
	if len(t.Name) > maxName {
		return fmt.Errorf("gguf: tensor %q: %w: a name of %d bytes, at most %d are possible", shorten(t.Name), ErrLimit, len(t.Name), maxName)
	}
	if _, twice := w.names[t.Name]; twice {
		return fmt.Errorf("gguf: tensor %q: %w; give every tensor its own name", t.Name, ErrDuplicate)
	}
	size, bad := t.Type.size(t.Dims)
	if bad != nil {
		bad.Tensor = t.Name
		return bad
	}
	t.Dims = append([]uint64(nil), t.Dims...)
	w.names[t.Name] = struct{}{}
	w.tensors = append(w.tensors, t)
	w.sizes = append(w.sizes, size)
	return nil
}

// WriteTensor writes the next announced tensor's bytes from r (exactly its
// size, else a *SizeError).
func (w *Writer) WriteTensor(name string, r io.Reader) error {
	if err := w.open("WriteTensor", name); err != nil {
		return err
	}
	if w.next == len(w.tensors) || w.tensors[w.next].Name != name {
		want := "none is left"
		if w.next < len(w.tensors) {
			want = fmt.Sprintf("%q is next", w.tensors[w.next].Name)
		}
		return fmt.Errorf("gguf: tensor %q: %w: %s; write tensors in the order of Add", name, ErrOrder, want)
	}
	size := w.sizes[w.next]
	w.next++
	return w.stream(func() error {
		n, err := io.CopyN(w.out, r, int64(size))
		if errors.Is(err, io.EOF) {
			return &SizeError{Tensor: name, Want: size, Got: uint64(n)}
		}
		if err != nil {
			return fmt.Errorf("gguf: tensor %q: write: %w", name, err)
		}
		var more [1]byte
		if n, err := io.ReadFull(r, more[:]); n > 0 {
			return &SizeError{Tensor: name, Want: size, Got: size + 1}
		} else if !errors.Is(err, io.EOF) {
			return fmt.Errorf("gguf: tensor %q: read: %w", name, err)
		}
		return w.zeros(pad(size, w.align) - size)
	})
}

// Check makes Close call fn with the path of the finished file, still under its
// temporary name, before that becomes Create's path: an error of fn is one of
// writing. Without Create there is nothing to look at, and fn is not called.
func (w *Writer) Check(fn func(path string) error) { w.check = fn }

// stream runs a piece of the output. Whatever stops it, a panic from a faulting
// source included, the stream is broken from then on and its file removed.
func (w *Writer) stream(piece func() error) error {
	w.err = errInterrupted
	if err := w.begin(); err != nil {
		return w.fail(err)
	}
	if err := piece(); err != nil {
		return w.fail(err)
	}
	w.err = nil
	return nil
}

// fail keeps the first error and removes what was written.
func (w *Writer) fail(err error) error {
	w.err = errors.Join(err, w.discard())
	return w.err
}

// begin writes the header once.
func (w *Writer) begin() error {
	if w.begun {
		return nil
	}
	w.begun = true
	b := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], versionMax)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w.tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w.kvs)))
	for _, kv := range w.kvs {
		b = appendKV(b, kv.key, kv.val)
	}
	offset := uint64(0)
	for i, t := range w.tensors {
		b = appendString(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Dims)))
		for _, d := range t.Dims {
			b = binary.LittleEndian.AppendUint64(b, d)
		}
		b = binary.LittleEndian.AppendUint32(b, t.Type.ID())
		b = binary.LittleEndian.AppendUint64(b, offset)
		offset += pad(w.sizes[i], w.align)
	}
	if _, err := w.out.Write(b); err != nil {
		return fmt.Errorf("gguf: write header: %w", err)
	}
	return w.zeros(pad(uint64(len(b)), w.align) - uint64(len(b)))
}

// zeros writes padding.
func (w *Writer) zeros(n uint64) error {
	var z [512]byte
	for n > 0 {
		k := min(n, uint64(len(z)))
		if _, err := w.out.Write(z[:k]); err != nil {
			return fmt.Errorf("gguf: write padding: %w", err)
		}
		n -= k
	}
	return nil
}

// Close finishes the file. With tensors missing or after an error nothing
// appears at Create's path, and the error says why.
func (w *Writer) Close() error {
	if w.closed {
		return fmt.Errorf("gguf: close: %w", os.ErrClosed)
	}
	w.closed = true
	if w.err != nil {
		return errors.Join(w.err, w.discard())
	}
	if w.next < len(w.tensors) {
		return w.fail(fmt.Errorf("gguf: close: %w: %d of %d tensors are not written, %q is next", ErrOrder, len(w.tensors)-w.next, len(w.tensors), w.tensors[w.next].Name))
	}
	return w.stream(func() error {
		if err := w.out.Flush(); err != nil {
			return fmt.Errorf("gguf: write: %w", err)
		}
		if w.target == nil {
			return nil
		}
		if w.check != nil {
			if err := w.check(w.target.Temp()); err != nil {
				return err
			}
		}
		if err := w.target.Commit(); err != nil {
			return fmt.Errorf("gguf: %w", err)
		}
		return nil
	})
}

// Abort gives up: what Create began is removed. After Close it does nothing,
// so it can be deferred.
func (w *Writer) Abort() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.discard()
}

// discard removes what Create began, if it is still there.
func (w *Writer) discard() error {
	if w.target == nil {
		return nil
	}
	if err := w.target.Abort(); err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}
