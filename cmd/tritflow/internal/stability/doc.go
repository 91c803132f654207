// Package stability walks the layers of a model with one prompt and says what
// the numbers do: how far int8 activations take each stage from an F32 forward
// of the same weights, how large values get, how many saturate, and where the
// first one is that is not finite.
//
//	prompt ─┬─ walk, quantized ── block i ──┬─ figures of every point ─▶ Layer ─▶ Limits ─▶ NumericalError
//	        ├─ walk, float ────── block i ──┤
//	        └─ devices (if named) block i ──┘
//
// Two kinds of error are told apart. A product's own error compares int8 and
// float activations with the same input; a point's error compares the two
// walks, so that it holds what all layers before have added.
package stability
