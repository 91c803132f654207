// Shared by all kernels: types of the tables that travel with a step, and the
// warp and block primitives whose order of operations is fixed.
#pragma once
#include <cstdint>
#include <cuda_fp16.h>

// Row is one token of one sequence (16 bytes).
struct Row {
    int32_t seq;    // index into the step's sequences; -1: a row that is not computed
    int32_t pos;    // position in the sequence
    int32_t token;  // id
    int32_t pages;  // where the sequence's page table begins in the step's table
};

// Tile is up to 16 consecutive rows of one sequence, for attention over many rows.
struct Tile {
    int32_t row;    // first row
    int32_t n;      // rows
    int32_t seq, pos; // of the first row
};

// Programmatic dependent launch: a kernel may start before the one before it
// in the stream has ended; `wait` returns when everything that it wrote is visible.
// `release` lets the next kernel start its own beginning. On cards before
// Hopper both are nothing, and kernels follow each other as usual.
__device__ __forceinline__ void pdl_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void pdl_release() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// A kernel of so few blocks that starts early has time for a dry round, which nothing comes from: it
// brings the code to the multiprocessor, from where code that has not run yet comes slowly.
#if __CUDA_ARCH__ >= 900
constexpr unsigned dryBlocks = 32;
#else
constexpr unsigned dryBlocks = 0;
#endif

// note_bad records the first value of a row that is not finite: the lowest stage,
// then the lowest index. word = stage<<21 | index<<1 | (1 for infinities); a row
// without one has 0xffffffff. Stage 0 is the embedding, 1+i block i, 1023 the head.
__device__ __forceinline__ void note_bad(uint32_t *bad, int row, int stage, int index, float v) {
    if (!(fabsf(v) <= 3.402823466e38f)) {
        uint32_t word = (uint32_t)stage << 21 | (uint32_t)index << 1 | (v == v ? 1u : 0u);
        atomicMin(&bad[row], word);
    }
}

template <typename T> __device__ __forceinline__ T warp_sum(T v) {
#pragma unroll
    for (int o = 16; o > 0; o /= 2) v += __shfl_xor_sync(0xffffffffu, v, o);
    return v;
}

template <typename T> __device__ __forceinline__ T warp_max(T v) {
#pragma unroll
    for (int o = 16; o > 0; o /= 2) {
        T other = __shfl_xor_sync(0xffffffffu, v, o);
        v = other > v ? other : v;
    }
    return v;
}

// block_sum adds v over a block of up to 32 warps, in one fixed order. scratch
// has 33 entries; it may be used again after the call. Every thread gets the sum.
template <typename T> __device__ __forceinline__ T block_sum(T v, T *scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    v = warp_sum(v);
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    if (warp == 0) {
        T s = lane < warps ? scratch[lane] : T(0);
        s = warp_sum(s);
        if (lane == 0) scratch[32] = s;
    }
    __syncthreads();
    T r = scratch[32];
    __syncthreads();
    return r;
}

// block_max is the same for the largest value (of values that are not below 0).
template <typename T> __device__ __forceinline__ T block_max(T v, T *scratch) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    v = warp_max(v);
    if (lane == 0) scratch[warp] = v;
    __syncthreads();
    if (warp == 0) {
        T s = lane < warps ? scratch[lane] : T(0);
        s = warp_max(s);
        if (lane == 0) scratch[32] = s;
    }
    __syncthreads();
    T r = scratch[32];
    __syncthreads();
    return r;
}
