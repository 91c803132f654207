package requant

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// VerifyError: what was written is not what was to be written.
type VerifyError struct {
	Tensor string
	Reason string
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("requant: checking what was written: tensor %q: %s; the file was given up", e.Tensor, e.Reason)
}

// Verify reads the file that Write made and compares it with the source:
// every trit, every scale to the bit, the bytes of what was copied, and the
// shapes of what was rounded.
func (p *Plan) Verify(ctx context.Context, path string) (err error) {
	out, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		return fmt.Errorf("requant: checking what was written: %w", err)
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	return gguf.Guard(func() error {
		for i := range p.changes {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := p.changes[i].verify(ctx, out, p.opt.RoundScales); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *change) verify(ctx context.Context, out *gguf.File, rounded bool) error {
	name := c.weight.Info.Name
	bad := func(format string, args ...any) error { return &VerifyError{name, fmt.Sprintf(format, args...)} }
	t, ok := out.Tensor(name)
	if !ok {
		return bad("it is missing")
	}
	if t.Type != c.weight.Info.Type || t.Rows() != c.weight.Rows || t.Cols() != c.weight.Cols {
		return bad("it reads as %v %v", t.Type, t.Dims)
	}
	if c.how == "copied" {
		if !bytes.Equal(t.Data, c.from.Data) {
			return bad("its bytes are others")
		}
		return nil
	}
	if c.trits == nil {
		return nil
	}
	own, err := c.ownScale(out)
	if err != nil {
		return err
	}
	codec, err := quantkern.Lookup(t.Codec())
	if err != nil {
		return err
	}
	if !codec.Ternary {
		return c.verifyValues(ctx, t, codec, own, rounded, bad)
	}
	w, err := quantkern.NewTernary(codec, t.Data, t.Rows(), t.Cols())
	if err != nil {
		return err
	}
	if c.trits.Scales == nil {
		want := written(c.trits.Scale, rounded, codec.HoldsScale)
		got := w.Scale * own
		// Scales of nothing but zeros are not read back.
		if (!w.Uniform || math.Float32bits(got) != math.Float32bits(want)) && !zeros(*c.trits) {
			return bad("its scale is %v, not %v", got, want)
		}
	}
	return spread(t.Rows(), func(lo, hi int) error {
		want, got := make([]int8, t.Cols()), make([]int8, t.Cols())
		scales := newScaleRows(c.trits, w)
		for r := lo; r < hi; r++ {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := c.trits.Trits(want, r); err != nil {
				return err
			}
			w.Trits(got, r)
			if !slices.Equal(want, got) {
				return bad("row %d has other trits", r)
			}
			if col := scales.differ(want, r); col >= 0 {
				return bad("row %d, column %d has another scale", r, col)
			}
		}
		return nil
	})
}

// ownScale is what multiplies the scale of the weights written: that of the
// tensor beside them, unless it was there before and did not become part of it.
func (c *change) ownScale(out *gguf.File) (float32, error) {
	s, ok := out.Tensor(scaleName(c.weight.Info.Name))
	if !ok || c.carried {
		return 1, nil
	}
	codec, err := quantkern.Lookup(s.Codec())
	if err != nil || s.Elements() != 1 {
		return 1, &VerifyError{s.Name, "it is not one number"}
	}
	v := make([]float32, 1)
	codec.Decode(v, s.Data, 1, 1, 0)
	return v[0], nil
}

// written is a scale of the source, rounded where that was asked for and needed.
func written(scale float32, rounded bool, holds func(float32) bool) float32 {
	if rounded && !holds(scale) {
		return quantkern.F16ToF32(quantkern.F32ToF16(scale))
	}
	return scale
}

// verifyValues compares floats with trit × scale.
func (c *change) verifyValues(ctx context.Context, t *gguf.Tensor, codec *quantkern.Codec, own float32, rounded bool, bad func(string, ...any) error) error {
	holds := func(s float32) bool { return holdsFloat(t.Type, s) }
	return spread(t.Rows(), func(lo, hi int) error {
		trits, got := make([]int8, t.Cols()), make([]float32, t.Cols())
		scales, group := scaleBuffer(c.trits)
		for r := lo; r < hi; r++ {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := c.trits.Trits(trits, r); err != nil {
				return err
			}
			if c.trits.Scales != nil {
				c.trits.Scales(scales, r)
			}
			codec.Decode(got, t.Data, t.Rows(), t.Cols(), r)
			for i, v := range got {
				if want := float32(trits[i]) * written(scales[i/group], rounded, holds); v*own != want {
					return bad("row %d, column %d is %v, not %v", r, i, v*own, want)
				}
			}
		}
		return nil
	})
}

// scaleRows compares scales that differ inside a matrix.
type scaleRows struct {
	src        *quantkern.TritSource
	w          *quantkern.Ternary
	want, have []float32
	group      int
}

func newScaleRows(src *quantkern.TritSource, w *quantkern.Ternary) *scaleRows {
	if src.Scales == nil {
		return nil
	}
	s := &scaleRows{src: src, w: w, group: w.Codec.BlockValues}
	s.want, s.have = make([]float32, src.Cols/src.Group), make([]float32, src.Cols/s.group)
	return s
}

// differ is the first column of row r with a trit whose scale is another one, −1
// if none is.
func (s *scaleRows) differ(trits []int8, r int) int {
	if s == nil {
		return -1
	}
	s.src.Scales(s.want, r)
	s.w.BlockScales(s.have, r)
	for i, t := range trits {
		if t != 0 && s.want[i/s.src.Group] != s.have[i/s.group] {
			return i
		}
	}
	return -1
}
