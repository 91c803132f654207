package graph

import "math"

// Params are an architecture's hyper-parameters: what the keys of keys.go say.
type Params struct {
	Vocab      int // tokens
	Context    int // positions trained for
	Hidden     int // width of the residual stream
	Blocks     int
	FFN        int // feed-forward width
	Heads      int // query heads
	KVHeads    int // key/value heads, a divisor of Heads
	KeyDim     int // a head's key and query
	ValueDim   int // a head's value
	RopeDims   int // elements of a head that rotate, even
	Eps        float32
	RopeBase   float32
	RopeScale  float32 // multiplies positions; 1 = none
	Yarn       Yarn    // zero = none
	Activation Activation
	Pooling    Pooling
}

// String is the name by which files know the activation.
func (a Activation) String() string {
	return [...]string{SiLU: "silu", ReLU2: "relu2", GELU: "gelu"}[a]
}

func (p Pooling) String() string {
	return [...]string{PoolNone: "none", PoolMean: "mean", PoolLast: "last"}[p]
}

func (k RopeKind) String() string {
	return [...]string{RopeNone: "none", RopeNeoX: "neox", RopeNormal: "normal"}[k]
}

// attnScale is 1/sqrt(KeyDim), rounded at both steps as llama.cpp does; with
// YaRN queries and keys are longer.
func (p *Params) attnScale() float32 {
	m := p.Yarn.magnitude()
	return 1 / float32(math.Sqrt(float64(p.KeyDim))) * float32(m*m)
}
