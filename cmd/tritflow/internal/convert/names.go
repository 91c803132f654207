package convert

import (
	"fmt"
	"slices"
	"strings"

	"tritflow/gguf/hf"
	"tritflow/graph"
)

// headName is the projection onto the vocabulary.
const headName = "lm_head.weight"

// whole are the names of tensors outside of blocks, ours and theirs.
var whole = map[string]string{
	"token_embd":  "model.embed_tokens",
	"output_norm": "model.norm",
	"output":      "lm_head",
}

// inBlock are those of "blk.N." and "model.layers.N.", the first that is there.
var inBlock = map[string][]string{
	"attn_norm":     {"input_layernorm"},
	"attn_q":        {"self_attn.q_proj"},
	"attn_k":        {"self_attn.k_proj"},
	"attn_v":        {"self_attn.v_proj"},
	"attn_q_norm":   {"self_attn.q_norm"},
	"attn_k_norm":   {"self_attn.k_norm"},
	"attn_sub_norm": {"self_attn.attn_sub_norm", "self_attn.inner_attn_ln"},
	"attn_output":   {"self_attn.o_proj"},
	"ffn_norm":      {"post_attention_layernorm"},
	"ffn_gate":      {"mlp.gate_proj"},
	"ffn_up":        {"mlp.up_proj"},
	"ffn_sub_norm":  {"mlp.ffn_sub_norm", "mlp.ffn_layernorm"},
	"ffn_down":      {"mlp.down_proj"},
}

// part is a tensor of the file to be, and where its values come from.
type part struct {
	graph.TensorSpec
	rows, cols int
	from       *hf.Tensor
	factor     *hf.Tensor // the scale of packed trits, nil where they are not packed
	values     []float32  // instead of from: made here
	heads      int        // of rows that are permuted, 0: as they are
}

// theirs are the names under which a tensor of ours may be in the folder,
// without the suffix.
func theirs(name string) []string {
	if hfName, ok := whole[name]; ok {
		return []string{hfName}
	}
	var block int
	var rest string
	if _, err := fmt.Sscanf(name, "blk.%d.%s", &block, &rest); err != nil {
		return nil
	}
	var all []string
	for _, n := range inBlock[rest] {
		all = append(all, fmt.Sprintf("model.layers.%d.%s", block, n))
	}
	return all
}

// parts finds the source of every tensor and makes sure that none of the
// folder's is left out.
func (n *network) parts(f *hf.Folder) ([]*part, error) {
	used := map[string]bool{}
	if !n.shape.OwnHead {
		used[headName] = true // the embedding serves for it
	}
	var parts []*part
	for _, spec := range n.shape.Tensors() {
		list, err := n.find(f, spec, used)
		if err != nil {
			return nil, err
		}
		parts = append(parts, list...)
	}
	if n.factors != nil {
		spec := graph.TensorSpec{Name: "rope_freqs.weight", Role: graph.RoleFactors, Dims: []uint64{uint64(len(n.factors))}}
		parts = append(parts, &part{TensorSpec: spec, rows: 1, cols: len(n.factors), values: n.factors})
	}
	for _, name := range f.Names() {
		if !used[name] && !strings.HasSuffix(name, ".rotary_emb.inv_freq") {
			return nil, &Error{File: f.Tensor(name).File(), Tensor: name, Reason: fmt.Sprintf("architecture %s has no place for it, and without it the model is another one", n.shape.Arch)}
		}
	}
	return parts, nil
}

// find gives the part for a tensor, and one for its bias where it has one.
func (n *network) find(f *hf.Folder, spec graph.TensorSpec, used map[string]bool) ([]*part, error) {
	name := strings.TrimSuffix(spec.Name, ".weight")
	names := theirs(name)
	i := slices.IndexFunc(names, func(s string) bool { return f.Tensor(s+".weight") != nil })
	if i < 0 {
		return nil, &Error{File: f.Path, Tensor: strings.Join(names, ".weight or ") + ".weight", Reason: "it is missing"}
	}
	theirs := names[i]
	p := &part{TensorSpec: spec, from: f.Tensor(theirs + ".weight"), cols: int(spec.Dims[0]), rows: 1}
	if len(spec.Dims) > 1 {
		p.rows = int(spec.Dims[1])
	}
	if n.interleaved {
		switch {
		case strings.HasSuffix(name, ".attn_q"):
			p.heads = n.shape.Heads
		case strings.HasSuffix(name, ".attn_k"):
			p.heads = n.shape.KVHeads
		}
	}
	used[theirs+".weight"] = true
	if p.from.Type == "U8" {
		if p.factor = f.Tensor(theirs + ".weight_scale"); p.factor == nil {
			return nil, &Error{File: p.from.File(), Tensor: p.from.Name, Reason: "it is packed, and its weight_scale is missing"}
		}
		used[theirs+".weight_scale"] = true
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	parts := []*part{p}
	if bias := f.Tensor(theirs + ".bias"); bias != nil && spec.Role == graph.RoleMatrix {
		used[theirs+".bias"] = true
		b := &part{TensorSpec: graph.TensorSpec{Name: name + ".bias", Role: graph.RoleNorm, Dims: spec.Dims[1:]},
			rows: 1, cols: p.rows, from: bias, heads: p.heads}
		if err := b.check(); err != nil {
			return nil, err
		}
		parts = append(parts, b)
	}
	return parts, nil
}

// check compares the folder's tensor with what the network needs.
func (p *part) check() error {
	want := make([]int, len(p.Dims))
	for i, d := range p.Dims {
		want[len(want)-1-i] = int(d)
	}
	if p.factor != nil {
		if p.Role != graph.RoleMatrix {
			return p.fault("only the matrices of blocks may be packed")
		}
		want[0] = (want[0] + 3) / 4
		if p.factor.Elements() != 1 {
			return &Error{File: p.factor.File(), Tensor: p.factor.Name, Reason: fmt.Sprintf("its shape is %v: one value for the whole matrix is supported", p.factor.Shape)}
		}
	}
	if !slices.Equal(p.from.Shape, want) {
		return p.fault(fmt.Sprintf("its shape is %v, config.json asks for %v", p.from.Shape, want))
	}
	switch p.from.Type {
	case "F32", "F16", "BF16":
	case "U8":
		if p.factor != nil {
			return nil
		}
		fallthrough
	default:
		return p.fault(fmt.Sprintf("type %s is not supported: F32, F16, BF16, and U8 for packed trits are", p.from.Type))
	}
	return nil
}

func (p *part) fault(reason string) error {
	return &Error{File: p.from.File(), Tensor: p.from.Name, Reason: reason}
}
