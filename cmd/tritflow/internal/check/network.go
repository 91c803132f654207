package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/graph"
)

// network binds the tensors and returns the names of those that nothing uses,
// and the network where it could be bound. A vocabulary that does not fit the
// embedding is found here too.
func (r *Report) network(f *gguf.File, damaged map[string]bool) (m *graph.Model, surplus map[string]bool) {
	if len(f.Tensors()) == 0 {
		r.reason("network", "no-tensors", "", "the file has no tensors: it is a vocabulary or the first part of something").Fix = advice("use it with `tritflow tokenize`, or take the file that has the weights")
		return nil, nil
	}
	m, err := graph.Bind(f)
	var names []string
	var unfit *graph.BindError
	var key *graph.KeyError
	var arch *graph.ArchError
	if err != nil {
		r.networkCauses(f, err)
	}
	switch {
	case err == nil:
		for _, note := range m.Notes {
			r.note(note, m)
		}
		names = m.Surplus
	case errors.As(err, &unfit):
		for _, p := range unfit.Problems {
			if p.Fault == graph.Storage && damaged[p.Tensor] {
				continue // its type is the damage
			}
			r.reason("network", tensorCause(p), p.Tensor, "%v", p)
		}
		if unfit.More > 0 {
			r.reason("network", "more", "", "and %d more tensors do not fit architecture %s", unfit.More, unfit.Arch)
		}
		if unfit.Vocab != nil {
			p := r.reason("vocabulary", "vocabulary-size", "", "%v", unfit.Vocab)
			p.Fix = fixVocabularySize(f)
		}
		names = unfit.Surplus
	case errors.As(err, &key):
		for _, k := range append([]*graph.KeyError{key}, key.Also...) {
			cause := "bad-key"
			if k.Found == "" && k.Err == nil {
				cause = "missing-key"
			}
			p := r.reason("network", cause, "", "%s", k.Fault())
			p.Fix = fixKey(f, k)
		}
	case errors.As(err, &arch):
		r.reason("network", "unknown-architecture", "", "%v", err)
	default:
		r.reason("network", "network", "", "%v", err)
	}
	surplus = map[string]bool{}
	for _, name := range names {
		surplus[name] = true
		r.warn("network", "unused-tensor", name, "the network does not use tensor %q", name)
	}
	return m, surplus
}

// note reports what the network assumed. That the activation is not said is the
// rule, and the architecture decides.
func (r *Report) note(note string, m *graph.Model) {
	if strings.Contains(note, "rope.freq_base") && slices.Contains(bitnetArchs, m.Arch) && m.Vocab == 128256 {
		p := r.wrong("network", "missing-rope-base", "", "%s.rope.freq_base is not in the file, and 10000 would be assumed; models with the vocabulary of Llama 3 have 500000", m.Arch)
		p.Sure = 0.95
		p.Fix = &Fix{Name: p.Cause, What: "set it to 500000", Lossless: true, apply: func(d *draft) error {
			d.set(m.Arch+".rope.freq_base", float32(500000))
			return nil
		}}
		return
	}
	p := r.warn("network", "assumed", "", "%s", note)
	if strings.Contains(note, "hidden_activation") && slices.Contains(bitnetArchs, m.Arch) {
		p.Cause = "no-activation"
		p.Message += "; the newest bitnet.cpp and llama.cpp assume silu, with which this model is noise"
		p.Fix = &Fix{Name: p.Cause, What: "write relu2 into the file", Lossless: true, apply: func(d *draft) error {
			d.set(m.Arch+".hidden_activation", "relu2")
			return nil
		}}
	}
}

func tensorCause(p graph.TensorProblem) string {
	switch p.Fault {
	case graph.Missing:
		switch {
		case strings.Contains(p.Tensor, "sub_norm"):
			return "missing-sub-norm"
		case p.Tensor == "token_embd.weight":
			return "missing-embedding"
		}
		return "missing-tensor"
	case graph.Misshapen:
		return "wrong-shape"
	case graph.Storage:
		return "wrong-storage"
	}
	return "foreign-tensor"
}

// networkCauses looks for one cause behind a network that does not bind.
func (r *Report) networkCauses(f *gguf.File, err error) {
	if r.checkpointNames(f) {
		return
	}
	r.architecture(f)
	r.transposed(err)
	r.missing(f, err)
	r.contradictions(f)
}

// checkpointNames knows files whose tensors still have the names of the checkpoint.
func (r *Report) checkpointNames(f *gguf.File) bool {
	rename := map[string]string{}
	for _, t := range f.Tensors() {
		if to, ok := ggufName(t.Name); ok {
			if _, taken := f.Tensor(to); !taken {
				rename[t.Name] = to
			}
		}
	}
	if 2*len(rename) < len(f.Tensors()) || len(rename) == 0 {
		return false
	}
	p := r.reason("network", "checkpoint-names", "", "%d of %d tensors have the names of a Hugging Face checkpoint instead of GGUF's", len(rename), len(f.Tensors()))
	p.Fix = &Fix{Name: p.Cause, What: "rename them", Lossless: true, apply: func(d *draft) error {
		for _, t := range d.tensors {
			if to, ok := rename[t.name]; ok {
				t.name = to
			}
		}
		return nil
	}}
	arch, _ := f.Metadata().Str("general.architecture")
	if arch == "llama" {
		p.Fix.Lossless, p.Fix.Asked = false, true
		p.Fix.What += " (for architecture llama a converter also permutes the rows of Q and K)"
	}
	return true
}

