// Package kernels holds the code that runs on GPUs: CUDA C beside this file, and what
// it was compiled to in image/, which is checked in, so that building the program needs
// no CUDA compiler.
//
//	probe.cu ──go generate (nvcc)──▶ image/probe.compute_75.ptx   any card from 7.5 on: its driver compiles it
//	   first line: the targets       image/probe.compute_80.ptx   the same from 8.0 on
//	                                 image/probe.sm_90a.cubin     cards of capability 9.0 as they are
//
// A source begins with "// build: compute_75 compute_80 sm_90a"; a line "// nvcc: -fmad=false"
// may follow with more options. Images says which of them a card can load, best first.
//
// PTX is marked as of ISA 8.0 wherever the assembler takes it as such, because the
// driver must know the version that is marked: 8.0 came with CUDA 12.0.
//
// What the driver compiles from PTX it keeps in its own cache (~/.nv/ComputeCache, or
// CUDA_CACHE_PATH), so that only the first start on a machine waits for it.
package kernels

//go:generate go run ./build .
