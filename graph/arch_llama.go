package graph

// "llama": the plain block of Llama 2 and 3, Falcon3-1.58bit, Falcon-E and
// TriLM. Converters permute the rows of Q and K, so pairs are interleaved.
func init() {
	register(&architecture{
		names:      []string{"llama"},
		rope:       RopeNormal,
		activation: SiLU,
		first:      []slot{tokenEmbd, output.maybe(), ropeFreqs.maybe()},
		block: []slot{
			attnNorm, attnQ, attnK, attnV, attnOutput,
			ffnNorm, ffnGate, ffnUp, ffnDown,
		},
		last: []slot{outputNorm},
	})
}
