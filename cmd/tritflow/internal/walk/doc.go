// Package walk runs a network once more, slowly and in the open: plain steps
// over one prompt, every intermediate tensor shown to whoever asks. It is the
// second opinion beside the devices.
//
//	graph.Model ─ New ─▶ Embed ─▶ Block(0) … Block(N-1) ─▶ Head ─▶ logits
//	                        └───────┴── Visit(Point, values) ──┘
//
// Two numerics are there. Quantized computes what devices compute: ternary
// layers round their input to int8 and keys and values have the type of a
// cache; on a CPU its residual stream and logits are the device's to the bit.
// Float is the F32 forward of the same weights: nothing is rounded to int8 and
// keys and values stay float32.
package walk
