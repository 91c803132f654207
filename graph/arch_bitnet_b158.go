package graph

// "bitnet-b1.58" and its early names: microsoft/BitNet-b1.58-2B-4T. Unlike
// "bitnet" it squares a ReLU, may divide RoPE angles and may have a head of
// its own. Tensors stand in the order of the official file.
func init() {
	register(&architecture{
		names:      []string{"bitnet-b1.58", "bitnet-25", "bitnet-1.58"},
		rope:       RopeNeoX,
		wholeHead:  true,
		activation: ReLU2,
		first:      []slot{tokenEmbd, output.maybe(), ropeFreqs.maybe()},
		block: []slot{
			attnNorm, ffnDown, ffnSubNorm, ffnGate, ffnUp, ffnNorm,
			attnSubNorm, attnK, attnOutput, attnQ, attnV,
		},
		last: []slot{outputNorm},
	})
}
