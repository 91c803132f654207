package graph

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tritflow/gguf"
)

const archKey = "general.architecture"

// Bind reads a file's architecture and binds its tensors by name. It looks at
// metadata, names, types and shapes only; no weight is read. The Model points
// into f, which must stay open as long as the Model is used.
//
// Errors: *ArchError (unknown architecture), *KeyError (hyper-parameters, all
// that are at fault), and one *BindError for all tensors that are missing or do
// not fit and for a *VocabError (network and tokenizer disagree). Hostile metadata does not make Bind
// allocate more than the file's own list of tensors justifies.
func Bind(f *gguf.File) (*Model, error) {
	arch, err := f.Metadata().Str(archKey)
	if err != nil {
		e := &KeyError{File: f.Name(), Key: archKey, Want: "one of " + strings.Join(Architectures(), ", ")}
		if !errors.Is(err, gguf.ErrNoKey) {
			e.Err = err
		}
		return nil, e
	}
	a := known[arch]
	if a == nil {
		return nil, &ArchError{File: f.Name(), Arch: arch, Known: Architectures()}
	}
	r := &reader{file: f.Name(), arch: arch, md: f.Metadata()}
	p, err := r.params(a, tableRows(f))
	if err != nil {
		return nil, err
	}
	if err := r.fits(f, p); err != nil {
		return nil, err
	}
	b := &binder{file: f, arch: a, params: p, used: map[string]bool{}}
	m := b.model()
	m.Arch, m.Notes = arch, r.notes
	if name, err := r.md.Str("general.name"); err == nil {
		m.Name = name
	}
	m.Surplus = b.surplus()
	vocab := r.vocab(p)
	if len(b.problems) > 0 || vocab != nil {
		return nil, &BindError{File: f.Name(), Arch: arch, Problems: b.problems, More: b.more, Vocab: vocab, Surplus: m.Surplus}
	}
	return m, nil
}

// tableRows is the number of tokens that the embedding has rows for, 0 when
// there is no usable one (binding then says why).
func tableRows(f *gguf.File) int {
	t, ok := f.Tensor(tokenEmbd.name + ".weight")
	if !ok || len(t.Dims) != len(tokenEmbd.dims) || t.Dims[1] > maxCount {
		return 0
	}
	return int(t.Dims[1])
}

// fits compares counts with what the file holds, before anything is allocated
// for them.
func (r *reader) fits(f *gguf.File, p *Params) error {
	const prefix = "blk."
	have := 0
	for _, t := range f.Tensors() {
		if strings.HasPrefix(t.Name, prefix) {
			have++
		}
	}
	if p.Blocks > have {
		return r.bad("block_count", fmt.Sprint(p.Blocks),
			fmt.Sprintf("at most %d, the number of tensors named %s*", have, prefix), nil)
	}
	return nil
}

// vocab compares the network's tokens with the tokenizer's, if there is one.
func (r *reader) vocab(p *Params) *VocabError {
	const tokensKey = "tokenizer.ggml.tokens"
	tokens, ok := r.md.Get(tokensKey)
	if ok && tokens.Len() != p.Vocab {
		source := r.arch + ".vocab_size"
		if _, ok := r.md.Get(source); !ok {
			source = tokenEmbd.name + ".weight"
		}
		return &VocabError{File: r.file, Source: source, Vocab: p.Vocab, Tokens: tokens.Len()}
	}
	return nil
}

// binder finds tensors and collects what is wrong with them.
type binder struct {
	file     *gguf.File
	arch     *architecture
	params   *Params
	used     map[string]bool
	problems []TensorProblem
	more     int
}

func (b *binder) model() *Model {
	p := b.params
	m := &Model{Context: p.Context, Hidden: p.Hidden, Vocab: p.Vocab}
	to := &place{model: m, eps: p.Eps}
	b.bind(b.arch.first, "", to)
	if p.Yarn.Factor > 0 {
		if to.factors != nil {
			b.problem(TensorProblem{Tensor: to.factors.Name, Fault: Homeless, Found: to.factors.Dims, Type: to.factors.Type.String()})
		}
	}
	m.Blocks = make([]Block, p.Blocks)
	for i := range m.Blocks {
		to.block = &m.Blocks[i]
		*to.block = p.blockSpec(b.arch, i)
		b.bind(b.arch.block, blockPrefix(i), to)
	}
	b.bind(b.arch.last, "", to)
	if p.Yarn.Factor > 0 && len(b.problems) == 0 { // now that tensors have the width that the keys claim
		to.factors = p.Yarn.divisors(p.RopeDims, p.RopeBase)
	}
	for i := range m.Blocks {
		m.Blocks[i].Rope.Factors = to.factors
	}
	if b.arch.widen {
		m.Embed.Scale = float32(math.Sqrt(float64(p.Hidden)))
	}
	m.Head.Pooling = p.Pooling
	if p.Pooling != PoolNone {
		m.Head.Out = Linear{Name: outputNorm.name, In: p.Hidden, Out: p.Hidden}
		return m
	}
	m.Head.Vocab = p.Vocab
	if m.Head.Out.Weight == nil {
		m.Head.Tied = true
		m.Head.Out = Linear{Name: tokenEmbd.name, Weight: m.Embed.Weight, In: p.Hidden, Out: p.Vocab}
	}
	return m
}

