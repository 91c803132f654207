package graph

import "tritflow/gguf"

// Role is what a tensor is for.
type Role uint8

// The roles of tensors.
const (
	RoleMatrix    Role = iota // a block's projection, ternary in BitNet models
	RoleNorm                  // weights of a norm, plain floats
	RoleEmbedding             // the token table
	RoleHead                  // an output projection of its own
	RoleFactors               // divisors of the RoPE angles, plain floats
)

func (r Role) String() string {
	return [...]string{"matrix", "norm", "embedding", "head", "factors"}[r]
}

// linear tensors may come with a bias and a scale.
func (r Role) linear() bool { return r == RoleMatrix || r == RoleHead }

// plain tensors must be stored as floats.
func (r Role) plain() bool { return r == RoleNorm || r == RoleFactors }

// dim names a dimension whose size the metadata gives.
type dim uint8

const (
	hidden    dim = iota
	ffn           // feed-forward width
	vocab         // tokens
	queries       // all query heads
	keys          // all key heads
	values        // all value heads
	attended      // all query heads' outputs
	headKey       // one head's key
	ropePairs     // rotated pairs of a head
)

func (p *Params) size(d dim) uint64 {
	n := [...]int{
		hidden:    p.Hidden,
		ffn:       p.FFN,
		vocab:     p.Vocab,
		queries:   p.Heads * p.KeyDim,
		keys:      p.KVHeads * p.KeyDim,
		values:    p.KVHeads * p.ValueDim,
		attended:  p.Heads * p.ValueDim,
		headKey:   p.KeyDim,
		ropePairs: p.RopeDims / 2,
	}
	return uint64(n[d])
}

// slot is a named tensor of a network and the place where it belongs. Block
// slots are found under "blk.N.".
type slot struct {
	name     string // without prefix and suffix
	role     Role
	dims     []dim // ne order
	optional bool
	put      func(to *place, l Linear) // norms and tables use only Name and Weight
}

// maybe is the slot for architectures that can do without the tensor.
func (s slot) maybe() slot {
	s.optional = true
	return s
}

// shape is the slot's dimensions in numbers, ne order.
func (s slot) shape(p *Params) []uint64 {
	shape := make([]uint64, len(s.dims))
	for i, d := range s.dims {
		shape[i] = p.size(d)
	}
	return shape
}

// place is where a slot's tensors go: the model and, inside a block, the block.
type place struct {
	model   *Model
	block   *Block
	eps     float32
	factors *gguf.Tensor // goes into the Rope of every block
}

func matrix(name string, in, out dim, at func(*Block) *Linear) slot {
	return slot{name: name, role: RoleMatrix, dims: []dim{in, out},
		put: func(to *place, l Linear) {
			l.Pre = at(to.block).Pre
			*at(to.block) = l
		}}
}

// normIn is the norm of one product's input.
func normIn(name string, at func(*Block) *Linear) slot {
	return norm(name, hidden, func(to *place, n Norm) { at(to.block).Pre = &n }).maybe()
}

func norm(name string, width dim, set func(*place, Norm)) slot {
	return slot{name: name, role: RoleNorm, dims: []dim{width},
		put: func(to *place, l Linear) { set(to, Norm{Name: l.Name, Weight: l.Weight, Eps: to.eps}) }}
}

// Every tensor that the machinery can bind; architectures choose from these.
var (
	tokenEmbd = slot{name: "token_embd", role: RoleEmbedding, dims: []dim{hidden, vocab},
		put: func(to *place, l Linear) {
			to.model.Embed = Embed{Weight: l.Weight, Hidden: l.In, Vocab: l.Out}
		}}
	output = slot{name: "output", role: RoleHead, dims: []dim{hidden, vocab},
		put: func(to *place, l Linear) { to.model.Head.Out = l }}
	outputNorm = norm("output_norm", hidden, func(to *place, n Norm) { to.model.Head.Norm = n })
	ropeFreqs  = slot{name: "rope_freqs", role: RoleFactors, dims: []dim{ropePairs},
		put: func(to *place, l Linear) { to.factors = l.Weight }}

	attnNorm    = norm("attn_norm", hidden, func(to *place, n Norm) { to.block.AttnNorm = n })
	attnQ       = matrix("attn_q", hidden, queries, func(b *Block) *Linear { return &b.Q })
	attnK       = matrix("attn_k", hidden, keys, func(b *Block) *Linear { return &b.K })
	attnV       = matrix("attn_v", hidden, values, func(b *Block) *Linear { return &b.V })
	attnQNorm   = norm("attn_q_norm", headKey, func(to *place, n Norm) { to.block.QNorm = &n })
	attnKNorm   = norm("attn_k_norm", headKey, func(to *place, n Norm) { to.block.KNorm = &n })
	attnSubNorm = norm("attn_sub_norm", attended, func(to *place, n Norm) { to.block.AttnSubNorm = &n })
	attnOutput  = matrix("attn_output", attended, hidden, func(b *Block) *Linear { return &b.O })

	attnQNormIn      = normIn("attn_q_norm_in", func(b *Block) *Linear { return &b.Q })
	attnKNormIn      = normIn("attn_k_norm_in", func(b *Block) *Linear { return &b.K })
	attnVNormIn      = normIn("attn_v_norm_in", func(b *Block) *Linear { return &b.V })
	attnOutputNormIn = norm("attn_output_norm_in", attended, func(to *place, n Norm) { to.block.AttnSubNorm = &n }).maybe()
	attnPostNorm     = norm("post_attention_norm", hidden, func(to *place, n Norm) { to.block.AttnPostNorm = &n })

	ffnNorm    = norm("ffn_norm", hidden, func(to *place, n Norm) { to.block.FFNNorm = n })
	ffnGate    = matrix("ffn_gate", hidden, ffn, func(b *Block) *Linear { return &b.Gate })
	ffnUp      = matrix("ffn_up", hidden, ffn, func(b *Block) *Linear { return &b.Up })
	ffnSubNorm = norm("ffn_sub_norm", ffn, func(to *place, n Norm) { to.block.FFNSubNorm = &n })
	ffnDown    = matrix("ffn_down", ffn, hidden, func(b *Block) *Linear { return &b.Down })

	ffnGateNormIn = normIn("ffn_gate_norm_in", func(b *Block) *Linear { return &b.Gate })
	ffnUpNormIn   = normIn("ffn_up_norm_in", func(b *Block) *Linear { return &b.Up })
	ffnDownNormIn = norm("ffn_down_norm_in", ffn, func(to *place, n Norm) { to.block.FFNSubNorm = &n }).maybe()
	ffnPostNorm   = norm("post_ffw_norm", hidden, func(to *place, n Norm) { to.block.FFNPostNorm = &n })
)

// essential are the block tensors that change the network wherever they
// appear: a file that has one which its architecture does not list is of
// another architecture.
var essential = []slot{
	attnNorm, attnQ, attnK, attnV, attnQNorm, attnKNorm, attnSubNorm, attnOutput,
	ffnNorm, ffnGate, ffnUp, ffnSubNorm, ffnDown,
	attnQNormIn, attnKNormIn, attnVNormIn, attnOutputNormIn, attnPostNorm,
	ffnGateNormIn, ffnUpNormIn, ffnDownNormIn, ffnPostNorm,
}
