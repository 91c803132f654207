package graph

// "gemma3": BitNet-embedding 270M (formats.md §6.5). What attention and the
// feed-forward layer give is normalized before it is added, and the embedding
// is multiplied by the square root of its width. Files of Gemma 3 itself, whose
// attention has windows, are refused for these.
func init() {
	register(&architecture{
		names:      []string{"gemma3"},
		rope:       RopeNeoX,
		activation: GELU,
		widen:      true,
		first:      []slot{tokenEmbd, output.maybe()},
		block: []slot{
			attnNorm, attnQ, attnK, attnV, attnQNorm, attnKNorm, attnOutput, attnPostNorm,
			ffnNorm, ffnGate, ffnUp, ffnDown, ffnPostNorm,
			attnQNormIn, attnKNormIn, attnVNormIn, attnOutputNormIn,
			ffnGateNormIn, ffnUpNormIn, ffnDownNormIn,
		},
		last: []slot{outputNorm},
	})
}
