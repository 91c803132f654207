// Package neon has quantkern's kernels for arm64: those with Dot in their name
// need the dot-product instruction (ASIMDDP), the others no more than every
// arm64 processor has. Sizes are whole blocks of 16 values, or chunks of 256
// 2-bit codes; tails are the caller's. The plain-Go functions of quantkern
// define every bit of the results but the sign and payload of a NaN.
package neon
