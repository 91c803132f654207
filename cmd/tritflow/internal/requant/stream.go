package requant

import (
	"bytes"
	"context"
	"errors"
	"io"

	"tritflow/quantkern"
)

// pieceValues is about how many values are packed at a time where the type allows it.
const pieceValues = 1 << 20

// open streams a matrix as a type.
func (v Values) open(c *quantkern.Codec) func(ctx context.Context) (io.Reader, error) {
	return func(ctx context.Context) (io.Reader, error) {
		rows := v.Rows
		if c.BlockBytes > 0 {
			rows = min(rows, max(1, pieceValues/max(v.Cols, 1)))
		}
		return &pieces{
			ctx: ctx, v: v, codec: c, values: make([]float32, rows*v.Cols),
			packed: make([]byte, c.Size(rows, v.Cols)), rest: bytes.NewReader(nil),
		}, nil
	}
}

// pieces packs some rows whenever the last ones have been read.
type pieces struct {
	ctx    context.Context
	v      Values
	codec  *quantkern.Codec
	row    int
	values []float32
	packed []byte
	rest   *bytes.Reader
}

// Read implements io.Reader.
func (p *pieces) Read(b []byte) (int, error) {
	if p.rest.Len() == 0 {
		if p.row == p.v.Rows {
			return 0, io.EOF
		}
		if err := p.fill(); err != nil {
			return 0, err
		}
	}
	return p.rest.Read(b)
}

func (p *pieces) fill() error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	cols := p.v.Cols
	n := min(len(p.values)/max(cols, 1), p.v.Rows-p.row)
	for i := range n {
		if err := p.v.Row(p.values[i*cols:(i+1)*cols], p.row+i); err != nil {
			return err
		}
	}
	out := p.packed[:p.codec.Size(n, cols)]
	if err := encode(p.codec, out, p.values[:n*cols], n, cols); err != nil {
		return placed(err, p.row)
	}
	p.row += n
	p.rest.Reset(out)
	return nil
}

// encode packs rows, those of block types on all processors.
func encode(c *quantkern.Codec, dst []byte, src []float32, rows, cols int) error {
	if c.BlockBytes == 0 {
		return c.Encode(dst, src, rows, cols)
	}
	return spread(rows, func(lo, hi int) error {
		return placed(c.Encode(dst[c.Size(lo, cols):c.Size(hi, cols)], src[lo*cols:hi*cols], hi-lo, cols), lo)
	})
}

// placed moves the row of an error to where the piece is in its matrix.
func placed(err error, row int) error {
	var e *quantkern.ValueError
	if errors.As(err, &e) {
		at := *e
		at.Row += row
		return &at
	}
	return err
}
