package graph

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// ArchError: the file's general.architecture is none that Bind knows.
type ArchError struct {
	File  string
	Arch  string   // as the file says it
	Known []string // what Bind knows, sorted
}

func (e *ArchError) Error() string {
	return fmt.Sprintf("graph: %s: architecture %.40q is not supported; this version runs %s",
		e.File, e.Arch, strings.Join(e.Known, ", "))
}

// KeyError: a metadata key that describes the network is missing, has the
// wrong type, or a value that no network can have.
type KeyError struct {
	File  string
	Key   string      // whole name, with the architecture's prefix
	Found string      // the value, "" when the key is missing
	Want  string      // what would be accepted
	Err   error       // the reader's error, nil when the value itself is at fault
	Also  []*KeyError // further keys of the file that are at fault
}

func (e *KeyError) Error() string {
	text := "graph: " + e.File + ": " + e.Fault()
	for _, k := range e.Also {
		text += "; " + k.Fault()
	}
	return text
}

// Fault is what is wrong with this one key.
func (e *KeyError) Fault() string {
	found := "is missing"
	switch {
	case e.Found != "":
		found = "is " + e.Found
	case e.Err != nil:
		found = "cannot be used (" + e.Err.Error() + ")"
	}
	return fmt.Sprintf("metadata key %s %s; expected %s", e.Key, found, e.Want)
}

func (e *KeyError) Unwrap() error { return e.Err }

// VocabError: the network and the tokenizer of one file disagree on the number
// of tokens.
type VocabError struct {
	File   string
	Source string // where Vocab comes from: a key, or the embedding tensor
	Vocab  int    // rows of the network's embedding
	Tokens int    // entries of tokenizer.ggml.tokens
}

func (e *VocabError) Error() string { return "graph: " + e.File + ": " + e.fault() }

func (e *VocabError) fault() string {
	return fmt.Sprintf("%s says %d tokens, tokenizer.ggml.tokens has %d entries; the file was put together wrongly, convert it again",
		e.Source, e.Vocab, e.Tokens)
}

// Fault says what is wrong with a tensor.
type Fault string

// The faults of tensors.
const (
	Missing   Fault = "missing"
	Misshapen Fault = "shape"    // exists with other dimensions
	Storage   Fault = "type"     // a norm, bias or scale in a type that is no plain float
	Homeless  Fault = "no place" // the architecture has no such tensor, and leaving it out would change the network
)

// TensorProblem is one tensor that could not be bound.
type TensorProblem struct {
	Tensor string
	Fault  Fault
	Want   []uint64 // dimensions in ne order; nil for Homeless
	Found  []uint64 // nil for Missing
	Type   string   // the tensor's type; "" for Missing
}

func (p TensorProblem) String() string {
	switch p.Fault {
	case Missing:
		return fmt.Sprintf("%s is missing (expected %v)", p.Tensor, p.Want)
	case Misshapen:
		return fmt.Sprintf("%s is %v, expected %v", p.Tensor, p.Found, p.Want)
	case Storage:
		return fmt.Sprintf("%s has type %s, expected F32, F16 or BF16", p.Tensor, p.Type)
	default:
		return fmt.Sprintf("%s has no place in this architecture, and the network is another without it", p.Tensor)
	}
}

// maxProblems is how many tensors a BindError names.
const maxProblems = 20

// BindError says what keeps a file from being the network that its metadata
// describes.
type BindError struct {
	File     string
	Arch     string
	Problems []TensorProblem // the first maxProblems in the order of the network
	More     int             // how many further ones there are
	Vocab    *VocabError     // nil where the tokenizer fits
	Surplus  []string        // tensors that the network would not use either way, in file order
}

func (e *BindError) Error() string {
	if len(e.Problems) == 0 && e.Vocab != nil {
		return e.Vocab.Error()
	}
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	if e.Vocab != nil {
		lines = append(lines, e.Vocab.fault())
	}
	n := len(e.Problems) + e.More
	if n == 1 {
		return fmt.Sprintf("graph: %s: 1 tensor does not fit architecture %s: %s", e.File, e.Arch, strings.Join(lines, "; "))
	}
	return fmt.Sprintf("graph: %s: %d tensors do not fit architecture %s:\n  %s", e.File, n, e.Arch, strings.Join(lines, "\n  "))
}

// Unwrap gives the *VocabError.
func (e *BindError) Unwrap() error {
	if e.Vocab == nil {
		return nil
	}
	return e.Vocab
}

// SplitError: an explicit split is not one count a device that adds up to the
// model's blocks.
type SplitError struct {
	Split   []int // as given
	Devices int   // counts needed
	Blocks  int   // sum needed
}

func (e *SplitError) Error() string {
	sum := 0
	for _, n := range e.Split {
		if n < 0 {
			return fmt.Sprintf("graph: split %v: a device cannot have %d blocks; give %d counts that add up to %d blocks",
				e.Split, n, e.Devices, e.Blocks)
		}
		sum += n
	}
	return fmt.Sprintf("graph: split %v has %d counts adding up to %d; needed: %d counts (one a device) adding up to %d blocks",
		e.Split, len(e.Split), sum, e.Devices, e.Blocks)
}

// PlanError: what MakePlan was given makes no sense, whatever the model.
type PlanError struct {
	What string // "devices", "speed of cpu:0", "kv"
	Want string
}

func (e *PlanError) Error() string {
	return fmt.Sprintf("graph: plan: %s: expected %s", e.What, e.Want)
}

// MemoryError: a part does not fit its device.
type MemoryError struct {
	Device    string // Capacity.Name
	Index     int    // of the device
	Part      string // "embed, blocks 0-14"
	Needed    uint64 // Weights + KV
	Available uint64 // Capacity.Bytes
	Weights   uint64
	KV        uint64
	Filled    bool // no split fits: this is what is left for the last device when the earlier ones are full
}

func (e *MemoryError) Error() string {
	why := ""
	if e.Filled {
		why = " (what is left when the devices before it are full)"
	}
	return fmt.Sprintf("graph: %s cannot hold %s%s: %s needed (%s weights, %s KV cache), %s available; "+
		"use fewer positions (--ctx) or sequences, a smaller KV type (--kv), another --split, or more devices",
		e.Device, e.Part, why, humanize.IBytes(e.Needed), humanize.IBytes(e.Weights), humanize.IBytes(e.KV), humanize.IBytes(e.Available))
}
