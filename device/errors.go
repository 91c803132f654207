package device

import (
	"errors"
	"fmt"
)

// ErrClosed is matched by the error of a call to a device or part that was closed.
var ErrClosed = errors.New("device: closed")

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
