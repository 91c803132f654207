package graph

import "tritflow/gguf"

// Model is a network as data: what an architecture's short file makes of a
// GGUF file's metadata and tensor names. It computes nothing and knows no
// device.
type Model struct {
	Arch    string // general.architecture as the file says it
	Name    string // general.name, for people
	Context int    // positions the model was trained for
	Hidden  int    // width of the residual stream
	Vocab   int    // rows of the embedding
	Embed   Embed
	Blocks  []Block
	Head    Head
	Surplus []string // tensors of the file that the network does not use
	Notes   []string // what was assumed where the file is silent
}

// Embed turns token ids into rows of the residual stream.
type Embed struct {
	Weight *gguf.Tensor // [Hidden, Vocab]
	Hidden int
	Vocab  int
	Scale  float32 // multiplies the rows; 0 = as they are
}

// Linear is y = x·Wᵀ × Scale (+ Bias). Weight has ne [In, Out] and any type;
// Bias and Scale are F32, F16 or BF16. Pre is a norm of this product's input
// alone, after the one that the block applies for all products that read it.
type Linear struct {
	Name    string // tensor name without ".weight", for errors
	Weight  *gguf.Tensor
	Bias    *gguf.Tensor // nil, or Out values
	Scale   *gguf.Tensor // nil, or one value that multiplies the product
	Pre     *Norm        // nil, or a norm of x over In
	In, Out int
}

// Norm is an RMSNorm: x / sqrt(mean(x²) + Eps) × Weight, stored as F32, F16 or BF16.
type Norm struct {
	Name   string // tensor name without ".weight"
	Weight *gguf.Tensor
	Eps    float32
}

// RopeKind says which elements of a head are rotated together.
type RopeKind uint8

// The kinds of rotary embeddings.
const (
	RopeNone   RopeKind = iota
	RopeNeoX            // (i, i + Dims/2)
	RopeNormal          // (2i, 2i + 1), "interleaved"
)

// Rope is a rotary position embedding.
type Rope struct {
	Kind    RopeKind
	Dims    int          // elements of each head that rotate
	Base    float32      // angle of pair i at position p: p × Base^(−2i/Dims), by recurrence
	Scale   float32      // linear position scaling: positions are multiplied by this (1 = none)
	Factors *gguf.Tensor // nil, or Dims/2 values that divide the angles
}

// Activation is the gate's nonlinearity.
type Activation uint8

// The nonlinearities of gates.
const (
	SiLU  Activation = iota // x / (1 + exp(−x))
	ReLU2                   // max(x, 0)²
	GELU                    // x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³)))
)

// Block is one transformer block. Optional norms are nil when the
// architecture has none there.
type Block struct {
	Index            int
	Hidden           int
	Heads, KVHeads   int
	KeyDim, ValueDim int // per head
	FFN              int
	AttnNorm         Norm
	Q, K, V, O       Linear
	QNorm, KNorm     *Norm // per head, before RoPE
	Rope             Rope
	AttnScale        float32 // multiplies the scores: 1/sqrt(KeyDim) as a rule, more with YaRN
	AttnSubNorm      *Norm   // over the concatenated heads, before O
	AttnPostNorm     *Norm   // over what attention adds to the residual stream
	FFNNorm          Norm
	Gate, Up, Down   Linear
	FFNSubNorm       *Norm // over the FFN width, before Down
	FFNPostNorm      *Norm // over what the feed-forward layer adds
	Activation       Activation
}

// Pooling says how the positions of a text become one vector.
type Pooling uint8

// The kinds of pooling.
const (
	PoolNone Pooling = iota // the model answers with logits
	PoolMean                // the mean of all positions
	PoolLast                // the last position
)

// Head is the final norm and the projection onto the vocabulary. A head that
// pools has no projection: it answers with what the norm gives, Out.In values a row.
type Head struct {
	Norm    Norm
	Out     Linear
	Tied    bool // Out.Weight is the embedding
	Vocab   int
	Pooling Pooling
}

// Width is the number of values that the head answers with for a row.
func (h *Head) Width() int {
	if h.Pooling != PoolNone {
		return h.Out.In
	}
	return h.Vocab
}
