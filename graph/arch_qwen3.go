package graph

// "qwen3": Qwen 3, the ternary models built on it (Ternary-Bonsai), and
// BitNet-embedding 0.6B, which pools and normalizes the input of every product
// in its own way (formats.md §6.5). Each head's queries and keys are normalized
// before they are rotated.
func init() {
	register(&architecture{
		names:      []string{"qwen3"},
		rope:       RopeNeoX,
		activation: SiLU,
		first:      []slot{tokenEmbd, output.maybe()},
		block: []slot{
			attnNorm, attnQ, attnK, attnV, attnQNorm, attnKNorm, attnOutput,
			ffnNorm, ffnGate, ffnUp, ffnDown,
			attnQNormIn, attnKNormIn, attnVNormIn, attnOutputNormIn,
			ffnGateNormIn, ffnUpNormIn, ffnDownNormIn,
		},
		last: []slot{outputNorm},
	})
}
