package graph

// "qwen3": Qwen 3 and the ternary models built on it (Ternary-Bonsai). Each
// head's queries and keys are normalized before they are rotated.
func init() {
	register(&architecture{
		names:      []string{"qwen3"},
		rope:       RopeNeoX,
		activation: SiLU,
		first:      []slot{tokenEmbd, output.maybe()},
		block: []slot{
			attnNorm, attnQ, attnK, attnV, attnQNorm, attnKNorm, attnOutput,
			ffnNorm, ffnGate, ffnUp, ffnDown,
		},
		last: []slot{outputNorm},
	})
}
