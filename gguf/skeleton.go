package gguf

import "io"

// SKELETON: signatures that the other packages compile against. The owner of
// this package replaces this file by real ones and keeps these names.

// Type is a tensor's storage type, already resolved: ids that different forks
// use for different layouts are different Types.
type Type uint8

// String returns the type's name ("I2_S", "TQ2_0", "F16" ...): the name by
// which quantkern's codecs are found.
func (t Type) String() string { panic("skeleton") }

// TypeByName finds a Type by its String, ignoring case.
func TypeByName(name string) (Type, bool) { panic("skeleton") }

// ID is the number that stands for the type in a file.
func (t Type) ID() uint32 { panic("skeleton") }

// BlockElements is the number of values along ne[0] that must stay together (1 for whole-tensor types).
func (t Type) BlockElements() uint64 { panic("skeleton") }

// Size is the number of bytes of a tensor of this type and shape.
func (t Type) Size(dims []uint64) (uint64, error) { panic("skeleton") }

// Tensor is a named view into a file.
type Tensor struct {
	Name   string
	Type   Type
	Dims   []uint64 // ne order: Dims[0] is the fastest (columns, input features)
	Offset uint64   // absolute offset in the file part it lies in
	Data   []byte   // read-only view of the mapping
	File   string   // path of the part
}

// Cols is Dims[0]; Rows is the product of the others; Elements the product of all.
func (t *Tensor) Cols() int     { panic("skeleton") }
func (t *Tensor) Rows() int     { panic("skeleton") }
func (t *Tensor) Elements() int { panic("skeleton") }

// File is an open model file: metadata and tensors of all its parts.
type File struct{}

// Options of Open and Parse.
type Options struct {
	I2SLayout string // "", "A", "B" or "C": layout of I2_S tensors; B and C give Types "I2_S_B", "I2_S_C"
}

// Open maps path (and, for a split file, its sisters).
func Open(path string, opt Options) (*File, error) { panic("skeleton") }

// Parse reads a whole file that is already in memory (the built-in model).
func Parse(name string, data []byte, opt Options) (*File, error) { panic("skeleton") }

func (f *File) Close() error                       { panic("skeleton") }
func (f *File) Name() string                       { panic("skeleton") } // path or name
func (f *File) Version() uint32                    { panic("skeleton") }
func (f *File) Size() uint64                       { panic("skeleton") } // bytes of all parts
func (f *File) Metadata() *Metadata                { panic("skeleton") }
func (f *File) Tensors() []*Tensor                 { panic("skeleton") } // in file order
func (f *File) Tensor(name string) (*Tensor, bool) { panic("skeleton") }

// Metadata is the file's key/value list, in file order.
type Metadata struct{}

// ValueType is the type of a metadata value.
type ValueType uint32

func (v ValueType) String() string { panic("skeleton") }

// Value is one metadata value. Arrays are decoded when asked for.
type Value struct{}

func (v Value) Type() ValueType     { panic("skeleton") }
func (v Value) ElemType() ValueType { panic("skeleton") } // of an array
func (v Value) Len() int            { panic("skeleton") } // of an array; 1 otherwise
func (v Value) Any() any            { panic("skeleton") } // Go value: uint8 ... float64, bool, string, []T
func (v Value) String() string      { panic("skeleton") } // short, for people (long arrays cut)

func (m *Metadata) Keys() []string               { panic("skeleton") }
func (m *Metadata) Get(key string) (Value, bool) { panic("skeleton") }

// The typed getters widen integers and floats. A missing key gives an error
// matching ErrNoKey, a value of another type a *KeyError.
func (m *Metadata) Str(key string) (string, error)       { panic("skeleton") }
func (m *Metadata) Uint(key string) (uint64, error)      { panic("skeleton") }
func (m *Metadata) Float(key string) (float64, error)    { panic("skeleton") }
func (m *Metadata) Bool(key string) (bool, error)        { panic("skeleton") }
func (m *Metadata) Strings(key string) ([]string, error) { panic("skeleton") }
func (m *Metadata) Ints(key string) ([]int64, error)     { panic("skeleton") } // any integer array
func (m *Metadata) Floats(key string) ([]float32, error) { panic("skeleton") }

// ErrNoKey is matched by the error of a getter whose key is not in the file.
var ErrNoKey error

// Guard runs fn so that a fault while reading a mapped file (it shrank, the
// disk failed) becomes a *FaultError naming file, tensor and offset instead of
// the end of the process. Faults elsewhere and other panics pass through. It
// works only for reads on the calling goroutine.
func Guard(fn func() error) error { panic("skeleton") }

// FaultError: a mapped file could not be read.
type FaultError struct {
	File   string
	Tensor string // "" when the fault was in the header
	Offset uint64
}

func (e *FaultError) Error() string { panic("skeleton") }

// Writer writes a GGUF v3 file streaming: all metadata and tensor infos
// first, then each tensor's bytes in order, so that memory stays constant.
type Writer struct{}

// TensorInfo announces a tensor.
type TensorInfo struct {
	Name string
	Type Type
	Dims []uint64
}

// Create starts a file at path (written beside it under a temporary name,
// renamed by Close, removed by Abort, so that nothing half-written is left).
func Create(path string) (*Writer, error) { panic("skeleton") }

// NewWriter writes to w (for tests and pipes).
func NewWriter(w io.Writer) *Writer { panic("skeleton") }

// Set adds a metadata value: Go integers, floats, bool, string or slices of them.
func (w *Writer) Set(key string, value any) error { panic("skeleton") }

// Add announces a tensor; WriteTensor must follow in the same order.
func (w *Writer) Add(t TensorInfo) error { panic("skeleton") }

// WriteTensor writes the next announced tensor's bytes from r (exactly its size).
func (w *Writer) WriteTensor(name string, r io.Reader) error { panic("skeleton") }

func (w *Writer) Close() error { panic("skeleton") }
func (w *Writer) Abort() error { panic("skeleton") }