func blockPrefix(i int) string { return fmt.Sprintf("blk.%d.", i) }

// blockSpec is block i without its tensors.
func (p *Params) blockSpec(a *architecture, i int) Block {
	return Block{
		Index:  i,
		Hidden: p.Hidden,
		Heads:  p.Heads, KVHeads: p.KVHeads,
		KeyDim: p.KeyDim, ValueDim: p.ValueDim,
		FFN:        p.FFN,
		Rope:       Rope{Kind: a.rope, Dims: p.RopeDims, Base: p.RopeBase, Scale: p.RopeScale},
		AttnScale:  p.attnScale(),
		Activation: p.Activation,
	}
}

// bind puts the tensors of every slot in their place.
func (b *binder) bind(slots []slot, prefix string, to *place) {
	for _, s := range slots {
		shape := s.shape(b.params)
		l := Linear{Name: prefix + s.name, In: int(shape[0]), Out: int(shape[len(shape)-1])}
		l.Weight = b.take(l.Name+".weight", shape, s.optional, s.role.plain())
		if s.role.linear() {
			l.Bias = b.take(l.Name+".bias", shape[1:], true, true)
			l.Scale = b.take(l.Name+".scale", []uint64{1}, true, true)
		}
		if l.Weight != nil {
			s.put(to, l)
		}
	}
}

// take finds a tensor and checks it; nil when it is not there or not as it should be.
func (b *binder) take(name string, want []uint64, optional, plain bool) *gguf.Tensor {
	t, ok := b.file.Tensor(name)
	if !ok {
		if !optional {
			b.problem(TensorProblem{Tensor: name, Fault: Missing, Want: want})
		}
		return nil
	}
	b.used[name] = true
	p := TensorProblem{Tensor: name, Want: want, Found: t.Dims, Type: t.Type.String()}
	switch {
	case !slices.Equal(trim(t.Dims), trim(want)):
		p.Fault = Misshapen
	case plain && !plainTypes[p.Type]:
		p.Fault = Storage
	default:
		return t
	}
	b.problem(p)
	return nil
}

var plainTypes = map[string]bool{"F32": true, "F16": true, "BF16": true}

// trim drops trailing dimensions of 1, which files write or leave out.
func trim(dims []uint64) []uint64 {
	for len(dims) > 0 && dims[len(dims)-1] == 1 {
		dims = dims[:len(dims)-1]
	}
	return dims
}

func (b *binder) problem(p TensorProblem) {
	if len(b.problems) == maxProblems {
		b.more++
		return
	}
	b.problems = append(b.problems, p)
}

// surplus lists the tensors that nothing took, in file order. Those that
// belong to a block of another architecture are problems: without them the
// network would answer, and wrongly.
func (b *binder) surplus() []string {
	var names []string
	for _, t := range b.file.Tensors() {
		if b.used[t.Name] {
			continue
		}
		if b.homeless(t.Name) {
			b.problem(TensorProblem{Tensor: t.Name, Fault: Homeless, Found: t.Dims, Type: t.Type.String()})
			continue
		}
		names = append(names, t.Name)
	}
	return names
}

// homeless: in a block of this network, and either a tensor that its
// architecture lacks or an addition (a norm's bias) that it does not compute.
func (b *binder) homeless(name string) bool {
	parts := strings.Split(name, ".")
	if len(parts) != 4 || parts[0] != "blk" || !slices.Contains([]string{"weight", "bias", "scale"}, parts[3]) {
		return false
	}
	block, err := strconv.Atoi(parts[1])
	if err != nil || block < 0 || block >= b.params.Blocks {
		return false
	}
	return slices.ContainsFunc(essential, func(s slot) bool { return s.name == parts[2] })
}
