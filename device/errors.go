package device

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
)

// ErrClosed is matched by the error of a call to a device or part that was closed.
var ErrClosed = errors.New("device: closed")

// UnavailableError says that a device cannot be used: it is not there, or its driver, its
// age or its state forbid it.
type UnavailableError struct {
	Device string // the entry of the list, or the kind
	Reason string // what is wrong and what to do
	Err    error  // the cause, may be nil
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("device: %s cannot be used: %s", e.Device, e.Reason)
}

// Unwrap gives the cause, such as a *driver.Error.
func (e *UnavailableError) Unwrap() error { return e.Err }

// MemoryError says that a device has not enough memory for what was to be put there.
type MemoryError struct {
	Device string
	What   string // "weights of blk.3", "KV pages"
	Need   uint64 // bytes; 0 = not known
	Free   uint64 // bytes that the device had left; 0 = not known
	Err    error  // the cause, may be nil
}

func (e *MemoryError) Error() string {
	need := ""
	if e.Need > 0 {
		need = humanize.IBytes(e.Need) + " needed, "
	}
	return fmt.Sprintf("device: %s has no room for %s: %s%s free; use fewer positions (--ctx), a smaller KV type (--kv), or more devices",
		e.Device, e.What, need, humanize.IBytes(e.Free))
}

// Unwrap gives the cause.
func (e *MemoryError) Unwrap() error { return e.Err }

// LostError says that a device stopped working: a kernel faulted, or the device is gone.
// Everything on it is lost.
type LostError struct {
	Device string
	Doing  string // "blocks 0-14", "reading logits"
	Err    error
}

func (e *LostError) Error() string {
	return fmt.Sprintf("device: %s failed while %s and everything on it is lost: %v", e.Device, e.Doing, e.Err)
}

// Unwrap gives the cause.
func (e *LostError) Unwrap() error { return e.Err }

// TensorError says that a device cannot use a tensor of the model file. Reason says what
// is wrong and what to do.
type TensorError struct {
	Device string // as Info.Name
	Tensor string // name in the file
	Type   string // storage type, as gguf names it
	Reason string
}

func (e *TensorError) Error() string {
	return fmt.Sprintf("device: %s: tensor %q of type %s: %s", e.Device, e.Tensor, e.Type, e.Reason)
}

// KVError says that a device cannot keep keys and values in the way asked for.
type KVError struct {
	Device string
	Type   string // KV.Type as asked
	Reason string
	Err    error // the cause, may be nil
}

func (e *KVError) Error() string {
	return fmt.Sprintf("device: %s: KV cache of type %q: %s", e.Device, e.Type, e.Reason)
}

func (e *KVError) Unwrap() error { return e.Err }

// NumericError says that the values of a row stopped being numbers. Stage is the first
// part that made such a value, because later parts skip failed sequences.
type NumericError struct {
	Stage    string // "embed", "blk.3", "head"
	Device   string
	Sequence uint64 // Seq.ID
	Row      int    // index into Batch.Rows
	Pos      int32  // position in the sequence
	Index    int    // first such value of the row: feature, or token id for the head
	Kind     string // "NaN" or "Inf"
}

func (e *NumericError) Error() string {
	return fmt.Sprintf("device: %s on %s made %s at position %d of sequence %d (value %d of the row): the weights of this stage or an earlier one are damaged, or the model overflows float32; compare the file's checksum with its source",
		e.Stage, e.Device, e.Kind, e.Pos, e.Sequence, e.Index)
}

// TokenError says that a sequence asks for a token that the model's embedding lacks.
type TokenError struct {
	Sequence uint64
	Row      int
	Pos      int32
	Token    int32
	Vocab    int // valid ids are 0..Vocab-1
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("device: token id %d at position %d of sequence %d is outside the vocabulary; ids go from 0 to %d",
		e.Token, e.Pos, e.Sequence, e.Vocab-1)
}

// PageError says that a sequence's page table does not cover its rows or names a page
// that the device does not have.
type PageError struct {
	Device   string
	Sequence uint64
	Pos      int32 // last position that the batch needs
	Reason   string
}

func (e *PageError) Error() string {
	return fmt.Sprintf("device: %s: pages of sequence %d up to position %d: %s", e.Device, e.Sequence, e.Pos, e.Reason)
}

// BatchError says that a batch contradicts itself or the activations it came with. It
// is a mistake of the program that built it; nothing of the batch was computed.
type BatchError struct {
	Reason string
}

func (e *BatchError) Error() string { return "device: batch: " + e.Reason }

// PanicError says that a kernel panicked. The device stays usable; the batch is lost.
type PanicError struct {
	Device string
	Value  any    // what was passed to panic
	Stack  []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("device: %s: a kernel panicked: %v (a bug in this program; please report it with this stack)\n%s", e.Device, e.Value, e.Stack)
}

// Unwrap gives the panic's value when it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
