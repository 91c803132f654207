package walk

import "strconv"

// Names of points, as llama.cpp and bitnet.cpp name the tensors of their graphs.
const (
	Input     = "inp_embd"
	AttnNorm  = "attn_norm"
	Q         = "Qcur"
	K         = "Kcur"
	V         = "Vcur"
	Heads     = "kqv_out"
	AttnSub   = "attn_sub_norm"
	AttnOut   = "attn_o_out"
	FFNInput  = "ffn_inp"
	FFNNorm   = "ffn_norm"
	Gate      = "ffn_gate"
	Up        = "ffn_up"
	Gated     = "ffn_out"
	FFNSub    = "ffn_sub_norm"
	Down      = "ffn_down"
	Residual  = "l_out"
	FinalNorm = "result_norm"
	Logits    = "result_output"
)

// Point is a place in the network where a tensor can be looked at.
type Point struct {
	Name  string
	Layer int // block, or Outside
	Turn  int // 1 for queries and keys after QK-norm and RoPE, else 0
}

// Outside is the Layer of points that belong to no block.
const Outside = -1

// String is the point's name in a dump: "Qcur-0#1".
func (p Point) String() string {
	s := p.Name
	if p.Layer != Outside {
		s += "-" + strconv.Itoa(p.Layer)
	}
	if p.Turn > 0 {
		s += "#" + strconv.Itoa(p.Turn)
	}
	return s
}

// Stage names the pipeline's stage that the point belongs to, as stages do.
func (p Point) Stage() string {
	switch {
	case p.Layer != Outside:
		return "block " + strconv.Itoa(p.Layer)
	case p.Name == Input:
		return "embed"
	}
	return "head"
}
