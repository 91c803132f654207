package graph

// "bitnet": bitnet_b1_58-large and -3B of 1bitLLM. Sub-norms before the two
// projections back to the residual stream; the head is always the embedding.
func init() {
	register(&architecture{
		names:      []string{"bitnet"},
		rope:       RopeNeoX,
		activation: SiLU,
		first:      []slot{tokenEmbd},
		block: []slot{
			attnNorm, attnQ, attnK, attnV, attnSubNorm, attnOutput,
			ffnNorm, ffnGate, ffnUp, ffnSubNorm, ffnDown,
		},
		last: []slot{outputNorm},
	})
}
