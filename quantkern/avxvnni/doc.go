// Package avxvnni holds generated kernels of quantkern for processors that have the dot
// products of bytes of AVX-VNNI, on 256 bits, without AVX-512; see quantkern/_gen. They work
// on whole blocks and check nothing: only quantkern calls them.
package avxvnni
