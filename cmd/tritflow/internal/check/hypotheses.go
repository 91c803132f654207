package check

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// hypothesis is one way in which a file that runs may be wrong.
type hypothesis struct {
	cause, message string
	change         func(m *graph.Model) bool // of a fresh model; false: does not apply
	fix            func(m *graph.Model) *Fix
}

var hypotheses = []hypothesis{
	{"gate-up-swapped", "ffn_gate and ffn_up have each other's names",
		func(m *graph.Model) bool {
			for i := range m.Blocks {
				b := &m.Blocks[i]
				b.Gate, b.Up = b.Up, b.Gate
			}
			return true
		},
		func(m *graph.Model) *Fix {
			return swapFix("gate-up-swapped", "give ffn_gate and ffn_up each other's names", len(m.Blocks), "ffn_gate", "ffn_up")
		}},
	{"wrong-activation", "the activation is not the one of training",
		func(m *graph.Model) bool {
			for i := range m.Blocks {
				b := &m.Blocks[i]
				b.Activation = graph.SiLU + graph.ReLU2 - b.Activation
			}
			return true
		},
		func(m *graph.Model) *Fix {
			to := (graph.SiLU + graph.ReLU2 - m.Blocks[0].Activation).String()
			return &Fix{Name: "wrong-activation", What: "set " + m.Arch + ".hidden_activation to " + to, Lossless: true, apply: func(d *draft) error {
				d.set(m.Arch+".hidden_activation", to)
				return nil
			}}
		}},
	{"rope-order", "the rows of attn_q and attn_k stand in the order of another architecture (a converter permuted them or forgot to)",
		func(m *graph.Model) bool {
			for i := range m.Blocks {
				k := &m.Blocks[i].Rope
				if k.Dims != m.Blocks[i].KeyDim {
					return false
				}
				k.Kind = graph.RopeNeoX + graph.RopeNormal - k.Kind
			}
			return true
		}, ropeFix},
	{"kv-swapped", "attn_k and attn_v have each other's names",
		func(m *graph.Model) bool {
			for i := range m.Blocks {
				b := &m.Blocks[i]
				if b.K.Out != b.V.Out {
					return false
				}
				b.K, b.V = b.V, b.K
			}
			return true
		},
		func(m *graph.Model) *Fix {
			return swapFix("kv-swapped", "give attn_k and attn_v each other's names", len(m.Blocks), "attn_k", "attn_v")
		}},
	{"norms-swapped", "attn_norm and ffn_norm have each other's names",
		func(m *graph.Model) bool {
			for i := range m.Blocks {
				b := &m.Blocks[i]
				b.AttnNorm, b.FFNNorm = b.FFNNorm, b.AttnNorm
			}
			return true
		},
		func(m *graph.Model) *Fix {
			return swapFix("norms-swapped", "give attn_norm and ffn_norm each other's names", len(m.Blocks), "attn_norm", "ffn_norm")
		}},
}

