package requant

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// Options of NewPlan. Types that are TypeNone stay as they are.
type Options struct {
	Type        gguf.Type // of the blocks' matrices
	Embedding   gguf.Type
	Head        gguf.Type // of an output.weight
	Absmean     bool      // round matrices that are not ternary
	RoundScales bool      // to half precision where a type has no more, instead of a tensor of their own
}

// Plan is what becomes of every tensor of a file.
type Plan struct {
	from    *gguf.File
	opt     Options
	changes []change
	layouts Layouts
	fits    map[fitKey]*quantkern.Codec
}

// fitKey is what has the same tiles in all of a file.
type fitKey struct {
	typ        gguf.Type
	rows, cols int
}

// change is one tensor of the source and what it becomes.
type change struct {
	from   *gguf.Tensor
	weight *Tensor
	scale  *Tensor               // nil, or the tensor beside it
	trits  *quantkern.TritSource // what the result must hold; nil: bytes or rounded values
	lost   float64               // by absmean
	how    string                // "copied", "trits", "absmean", "rounded"

	carried bool // scale was beside the source's weights and is what it was
}

// headName is an output projection that is not the embedding.
const headName = "output.weight"

var matrixName = regexp.MustCompile(`^blk\.[0-9]+\.[a-z0-9_]+\.weight$`)

// isMatrix tells the weights of a block's projections, which are what a
// model's type is about: two dimensions, both above 1.
func isMatrix(t *gguf.Tensor) bool {
	return matrixName.MatchString(t.Name) && len(t.Dims) == 2 && t.Dims[0] > 1 && t.Dims[1] > 1
}