// architecture finds a general.architecture that is missing, unknown or
// contradicted by the tensors, and the one that its tensors are of.
func (r *Report) architecture(f *gguf.File) {
	md := f.Metadata()
	arch, err := md.Str("general.architecture")
	has := func(part string) bool {
		return slices.ContainsFunc(f.Tensors(), func(t *gguf.Tensor) bool { return strings.Contains(t.Name, part) })
	}
	prefix := keyPrefix(md)
	sub := has(".attn_sub_norm.") && has(".ffn_sub_norm.")
	var want []string
	switch {
	case has("_norm_in."), has(".attn_q_norm."):
		want = []string{"qwen3"}
	case sub && prefix == "bitnet":
		want = []string{"bitnet"}
	case sub:
		want = []string{"bitnet-b1.58", "bitnet-25", "bitnet-1.58", "bitnet"}
	case has("blk.0.attn_q.") && has("blk.0.ffn_gate."):
		want = []string{"llama"}
	}
	if len(want) == 0 || err == nil && (slices.Contains(want, arch) || !sub && arch != "") {
		return
	}
	if !slices.Contains(graph.Architectures(), want[0]) {
		return
	}
	to := want[0]
	if slices.Contains(want, prefix) {
		to = prefix
	}
	said := fmt.Sprintf("is %.40q", arch)
	if err != nil {
		said = "is missing"
	}
	p := r.reason("network", "wrong-architecture", "", "general.architecture %s, but the tensors are those of %s", said, to)
	if sub {
		p.Message += " (attn_sub_norm and ffn_sub_norm in every block)"
	}
	p.Sure = 0.9
	if prefix == to {
		p.Sure = 0.99
		p.Message += ", and so are the keys"
	}
	p.Fix = &Fix{Name: p.Cause, What: "set it to " + to, Lossless: p.Sure > 0.95 || sub, apply: func(d *draft) error {
		d.set("general.architecture", to)
		for i, k := range d.keys {
			if rest, ok := strings.CutPrefix(k.name, arch+"."); ok && arch != "" && d.get(to+"."+rest) == nil {
				d.keys[i].name = to + "." + rest
			}
		}
		return nil
	}}
}

// keyPrefix is the architecture that the hyper-parameters' keys name.
func keyPrefix(md *gguf.Metadata) string {
	for _, k := range md.Keys() {
		if p, ok := strings.CutSuffix(k, ".embedding_length"); ok {
			return p
		}
	}
	return ""
}

// transposed finds dimensions that were written in the wrong order.
func (r *Report) transposed(err error) {
	var unfit *graph.BindError
	if !errors.As(err, &unfit) || unfit.More > 0 && len(unfit.Problems) == 0 {
		return
	}
	n := 0
	for _, p := range unfit.Problems {
		if p.Fault != graph.Misshapen || len(p.Found) != 2 || len(p.Want) != 2 || p.Found[0] != p.Want[1] || p.Found[1] != p.Want[0] {
			return
		}
		n++
	}
	if n == 0 {
		return
	}
	p := r.reason("network", "transposed", unfit.Problems[0].Tensor, "the dimensions of the matrices are written in the wrong order: ne[0] must be the number of columns (%v is %v, expected %v)",
		unfit.Problems[0].Tensor, unfit.Problems[0].Found, unfit.Problems[0].Want)
	p.Sure = 0.95
	p.Fix = &Fix{Name: p.Cause, What: "turn the dimensions round; the data stays", Lossless: true, apply: func(d *draft) error {
		for _, t := range d.tensors {
			if len(t.dims) == 2 {
				t.dims = []uint64{t.dims[1], t.dims[0]}
			}
		}
		return nil
	}}
}

// missing explains tensors that are not there and offers what can be done.
func (r *Report) missing(f *gguf.File, err error) {
	var unfit *graph.BindError
	if !errors.As(err, &unfit) {
		return
	}
	subs := 0
	for _, p := range unfit.Problems {
		if p.Fault == graph.Missing && strings.Contains(p.Tensor, "sub_norm") {
			subs++
		}
	}
	if subs > 0 {
		p := r.reason("network", "missing-sub-norm", "", "the converter dropped sub-norms (%s of them at least): they hold trained weights that nothing else in the file has", plural(subs, "norm"))
		p.Fix = advice(convertAgain + " with a converter that knows BitNet's attn_sub_norm and ffn_sub_norm")
	}
	head, ok := f.Tensor("output.weight")
	if _, there := f.Tensor("token_embd.weight"); there || !ok {
		return
	}
	p := r.reason("network", "missing-embedding", "token_embd.weight", "token_embd.weight is missing and output.weight is there: a model with one table for both kept it under the wrong name")
	p.Sure = 0.9
	p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("call output.weight %v token_embd.weight; the head is tied to it", head.Dims), Lossless: true, apply: func(d *draft) error {
		d.tensor("output.weight").name = "token_embd.weight"
		return nil
	}}
}

// blocks finds a count of blocks that leaves some of the file's out.
func (r *Report) blocks(f *gguf.File, m *graph.Model) {
	if m == nil {
		return
	}
	if s := impliedBy(f); s.blocks > uint64(len(m.Blocks)) {
		key := m.Arch + ".block_count"
		p := r.wrong("network", "contradicting-key", "", "metadata key %s is %d, and the file has the tensors of %d blocks", key, len(m.Blocks), s.blocks)
		p.Sure = 0.97
		p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("set %s to %d", key, s.blocks), Lossless: true, apply: func(d *draft) error {
			d.set(key, uint32(s.blocks))
			return nil
		}}
	}
}
