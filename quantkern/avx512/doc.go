// Package avx512 holds generated kernels of quantkern; see quantkern/_gen. They
// work on whole blocks of sixteen values and check nothing: only quantkern
// calls them.
package avx512
