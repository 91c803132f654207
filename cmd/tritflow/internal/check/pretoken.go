package check

import (
	"slices"
	"unicode/utf8"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
)

// usualPre are pre-tokenizers that stand for the others, the commonest of
// ternary models first.
var usualPre = []string{"llama-bpe", "qwen2", "gpt-2", "smollm", "falcon_e", "falcon", "default", "deepseek-llm", "deepseek-coder", "gpt-4o", "tekken", "deepseek-v3"}

// probed is how a vocabulary gets on with a pre-tokenizer: how many of its
// tokens it can never produce, because it cuts every text inside them.
type probed struct {
	pre           string
	lost, sampled int
}

func (p probed) share() float64 { return float64(p.lost) / float64(max(p.sampled, 1)) }

// probe encodes the texts of a sample of tokens: a vocabulary was learnt from
// pieces that its own pre-tokenizer made, so each of its tokens must come out
// of its own text whole.
func probe(md *gguf.Metadata, pre string) (probed, error) {
	v, err := vocab.Load(md, vocab.Options{Pre: pre})
	if err != nil {
		return probed{}, err
	}
	p := probed{pre: v.Pre()}
	const most = 6000
	step := max(v.Size()/most, 1)
	for id := int32(0); int(id) < v.Size(); id += int32(step) {
		if v.Type(id) != vocab.Normal {
			continue
		}
		text := v.Piece(id, false)
		if len(text) < 2 || !utf8.Valid(text) || slices.ContainsFunc(text, control) {
			continue
		}
		p.sampled++
		ids := v.Encode(string(text), vocab.EncodeOptions{})
		if !slices.Contains(ids, id) {
			p.lost++
		}
	}
	return p, nil
}

// control characters other than white space are in test vocabularies only.
func control(b byte) bool { return b < 9 || b > 13 && b < 32 || b == 127 }

// A pre-tokenizer is wrong when it loses so large a share of the tokens and
// another one loses less than a tenth of them.
const mostLost, leastTokens = 0.004, 200

// pretokenizer compares the file's pre-tokenizer with the usual ones.
func (r *Report) pretokenizer(f *gguf.File, asked string) {
	md := f.Metadata()
	if model, err := md.Str("tokenizer.ggml.model"); err != nil || model != "gpt2" {
		return
	}
	stated, statedErr := md.Str("tokenizer.ggml.pre")
	own, err := probe(md, asked)
	if err != nil {
		return // told already
	}
	if statedErr != nil && own.pre == "llama-bpe" {
		r.fixPre(r.find("no-pre"), "llama-bpe")
		return
	}
	if own.sampled < leastTokens || own.share() < mostLost {
		return
	}
	best := own
	for _, pre := range usualPre {
		if pre == own.pre {
			continue
		}
		if p, err := probe(md, pre); err == nil && p.lost < best.lost {
			best = p
		}
	}
	if best.lost*10 > own.lost {
		return
	}
	name := stated
	if statedErr != nil {
		name = own.pre + ", taken for want of a name,"
	}
	p := r.wrong("vocabulary", "wrong-pre-tokenizer", "", "the pre-tokenizer %s cuts through %.1f %% of the vocabulary's tokens (%d of %d), which no text can reach then; "+
		"%s cuts through %.1f %%: the vocabulary was made with it or one like it", name, 100*own.share(), own.lost, own.sampled, best.pre, 100*best.share())
	p.Sure = 0.99
	r.fixPre(p, best.pre)
}

func (r *Report) fixPre(p *Problem, pre string) {
	if p == nil {
		return
	}
	p.Fix = &Fix{Name: p.Cause, What: "set tokenizer.ggml.pre to " + pre, Lossless: true, apply: func(d *draft) error {
		d.set("tokenizer.ggml.pre", pre)
		return nil
	}}
}

// find returns the first finding of a cause, nil where there is none.
func (r *Report) find(cause string) *Problem {
	for _, list := range [][]Problem{r.Reasons, r.Wrong, r.Warnings} {
		for i := range list {
			if list[i].Cause == cause {
				return &list[i]
			}
		}
	}
	return nil
}
