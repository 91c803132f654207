package convert

import (
	"bytes"
	"context"

	"tritflow/cmd/tritflow/internal/requant"
	"tritflow/gguf"
	"tritflow/gguf/hf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// Ways to read the scale of packed trits.
const (
	ScaleAuto  = "auto"  // as quantization_config says
	ScaleTimes = "times" // a trit stands for ±scale
	ScaleOver  = "over"  // a trit stands for ±1/scale
)

// Options of Write.
type Options struct {
	Type     string                // of the blocks' matrices; "" = I2_S for ternary models, else F16
	Head     string                // of embedding and head; "" = F16
	Name     string                // general.name; "" = as the folder says
	Pre      string                // pre-tokenizer; "" = found
	Scale    string                // ScaleAuto ("" too), ScaleTimes or ScaleOver
	Absmean  bool                  // round real weights to trits also where the folder does not ask for it
	Progress func(done, total int) // MiB read; may be nil
}

// job is a conversion under way.
type job struct {
	folder                *hf.Folder
	opt                   Options
	net                   *network
	parts                 []*part
	matrices, head, plain target
}

// Write writes the whole model to w and leaves closing it to the caller. It
// returns what was assumed.
func Write(ctx context.Context, w *gguf.Writer, f *hf.Folder, opt Options) (notes []string, err error) {
	j := &job{folder: f, opt: opt}
	if j.net, err = newNetwork(f, opt.Name); err != nil {
		return nil, err
	}
	if j.parts, err = j.net.parts(f); err != nil {
		return nil, err
	}
	if err := j.types(); err != nil {
		return nil, err
	}
	tok, err := f.Tokenizer(opt.Pre)
	if err != nil {
		return nil, err
	}
	keys, err := j.keys(tok)
	if err != nil {
		return nil, err
	}
	if err := try(keys); err != nil {
		return nil, &Error{File: f.Path, Reason: "its tokenizer cannot be used", Err: err}
	}
	for _, k := range keys {
		if err := w.Set(k.Key, k.Value); err != nil {
			return nil, err
		}
	}
	steps, err := j.announce(w)
	if err != nil {
		return nil, err
	}
	total, done := int64(0), int64(0)
	for _, p := range j.parts {
		total += p.bytes()
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := step.write(ctx, w); err != nil {
			return nil, err
		}
		if done += step.part.bytes(); opt.Progress != nil {
			opt.Progress(int(done>>20), int(total>>20))
		}
	}
	return tok.Notes, nil
}

func (p *part) bytes() int64 {
	if p.from == nil {
		return 0
	}
	return p.from.Bytes()
}

// types finds the types of the options.
func (j *job) types() (err error) {
	name := j.opt.Type
	if name == "" {
		name = "F16"
		if j.net.bitnet {
			name = "I2_S"
		}
	}
	if j.matrices, err = targetNamed(name); err != nil {
		return err
	}
	head := j.opt.Head
	if head == "" {
		head = "F16"
	}
	if j.head, err = targetNamed(head); err != nil {
		return err
	}
	if j.head.codec.Ternary {
		return &Error{Reason: "embedding and head are not ternary: choose f16, f32, q8_0, q6_k or q4_0 for them"}
	}
	j.plain, err = targetNamed("F32")
	return err
}

// keys are the file's metadata.
func (j *job) keys(tok *hf.Tokenizer) ([]graph.MetaValue, error) {
	keys := append(j.net.shape.Metadata(), j.net.keys...)
	if id, ok := requant.FileType(j.matrices.typ); ok {
		keys = append(keys, graph.MetaValue{Key: "general.file_type", Value: id})
	}
	keys = append(keys, graph.MetaValue{Key: "general.quantization_version", Value: uint32(2)})
	gen, err := j.folder.Generation()
	if err != nil {
		return nil, err
	}
	if gen.Temperature != nil {
		keys = append(keys, graph.MetaValue{Key: "general.sampling.temp", Value: float32(*gen.Temperature)})
	}
	if gen.TopP != nil {
		keys = append(keys, graph.MetaValue{Key: "general.sampling.top_p", Value: float32(*gen.TopP)})
	}
	if gen.TopK != nil {
		keys = append(keys, graph.MetaValue{Key: "general.sampling.top_k", Value: int32(*gen.TopK)})
	}
	for _, k := range tok.Keys {
		keys = append(keys, graph.MetaValue{Key: k.Name, Value: k.Value})
	}
	return keys, nil
}

// try loads the vocabulary from a file of nothing but metadata.
func try(keys []graph.MetaValue) error {
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range keys {
		if err := w.Set(k.Key, k.Value); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	f, err := gguf.Parse("metadata", b.Bytes(), gguf.Options{})
	if err != nil {
		return err
	}
	_, err = vocab.Load(f.Metadata(), vocab.Options{})
	return firstError(err, f.Close())
}

func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