func swapFix(name, what string, blocks int, a, b string) *Fix {
	return &Fix{Name: name, What: what, Lossless: true, apply: func(d *draft) error {
		for i := range blocks {
			for _, suffix := range []string{".weight", ".bias", ".scale"} {
				x, y := fmt.Sprintf("blk.%d.%s%s", i, a, suffix), fmt.Sprintf("blk.%d.%s%s", i, b, suffix)
				if d.tensor(x) == nil && d.tensor(y) == nil {
					continue
				}
				if err := d.swap(x, y); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}

// ropeFix puts the rows of Q and K in the order that the architecture rotates.
// Rows of whole blocks are moved as they are.
func ropeFix(m *graph.Model) *Fix {
	kind, width := m.Blocks[0].Rope.Kind, m.Blocks[0].KeyDim
	return &Fix{Name: "rope-order", What: "put the rows of attn_q and attn_k in the order that " + m.Arch + " rotates", Lossless: true, apply: func(d *draft) error {
		for _, t := range d.tensors {
			if !strings.HasSuffix(t.name, ".attn_q.weight") && !strings.HasSuffix(t.name, ".attn_k.weight") {
				continue
			}
			if len(t.dims) != 2 || t.dims[1]%uint64(width) != 0 || t.typ == gguf.TypeI2_S_C {
				return fmt.Errorf("check: the rows of %s as %v %v cannot be moved", t.name, t.typ, t.dims)
			}
			rows, i2s := int(t.dims[1]), strings.HasPrefix(t.typ.String(), "I2_S")
			t.then(func(b []byte) ([]byte, error) {
				body := b
				if i2s {
					body = b[:len(b)-32] // the scale stands behind all rows
				}
				copy(body, permute(body, rows, width, kind))
				return b, nil
			})
		}
		return nil
	}}
}

// permute moves whole rows within each head: pairs that stand half a head
// apart come together (for RopeNormal), or the other way round.
func permute(b []byte, rows, width int, to graph.RopeKind) []byte {
	size := len(b) / rows
	out := slices.Clone(b)
	for r := range rows {
		head, i := r/width*width, r%width
		from := i/2 + i%2*width/2 // row of the NeoX order that stands at i in the normal one
		if to == graph.RopeNeoX {
			from = i*2 - i/(width/2)*(width-1)
		}
		copy(out[r*size:(r+1)*size], b[(head+from)*size:(head+from+1)*size])
	}
	return out
}

// Bounds of a trial. A hypothesis wins where it makes the text at least so many
// nats a token more likely, by so many standard errors, to a value that a network
// of random weights does not reach; it must not be worse on any other text that
// it can tell anything about.
const (
	trialNats, trialErrors = 0.4, 3.5
	trialGood              = 0.6 // of the nats of guessing
)

// Trials says how much is tried.
type Trials int

// What Options.Trials can be.
const (
	TrialsAuto Trials = iota // the file as it is; hypotheses where it does badly or is small
	TrialsOff
	TrialsAll
)

// smallModel is the number of parameters up to which every hypothesis is tried.
const smallModel = 400_000_000

// trials runs plain English through the network, as the file has it and as it
// would be if something were mixed up.
func (r *Report) trials(ctx context.Context, f *gguf.File, opt Options) error {
	if opt.Trials == TrialsOff {
		return nil
	}
	v, err := vocab.Load(f.Metadata(), vocab.Options{Pre: opt.Pre})
	if err != nil {
		return nil
	}
	fresh := func() *graph.Model {
		m, err := graph.Bind(f)
		if err != nil {
			return nil
		}
		return m
	}
	m := fresh()
	if m == nil || m.Head.Pooling != graph.PoolNone {
		return nil // what makes embeddings predicts no tokens
	}
	seqs := probeTokens(v, m.Context)
	if len(seqs) == 0 {
		return nil
	}
	b, err := newBench(seqs)
	if err != nil {
		return nil // no CPU device: nothing can be tried
	}
	defer func() { _ = b.close() }()
	base, err := b.surprise(ctx, m)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		r.reason("trial", "does-not-compute", "", "a short text does not go through the network: %v", err)
		return nil
	}
	guess := math.Log(float64(m.Vocab))
	best := math.Inf(1)
	for _, nats := range base {
		best = min(best, mean(nats)/guess)
	}
	r.Trial = &Trial{Guess: guess, Best: best * guess, Tokens: b.tokens()}
	if opt.Trials == TrialsAuto && r.Contents.Parameters > smallModel && best < 0.2 {
		return nil
	}
	for _, h := range hypotheses {
		other := fresh()
		if !h.change(other) {
			continue
		}
		nats, err := b.surprise(ctx, other)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		r.judge(h, m, base, nats, guess)
	}
	return nil
}

// judge compares a hypothesis with the file as it is.
func (r *Report) judge(h hypothesis, m *graph.Model, base, other [][]float64, guess float64) {
	won := -1
	var most float64
	for i := range base {
		nats, sigmas := gain(base[i], other[i])
		good := min(mean(base[i]), mean(other[i])) < trialGood*guess
		if good && sigmas < -2 {
			return
		}
		if good && nats > trialNats && sigmas > trialErrors && sigmas > most && mean(other[i]) < trialGood*guess {
			won, most = i, sigmas
		}
	}
	if won < 0 {
		return
	}
	p := r.wrong("trial", h.cause, "", "%s: plain English costs %.2f nats a token as the file is, and %.2f the other way (guessing would cost %.2f); %.1f standard errors apart",
		h.message, mean(base[won]), mean(other[won]), guess, most)
	p.Sure = min(0.9999, 1-math.Exp(-most*most/2))
	p.Fix = h.fix(m)
}
