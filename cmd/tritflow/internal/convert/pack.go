package convert

import (
	"fmt"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// target is a type of the file to be.
type target struct {
	typ   gguf.Type
	codec *quantkern.Codec
}

// targetNamed finds a type that can be written.
func targetNamed(name string) (target, error) {
	typ, ok := gguf.TypeByName(name)
	if !ok {
		return target{}, &Error{Reason: fmt.Sprintf("type %q is unknown: use i2_s, tq2_0, tq1_0, f16 or f32", name)}
	}
	codec, err := quantkern.Lookup(typ.String())
	if err != nil || !codec.CanEncode() {
		return target{}, &Error{Reason: fmt.Sprintf("type %s cannot be written: use i2_s, tq2_0, tq1_0, f16 or f32", typ)}
	}
	return target{typ, codec}, nil
}

// whole says that the type has one scale for a whole tensor.
func (t target) whole() bool { return t.codec.BlockBytes == 0 }

// apart says that a scale has to go into a tensor of its own, with trits of ±1
// in the blocks: because the type would round it.
func (t target) apart(scale float32) bool {
	switch {
	case t.whole() || t.codec.Name == "F32":
		return false
	default:
		return quantkern.F16ToF32(quantkern.F32ToF16(scale)) != scale
	}
}

// pack turns a matrix into the bytes of its type. The scale is put into the
// values unless it goes into a tensor of its own.
func (t target) pack(p *part, m *matrix, apart bool) ([]byte, error) {
	switch {
	case t.codec.Ternary && !m.ternary:
		if err := t.blocksTernary(p, m.values); err != nil {
			return nil, err
		}
	case t.codec.Ternary && !apart && t.apart(m.scale):
		return nil, p.fault(fmt.Sprintf("%s would round its scale of %v: use --type i2_s", t.codec.Name, m.scale))
	}
	if m.ternary && !apart {
		for i := range m.values {
			m.values[i] *= m.scale
		}
	}
	out := make([]byte, t.codec.Size(p.rows, p.cols))
	if err := t.codec.Encode(out, m.values, p.rows, p.cols); err != nil {
		return nil, &Error{File: p.from.File(), Tensor: p.from.Name, Reason: "it cannot be written as " + t.codec.Name, Err: err}
	}
	return out, nil
}

// blocksTernary refuses to round weights that are not ternary, which would be
// another model; scales that differ from block to block are kept.
func (t target) blocksTernary(p *part, values []float32) error {
	block := t.codec.BlockValues
	if t.whole() {
		block = len(values)
	}
	for i := 0; i < len(values); i += block {
		scale, ok := oneScale(values[i : i+block])
		if !ok || t.apart(scale) {
			return p.fault(fmt.Sprintf("its values are not ternary (as %s has it, from row %d on), and the folder does not say that the model was trained to be: use --type f16, or --absmean to round all the same", t.codec.Name, i/p.cols))
		}
	}
	return nil
}

// typeOf is the type of a part.
func (j *job) typeOf(p *part) target {
	switch p.Role {
	case graph.RoleMatrix:
		return j.matrices
	case graph.RoleEmbedding, graph.RoleHead:
		return j.head
	default:
		return j.plain
	}
}
