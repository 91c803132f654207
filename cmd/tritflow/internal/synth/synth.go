package synth

import (
	"cmp"
	"context"
	"fmt"

	"tritflow/cmd/tritflow/internal/requant"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// Options of Write.
type Options struct {
	Shape    graph.Shape
	Type     gguf.Type // of the blocks' matrices
	Head     string    // type of embedding and head, as gguf names it; "" = F16
	Seed     uint64
	Progress func(done, total int) // MiB written; may be nil
}

// TypeError says why the matrices cannot have a type.
type TypeError struct {
	Type   string
	Reason string
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("synth: type %s: %s", e.Type, e.Reason)
}

// tensor is one tensor of the file to be.
type tensor struct {
	graph.TensorSpec
	typ        gguf.Type
	codec      *quantkern.Codec
	rows, cols int
}

// Write writes the whole model to w and leaves closing it to the caller.
// Memory stays that of the largest matrix of a type that is packed as a whole
// (I2_S), and of a few rows otherwise.
func Write(ctx context.Context, w *gguf.Writer, opt Options) error {
	tensors, err := plan(opt)
	if err != nil {
		return err
	}
	if err := announce(w, opt, tensors); err != nil {
		return err
	}
	total, done := 0, 0
	for _, t := range tensors {
		total += t.codec.Size(t.rows, t.cols)
	}
	for i, t := range tensors {
		r := newSource(ctx, t, opt.Seed, uint64(i))
		if err := w.WriteTensor(t.Name, r); err != nil {
			return fmt.Errorf("synth: %w", err)
		}
		done += t.codec.Size(t.rows, t.cols)
		if opt.Progress != nil {
			opt.Progress(done>>20, total>>20)
		}
	}
	return nil
}

// plan finds type and codec of every tensor.
func plan(opt Options) ([]tensor, error) {
	var tensors []tensor
	for _, s := range opt.Shape.Tensors() {
		name := cmp.Or(opt.Head, "F16")
		switch s.Role {
		case graph.RoleMatrix:
			name = opt.Type.String()
		case graph.RoleNorm, graph.RoleFactors:
			name = "F32"
		}
		typ, _ := gguf.TypeByName(name)
		codec, err := quantkern.Lookup(name)
		if err != nil {
			return nil, &TypeError{name, "this program cannot run it: choose one of I2_S, TQ2_0, TQ1_0, TL2, Q2_0, F16"}
		}
		t := tensor{TensorSpec: s, typ: typ, codec: codec, rows: 1, cols: int(s.Dims[0])}
		for _, d := range s.Dims[1:] {
			t.rows *= int(d)
		}
		if !codec.CanEncode() {
			return nil, &TypeError{name, "it can be read but not written: choose one of I2_S, TQ2_0, TQ1_0, TL2, Q2_0, F16"}
		}
		if (s.Role == graph.RoleEmbedding || s.Role == graph.RoleHead) && codec.Ternary && codec.BlockBytes == 0 {
			return nil, &TypeError{name, "it rounds nothing, and embedding and head are no trits: choose one of F16, Q8_0, Q6_K, Q4_0 for them"}
		}
		if err := codec.Check(t.rows, t.cols); err != nil {
			return nil, &TypeError{name, fmt.Sprintf("tensor %q does not fit: %v", s.Name, err)}
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}

// announce writes metadata and tensor list.
func announce(w *gguf.Writer, opt Options, tensors []tensor) error {
	var err error
	set := func(key string, value any) {
		if err == nil {
			err = w.Set(key, value)
		}
	}
	for _, m := range opt.Shape.Metadata() {
		set(m.Key, m.Value)
	}
	set("general.description", fmt.Sprintf("random weights, seed %d", opt.Seed))
	set("general.quantization_version", uint32(2))
	if id, ok := requant.FileType(opt.Type); ok {
		set("general.file_type", id)
	}
	var layouts requant.Layouts
	for _, t := range tensors {
		if err == nil {
			err = layouts.See(t.typ, t.rows, t.cols)
		}
	}
	layouts.Write(set)
	newVocabulary(opt.Shape.Vocab).write(set)
	for _, t := range tensors {
		if err == nil {
			err = w.Add(gguf.TensorInfo{Name: t.Name, Type: t.typ, Dims: t.Dims})
		}
	}
	if err != nil {
		return fmt.Errorf("synth: %w", err)
	}
	return nil
}
