package convert

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"tritflow/gguf/hf"
	"tritflow/graph"
)

// network is what config.json describes.
type network struct {
	shape       graph.Shape
	keys        []graph.MetaValue // beyond those of the shape
	factors     []float32         // divisors of the angles, nil: none
	bitnet      bool              // trained with ternary weights
	interleaved bool              // pairs of a head stand side by side, so rows of Q and K are permuted
}

// family is a kind of folder: config.json's architecture in lower case.
type family struct {
	arch   string
	silu   string // the architecture where the activation is SiLU; "" = the same
	bitnet bool
	pairs  bool // see network.interleaved
}

var families = map[string]family{
	"bitnetforcausallm": {arch: "bitnet-b1.58", silu: "bitnet", bitnet: true},
	"llamaforcausallm":  {arch: "llama", pairs: true},
	"qwen3forcausallm":  {arch: "qwen3"},
}

func newNetwork(f *hf.Folder, name string) (*network, error) {
	c := f.Config
	if len(c.Architectures) != 1 {
		return nil, c.Fault("architectures", fmt.Sprintf("%q: it must name one architecture", c.Architectures))
	}
	fam, ok := families[strings.ToLower(c.Architectures[0])]
	if !ok {
		return nil, c.Fault("architectures", fmt.Sprintf("%q is not supported: BitNetForCausalLM, LlamaForCausalLM and Qwen3ForCausalLM are", c.Architectures[0]))
	}
	n := &network{bitnet: fam.bitnet, interleaved: fam.pairs}
	if q := c.Quantization; q != nil {
		if q.Method != "bitnet" {
			return nil, c.Fault("quantization_config.quant_method", fmt.Sprintf("%q is not supported, only bitnet is; convert the original weights", q.Method))
		}
		if q.RMSNorm {
			return nil, c.Fault("quantization_config.use_rms_norm", "norms inside of products are not supported")
		}
		n.bitnet = true
	}
	act, err := activation(c)
	if err != nil {
		return nil, err
	}
	arch := fam.arch
	if act == graph.SiLU && fam.silu != "" {
		arch = fam.silu
	}
	if err := n.plain(c); err != nil {
		return nil, err
	}
	if c.Blocks > len(f.Names()) {
		return nil, c.Fault("num_hidden_layers", fmt.Sprintf("%d blocks of %d tensors in all", c.Blocks, len(f.Names())))
	}
	if c.Tied != nil && !*c.Tied && f.Tensor(headName) == nil {
		return nil, &Error{File: f.Path, Tensor: headName, Reason: "it is missing, and tie_word_embeddings of config.json says that the embedding does not serve for it; fetch all files of the weights"}
	}
	n.shape = graph.Shape{
		Name: cmp.Or(name, baseName(c.Name), baseName(f.Path)), Arch: arch,
		OwnHead: f.Tensor(headName) != nil && (c.Tied == nil || !*c.Tied),
		Params: graph.Params{
			Vocab: c.Vocab, Context: c.Context, Hidden: c.Hidden, Blocks: c.Blocks, FFN: c.FFN,
			Heads: c.Heads, KVHeads: c.KVHeads, KeyDim: c.HeadDim, ValueDim: c.HeadDim, RopeDims: c.HeadDim,
			Eps: float32(c.Eps), RopeBase: float32(c.RopeBase), RopeScale: 1, Activation: act,
		},
	}
	// Newer engines ask this key and take SiLU where it is missing.
	if fam.bitnet {
		n.key("hidden_activation", act.String())
	}
	return n, n.rope(c)
}

// baseName is the last part of a name that may be a path.
func baseName(s string) string {
	if s == "" {
		return ""
	}
	return filepath.Base(filepath.ToSlash(s))
}

func (n *network) key(suffix string, value any) {
	n.keys = append(n.keys, graph.MetaValue{Key: n.shape.Arch + "." + suffix, Value: value})
}

func activation(c *hf.Config) (graph.Activation, error) {
	switch c.Act {
	case "silu", "swish":
		return graph.SiLU, nil
	case "relu2":
		return graph.ReLU2, nil
	}
	return 0, c.Fault("hidden_act", fmt.Sprintf("%q is not supported: silu and relu2 are", c.Act))
}

// plain refuses what changes attention.
func (n *network) plain(c *hf.Config) error {
	if c.Partial != nil && *c.Partial != 1 {
		return c.Fault("partial_rotary_factor", fmt.Sprintf("%v: heads that rotate in part are not supported", *c.Partial))
	}
	if c.Window != nil && *c.Window < c.Context && (c.UseWindow == nil || *c.UseWindow) {
		return c.Fault("sliding_window", fmt.Sprintf("%d: windows of attention are not supported", *c.Window))
	}
	return nil
}

// rope writes how positions are stretched.
func (n *network) rope(c *hf.Config) error {
	r := c.RopeScaling
	kind := r.Kind()
	if kind != "default" && !(r.Factor > 0 && r.Factor <= math.MaxInt32) {
		return c.Fault("rope_scaling.factor", fmt.Sprintf("%v: it must be above 0", r.Factor))
	}
	switch kind {
	case "default":
	case "linear":
		n.key("rope.scaling.type", "linear")
		n.key("rope.scaling.factor", float32(r.Factor))
	case "yarn":
		n.key("rope.scaling.type", "yarn")
		n.key("rope.scaling.factor", float32(r.Factor))
		n.key("rope.scaling.original_context_length", uint32(cmp.Or(r.Original, c.Context)))
		if r.Fast != nil {
			n.key("rope.scaling.yarn_beta_fast", float32(*r.Fast))
		}
		if r.Slow != nil {
			n.key("rope.scaling.yarn_beta_slow", float32(*r.Slow))
		}
		if r.Attn != nil {
			return c.Fault("rope_scaling.attention_factor", "it is not supported")
		}
	case "llama3":
		if n.shape.Arch != "llama" {
			return c.Fault("rope_scaling.rope_type", "llama3 is supported for LlamaForCausalLM")
		}
		n.factors = llama3Factors(r, c.HeadDim, c.RopeBase)
	default:
		return c.Fault("rope_scaling.rope_type", fmt.Sprintf("%q is not supported: linear, yarn and llama3 are", kind))
	}
	return nil
}

// llama3Factors are the divisors of Llama 3.1: long waves are stretched, short
// ones are not, and between the two the change is gradual.
func llama3Factors(r *hf.RopeScaling, dims int, base float64) []float32 {
	low, high := cmp.Or(r.Low, 1), cmp.Or(r.High, 4)
	original := float64(cmp.Or(r.Original, 8192))
	factors := make([]float32, dims/2)
	for i := range factors {
		wave := 2 * math.Pi * math.Pow(base, 2*float64(i)/float64(dims))
		switch {
		case wave < original/high:
			factors[i] = 1
		case wave > original/low:
			factors[i] = float32(r.Factor)
		default:
			s := (original/wave - low) / (high - low)
			factors[i] = float32(1 / ((1-s)/r.Factor + s))
		}
	}
	return factors
}