// NewPlan looks at every tensor and decides. Weights are read only where they have to be
// (real values that are to become trits). Errors: *RefusedError, and those of reading.
func NewPlan(ctx context.Context, f *gguf.File, opt Options) (*Plan, error) {
	p := &Plan{from: f, opt: opt, fits: map[fitKey]*quantkern.Codec{}}
	if _, own := f.Tensor(headName); !own && opt.Head != gguf.TypeNone {
		return nil, &RefusedError{headName, opt.Head.String(), "the file has no head of its own: the embedding is its head", "use --embedding"}
	}
	err := gguf.Guard(func() error {
		for _, t := range f.Tensors() {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			if p.besideMatrix(t) {
				continue
			}
			c, err := p.decide(ctx, t)
			if err != nil {
				return err
			}
			c.from = t
			p.changes = append(p.changes, *c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, c := range p.changes {
		if err := p.layouts.See(c.weight.Info.Type, c.weight.Rows, c.weight.Cols); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// besideMatrix tells a scale that is planned together with its matrix.
func (p *Plan) besideMatrix(t *gguf.Tensor) bool {
	name, ok := strings.CutSuffix(t.Name, ".scale")
	if !ok {
		return false
	}
	w, ok := p.from.Tensor(name + ".weight")
	return ok && isMatrix(w)
}

func (p *Plan) decide(ctx context.Context, t *gguf.Tensor) (*change, error) {
	to := gguf.TypeNone
	switch {
	case isMatrix(t):
		to = p.opt.Type
	case t.Name == "token_embd.weight":
		to = p.opt.Embedding
	case t.Name == headName:
		to = p.opt.Head
	}
	own, err := p.ownScale(t)
	if err != nil {
		return nil, err
	}
	tiled := t.Type == gguf.TypeTL1 || t.Type == gguf.TypeTL2
	if !tiled && (to == gguf.TypeNone || to == t.Type) {
		return &change{weight: Copy(gguf.TensorInfo{Name: t.Name, Type: t.Type, Dims: t.Dims}, t.Data), scale: own.tensor, how: "copied"}, nil
	}
	if to == gguf.TypeNone {
		to = t.Type // written again, so that the file says the tiles
	}
	c, err := p.codecOf(t)
	if err != nil {
		return nil, &RefusedError{t.Name, to.String(), fmt.Sprintf("its own type %v cannot be read: %v", t.Type, err), ""}
	}
	if isMatrix(t) {
		return p.matrix(ctx, t, c, to, own)
	}
	return p.values(ctx, t, c, to)
}

// codecOf finds the codec of a tensor, with the tiles that it seems to have where
// nobody says them.
func (p *Plan) codecOf(t *gguf.Tensor) (*quantkern.Codec, error) {
	c, err := quantkern.Lookup(t.Codec())
	if err != nil {
		return nil, err
	}
	if err := c.Check(t.Rows(), t.Cols()); err != nil || !c.Tiled() || t.Tile != "" {
		return c, err
	}
	key := fitKey{t.Type, t.Rows(), t.Cols()}
	if _, ok := p.fits[key]; !ok {
		p.fits[key], _ = c.FitTiles(t.Data, t.Rows(), t.Cols())
	}
	return p.fits[key], nil
}

// scaled is the tensor beside a matrix that multiplies its product.
type scaled struct {
	tensor *Tensor // nil: there is none
	value  float32 // 1 where there is none
}

func (p *Plan) ownScale(t *gguf.Tensor) (scaled, error) {
	none := scaled{value: 1}
	s, ok := p.from.Tensor(scaleName(t.Name))
	if !ok || !isMatrix(t) {
		return none, nil
	}
	c, err := quantkern.Lookup(s.Codec())
	if err != nil || s.Elements() != 1 {
		return none, &RefusedError{s.Name, s.Type.String(), "it is not the one number that multiplies a matrix's product", ""}
	}
	v := make([]float32, 1)
	c.Decode(v, s.Data, 1, 1, 0)
	return scaled{Copy(gguf.TensorInfo{Name: s.Name, Type: s.Type, Dims: s.Dims}, s.Data), v[0]}, nil
}

// matrix plans the weights of a projection.
func (p *Plan) matrix(ctx context.Context, t *gguf.Tensor, c *quantkern.Codec, to gguf.Type, own scaled) (*change, error) {
	target, err := codec(to)
	if err != nil {
		return nil, err
	}
	if c.Ternary {
		w, err := quantkern.NewTernary(c, t.Data, t.Rows(), t.Cols())
		if err != nil {
			return nil, err
		}
		if n := w.Undefined(); n > 0 {
			return nil, &RefusedError{t.Name, to.String(), fmt.Sprintf("%d of its codes stand for no trit: the file is damaged or its layout another one", n), "see `tritflow check`"}
		}
		return fromTrits(t, w.Source(), to, own, p.opt.RoundScales, "trits")
	}
	v := valuesIn(ctx, t, c)
	src, ok, err := Strict(v)
	if err != nil {
		return nil, named(t, err)
	}
	if ok {
		return fromTrits(t, src, to, own, p.opt.RoundScales, "trits")
	}
	if !target.Ternary {
		return p.values(ctx, t, c, to)
	}
	if !p.opt.Absmean {
		return nil, &RefusedError{t.Name, to.String(), fmt.Sprintf("its %v weights are not ternary, so that nothing lossless can be made of them", t.Type),
			"--absmean rounds them, which is right for master weights of a model that was trained as BitNet b1.58, and makes garbage of any other"}
	}
	src, lost, err := Absmean(v)
	if err != nil {
		return nil, named(t, err)
	}
	ch, err := fromTrits(t, src, to, own, p.opt.RoundScales, "absmean")
	if err == nil {
		ch.lost = lost
	}
	return ch, err
}

// fromTrits joins the scale of a matrix with the one beside it where that is
// exact: where one of them is 1.
func fromTrits(t *gguf.Tensor, src quantkern.TritSource, to gguf.Type, own scaled, round bool, how string) (*change, error) {
	if own.tensor != nil && src.Scales == nil {
		switch {
		case src.Scale == 1:
			src.Scale, own = own.value, scaled{value: 1}
		case own.value == 1:
			own = scaled{value: 1}
		}
	}
	ch := &change{trits: &src, how: how}
	var err error
	if ch.weight, ch.scale, err = FromTrits(t.Name, src, to, round); err != nil {
		return nil, err
	}
	if own.tensor != nil {
		if ch.scale != nil {
			return nil, &RefusedError{t.Name, to.String(), fmt.Sprintf("it has the scale %v and beside it %v, and the type has room for neither", src.Scale, own.value),
				"choose a type with an F32 scale (i2_s, tl1, tl2, iq2_bn), or --round-scales"}
		}
		ch.scale, ch.carried = own.tensor, true
	}
	return ch, nil
}

// values plans a tensor that is rounded as its type does.
func (p *Plan) values(ctx context.Context, t *gguf.Tensor, c *quantkern.Codec, to gguf.Type) (*change, error) {
	w, err := FromValues(t.Name, valuesIn(ctx, t, c), to)
	if err != nil {
		return nil, err
	}
	own, err := p.ownScale(t)
	return &change{weight: w, scale: own.tensor, how: "rounded"}, err
}

// valuesIn reads a tensor of a file.
func valuesIn(ctx context.Context, t *gguf.Tensor, c *quantkern.Codec) Values {
	rows, cols := t.Rows(), t.Cols()
	return Values{Rows: rows, Cols: cols, Row: func(dst []float32, r int) error {
		if r%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.Decode(dst, t.Data, rows, cols, r)
		return nil
	}}
}

func named(t *gguf.Tensor, err error) error {
	var ve *quantkern.ValueError
	if errors.As(err, &ve) {
		return &RefusedError{t.Name, t.Type.String(), err.Error(), ""}
	}
	return err
}
