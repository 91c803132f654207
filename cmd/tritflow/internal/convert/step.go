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
	"tritflow/graph"
)

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
