package gguf

import (
	"fmt"
	"os"
	"sort"
	"sync"
	"unsafe"
)

// mapping is one file in memory.
type mapping struct {
	path string
	data []byte
	free func() error // nil when data is ordinary memory

	mu    sync.Mutex
	spans []*Tensor // by offset; filled once the header was understood
}

// openMapping maps a regular file.
func openMapping(path string) (_ *mapping, err error) {
	// Asked by name, because opening a pipe would wait for somebody to write to it.
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, &FormatError{File: path, Kind: ErrNotGGUF, Reason: "it is a " + fileKind(st.Mode()) + ", not a file", Hint: "give a .gguf file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	defer func() { err = closing(err, f) }()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if st.Size() > maxInt {
		return nil, &FormatError{File: path, Kind: ErrLimit, Reason: fmt.Sprintf("%d bytes do not fit this machine's address space", st.Size()), Hint: "use a 64-bit machine"}
	}
	m := &mapping{path: path}
	if st.Size() == 0 {
		return m, nil
	}
	if m.data, m.free, err = mapFile(f, int(st.Size())); err != nil {
		return nil, fmt.Errorf("gguf: %s: map: %w", path, err)
	}
	if m.free != nil {
		live.add(m)
	}
	return m, nil
}

const maxInt = int64(^uint(0) >> 1)

func fileKind(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&os.ModeNamedPipe != 0:
		return "pipe"
	case mode&os.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// closing closes f and keeps the first error.
func closing(err error, f *os.File) error {
	if cerr := f.Close(); err == nil && cerr != nil {
		return fmt.Errorf("gguf: %w", cerr)
	}
	return err
}

// close unmaps; a second call does nothing.
func (m *mapping) close() error {
	free := m.free
	m.free, m.data = nil, nil
	if free == nil {
		return nil
	}
	live.remove(m)
	if err := free(); err != nil {
		return fmt.Errorf("gguf: %s: unmap: %w", m.path, err)
	}
	return nil
}

// describe tells the mapping which tensors it holds, for FaultErrors.
func (m *mapping) describe(tensors []*Tensor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spans = tensors
}

// fault names the place of offset.
func (m *mapping) fault(offset uint64) *FaultError {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := &FaultError{File: m.path, Offset: offset}
	i := sort.Search(len(m.spans), func(i int) bool { return m.spans[i].Offset > offset })
	for i--; i >= 0; i-- {
		if t := m.spans[i]; len(t.Data) > 0 {
			if offset-t.Offset < uint64(len(t.Data)) {
				e.Tensor = t.Name
			}
			break
		}
	}
	return e
}

// live are the mappings of this process: the one place where an address can be
// turned back into a file. It has to be global because a fault brings nothing
// but an address.
var live registry

type registry struct {
	mu   sync.RWMutex
	maps map[*mapping]addresses
}

// addresses is a half-open range.
type addresses struct{ from, to uintptr }

func (r *registry) add(m *mapping) {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.maps == nil {
		r.maps = map[*mapping]addresses{}
	}
	r.maps[m] = addresses{from, from + uintptr(len(m.data))}
}

func (r *registry) remove(m *mapping) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.maps, m)
}

// find turns an address into the mapping that holds it.
func (r *registry) find(addr uintptr) (*mapping, uint64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for m, a := range r.maps {
		if addr >= a.from && addr < a.to {
			return m, uint64(addr - a.from), true
		}
	}
	return nil, 0, false
}
