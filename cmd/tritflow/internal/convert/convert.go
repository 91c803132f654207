package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

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

// step writes one part, and the scale that it may have in a tensor of its own.
type step struct {
	job   *job
	part  *part
	to    target
	apart bool
}

func (s *step) scaleName() string { return strings.TrimSuffix(s.part.Name, ".weight") + ".scale" }

// announce lists the tensors.
func (j *job) announce(w *gguf.Writer) ([]*step, error) {
	var steps []*step
	var layouts requant.Layouts
	for _, p := range j.parts {
		s := &step{job: j, part: p, to: j.typeOf(p)}
		if err := s.to.codec.Check(p.rows, p.cols); err != nil {
			return nil, &Error{File: p.file(j), Tensor: p.Name, Reason: "it cannot be written as " + s.to.codec.Name, Err: err}
		}
		if err := w.Add(gguf.TensorInfo{Name: p.Name, Type: s.to.typ, Dims: p.Dims}); err != nil {
			return nil, err
		}
		if err := layouts.See(s.to.typ, p.rows, p.cols); err != nil {
			return nil, err
		}
		var err error
		if s.apart, err = s.splits(); err != nil {
			return nil, err
		}
		if s.apart {
			if err := w.Add(gguf.TensorInfo{Name: s.scaleName(), Type: j.plain.typ, Dims: []uint64{1}}); err != nil {
				return nil, err
			}
		}
		steps = append(steps, s)
	}
	var err error
	layouts.Write(func(key string, value any) { err = firstError(err, w.Set(key, value)) })
	return steps, err
}

func (p *part) file(j *job) string {
	if p.from == nil {
		return j.folder.Path
	}
	return p.from.File()
}

// splits says whether the scale goes into a tensor of its own. Where trits are
// yet to be made the scale is a mean, which no half holds.
func (s *step) splits() (bool, error) {
	p := s.part
	switch {
	case p.Role != graph.RoleMatrix:
		return false, nil
	case p.factor != nil:
		scale, err := p.packedScale(s.job)
		return err == nil && s.to.apart(scale), err
	case s.job.net.bitnet || s.job.opt.Absmean:
		return s.to.apart(math.Pi), nil
	}
	return false, nil
}

// write writes the part's tensors.
func (s *step) write(ctx context.Context, w *gguf.Writer) error {
	p := s.part
	switch {
	case p.values != nil:
		return s.bytes(w, p.Name, p.values)
	case p.Role != graph.RoleMatrix:
		return w.WriteTensor(p.Name, &rows{ctx: ctx, step: s})
	}
	m, err := p.load(s.job)
	if err != nil {
		return err
	}
	scale := m.scale
	raw, err := s.to.pack(p, m, s.apart)
	if err != nil {
		return err
	}
	if err := w.WriteTensor(p.Name, bytes.NewReader(raw)); err != nil || !s.apart {
		return err
	}
	return s.bytes(w, s.scaleName(), []float32{scale})
}

// bytes writes floats.
func (s *step) bytes(w *gguf.Writer, name string, values []float32) error {
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return w.WriteTensor(name, bytes.NewReader(raw))
}

// rows is a real tensor as bytes of its type, some rows at a time.
type rows struct {
	ctx  context.Context
	step *step
	next int
	buf  []byte
}

// Read implements io.Reader.
func (r *rows) Read(dst []byte) (int, error) {
	p, codec := r.step.part, r.step.to.codec
	if len(r.buf) == 0 {
		if r.next == p.rows {
			return 0, io.EOF
		}
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		const values = 1 << 18
		n := min(p.rows-r.next, max(1, values/p.cols))
		m := &part{TensorSpec: p.TensorSpec, from: p.from, rows: n, cols: p.cols}
		floats := make([]float32, n*p.cols)
		if err := m.decode(floats, r.next, n); err != nil {
			return 0, err
		}
		for i, v := range floats {
			if v-v != 0 {
				return 0, p.fault(fmt.Sprintf("value %d of row %d is not finite; the weights are damaged", i%p.cols, r.next+i/p.cols))
			}
		}
		p.permute(floats)
		r.buf = make([]byte, codec.Size(n, p.cols))
		if err := codec.Encode(r.buf, floats, n, p.cols); err != nil {
			return 0, &Error{File: p.from.File(), Tensor: p.from.Name, Reason: "it cannot be written as " + codec.Name, Err: err}
		}
		r.next += n
	}
	n := copy(dst, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}
