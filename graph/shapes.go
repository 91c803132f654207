package graph

import (
	"fmt"
	"strings"
)

// Shape is a network without weights: an architecture and its
// hyper-parameters, from which a file with the right tensors can be written.
type Shape struct {
	Name    string // "2b4t"
	Arch    string // general.architecture
	OwnHead bool   // output.weight beside the embedding
	Params
}

// TensorSpec is a tensor that a file of a Shape has.
type TensorSpec struct {
	Name string
	Role Role
	Dims []uint64 // ne order
}

// MetaValue is a metadata pair; Value is a string, uint32 or float32.
type MetaValue struct {
	Key   string
	Value any
}

// ShapeError: no shape has this name.
type ShapeError struct {
	Name  string
	Known []string
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("graph: no shape %q; known: %s", e.Name, strings.Join(e.Known, ", "))
}

// Shapes lists the networks that have a name: two small ones for tests ("tiny"
// is the shape of the reference model in testdata), then published models.
// Their context lengths follow the model cards and matter only to synthetic
// files.
func Shapes() []Shape {
	all := make([]Shape, len(shapes))
	for i, s := range shapes {
		all[i] = s.complete()
	}
	return all
}

// ShapeByName finds a shape, ignoring case; *ShapeError lists what there is.
func ShapeByName(name string) (Shape, error) {
	var names []string
	for _, s := range Shapes() {
		if strings.EqualFold(s.Name, name) {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Shape{}, &ShapeError{Name: name, Known: names}
}

// shapes leaves out what the fallbacks of the keys give.
var shapes = []Shape{
	{Name: "tiny", Arch: "bitnet-b1.58", Params: Params{Vocab: 512, Context: 2048,
		Hidden: 256, Blocks: 3, FFN: 512, Heads: 4, KVHeads: 2, Eps: 1e-5, RopeBase: 500000}},
	{Name: "small", Arch: "bitnet-b1.58", Params: Params{Vocab: 4096, Context: 2048,
		Hidden: 512, Blocks: 8, FFN: 1536, Heads: 8, KVHeads: 4, Eps: 1e-5, RopeBase: 500000}},
	{Name: "2b4t", Arch: "bitnet-b1.58", Params: Params{Vocab: 128256, Context: 4096,
		Hidden: 2560, Blocks: 30, FFN: 6912, Heads: 20, KVHeads: 5, Eps: 1e-5, RopeBase: 500000}},
	{Name: "large-0.7b", Arch: "bitnet", Params: Params{Vocab: 32002, Context: 2048,
		Hidden: 1536, Blocks: 24, FFN: 4096, Heads: 16, Eps: 1e-5}},
	{Name: "3b", Arch: "bitnet", Params: Params{Vocab: 32002, Context: 2048,
		Hidden: 3200, Blocks: 26, FFN: 8640, Heads: 32, Eps: 1e-5}},
	{Name: "llama3-8b", Arch: "llama", OwnHead: true, Params: Params{Vocab: 128256, Context: 8192,
		Hidden: 4096, Blocks: 32, FFN: 14336, Heads: 32, KVHeads: 8, Eps: 1e-5, RopeBase: 500000}},
	{Name: "falcon3-1b", Arch: "llama", OwnHead: true, Params: Params{Vocab: 131072, Context: 8192,
		Hidden: 2048, Blocks: 18, FFN: 8192, Heads: 8, KVHeads: 4, Eps: 1e-6, RopeBase: 1000042}},
	{Name: "falcon3-3b", Arch: "llama", OwnHead: true, Params: Params{Vocab: 131072, Context: 32768,
		Hidden: 3072, Blocks: 22, FFN: 9216, Heads: 12, KVHeads: 4, Eps: 1e-6, RopeBase: 1000042}},
	{Name: "falcon3-7b", Arch: "llama", OwnHead: true, Params: Params{Vocab: 131072, Context: 32768,
		Hidden: 3072, Blocks: 28, FFN: 23040, Heads: 12, KVHeads: 4, Eps: 1e-6, RopeBase: 1000042}},
	{Name: "falcon3-10b", Arch: "llama", OwnHead: true, Params: Params{Vocab: 131072, Context: 32768,
		Hidden: 3072, Blocks: 40, FFN: 23040, Heads: 12, KVHeads: 4, Eps: 1e-6, RopeBase: 1000042}},
}

// complete fills in what a file with no more keys than these would mean.
func (s Shape) complete() Shape {
	for i := range keyTable {
		if k := &keyTable[i]; k.fallback != nil && k.zero(&s.Params) {
			k.fallback(&s.Params)
		}
	}
	s.RopeScale = 1
	s.Activation = known[s.Arch].activation
	return s
}

// Metadata is what Bind reads, in the order of a file: architecture, name and
// hyper-parameters. The tokenizer, general.file_type and
// general.quantization_version are the writer's.
func (s Shape) Metadata() []MetaValue {
	meta := []MetaValue{{archKey, s.Arch}, {"general.name", s.Name}}
	for i := range keyTable {
		k := &keyTable[i]
		if k.implied {
			p := s.Params
			k.fallback(&p)
			if p == s.Params {
				continue
			}
		}
		meta = append(meta, MetaValue{s.Arch + "." + k.suffix, k.value(&s.Params)})
	}
	return meta
}

// Tensors lists every tensor in the order of a file, without optional ones
// (but for output.weight where the shape has a head of its own).
func (s Shape) Tensors() []TensorSpec {
	a := known[s.Arch]
	specs := s.specs(nil, a.first, "")
	for i := range s.Blocks {
		specs = s.specs(specs, a.block, blockPrefix(i))
	}
	return s.specs(specs, a.last, "")
}

func (s Shape) specs(to []TensorSpec, slots []slot, prefix string) []TensorSpec {
	for _, t := range slots {
		if !t.optional || (t.role == RoleHead && s.OwnHead) {
			to = append(to, TensorSpec{prefix + t.name + ".weight", t.role, t.shape(&s.Params)})
		}
	}
	return to
}
