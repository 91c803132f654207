// Keys and values of a chunk as halves: see chunk.cuh.
//
// A fragment is the 16 bytes that each lane of a warp needs next, 512 bytes in
// the order of the lanes, so that nothing is shuffled and no bank is hit twice.
// For that the sums run over dimensions and positions in an order that suits
// the memory. With g = lane/4, t = lane%4:
//
//	keys    fragment x*(D/32)+s, x = 4j+r: position 32j + 8(g/2) + 2r + g%2,
//	        dimensions 32s+8t .. +7; column g of the tile x of scores
//	values  fragment 2n+j: dimension 8n+g, positions 32j+8t .. +7
//
// Columns 2t and 2t+1 of the tiles 4j .. 4j+3 are then the positions 32j+8t ..
// +7: a lane's probabilities are the ones that its values need.
#pragma once
#include "chunk_pages.cuh"

// HalfFragments is how they are read, whatever dimensions and positions they are.
template <int DIM> struct HalfFragments {
    static constexpr int D = DIM, keys = CHUNK * D / 256, all = 2 * keys, bytes = all * 512; // fragments of a chunk
    static constexpr int keyParts = D / 32, keyMmas = 2;                                      // of a tile of scores

    // tile is where a lane's part of tile x begins.
    static __device__ __forceinline__ const uint4 *tile(const uint4 *frags, int x) { return frags + x * keyParts * 32 + (threadIdx.x & 31); }

    // key reads part s of the tile i behind tile x, whose part begins at `at`: two words for each product.
    static __device__ __forceinline__ void key(uint32_t (&k)[2 * keyMmas], const uint4 *at, const uint4 *, int, int i, int s) {
        const uint4 a = at[(i * keyParts + s) * 32];
        k[0] = a.x, k[1] = a.y, k[2] = a.z, k[3] = a.w;
    }

    // values reads half j of the positions for N tiles of eight dimensions.
    template <int N> static __device__ __forceinline__ void values(uint4 (&v)[N], const uint4 *frags, int n, int j) {
        frags += (keys + 2 * n) * 32 + (threadIdx.x & 31);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = frags[(2 * i + j) * 32];
    }
};

// key_at and value_at are where a dimension of a position of the chunk lies among the halves
// of the fragments.
template <int D> __device__ __forceinline__ int key_at(int position, int d) {
    int j = position >> 5, in = position & 31, lane = 4 * (2 * (in >> 3) + (in & 1)) + ((d & 31) >> 3);
    return (((4 * j + ((in & 7) >> 1)) * (D / 32) + (d >> 5)) * 32 + lane) * 8 + (d & 7);
}

template <int D> __device__ __forceinline__ int value_at(int position, int d) {
    int j = position >> 5, lane = 4 * (d & 7) + ((position & 31) >> 3);
    return ((HalfFragments<D>::keys + 2 * (d >> 3) + j) * 32 + lane) * 8 + (position & 7);
}

// The work of bringing a chunk to shared memory has four parts: keys 0..31 and
// 32..63 (parts 0, 1), values likewise (2, 3). A lane copies within eight
// positions, which lie in one page: part_first is the first of them.
__device__ __forceinline__ int part_first(int part) {
    int lane = threadIdx.x & 31;
    return 32 * (part & 1) + 8 * (part < 2 ? lane >> 3 : lane & 3);
}

// part_page looks up the page of a lane's positions.
__device__ __forceinline__ int part_page(const Pages &kv, int part, int start) {
    int p = start + part_first(part);
    return p <= kv.last ? kv.table[(uint32_t)p / (uint32_t)kv.size] : 0;
}

// copy_part begins to copy a part of the chunk at `start`. Positions beyond the
// last (in eights for values) become zeros.
template <int D> __device__ __forceinline__ void copy_part(uint4 *frags, const Pages &kv, int part, int start, int page) {
    int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, j = part & 1;
    int p = start + part_first(part), slot = (uint32_t)p % (uint32_t)kv.size;
    int64_t head = (int64_t)page * kv.heads + kv.head;
    if (part < 2) {
        const __half *src = (const __half *)kv.k + (head * kv.size + slot + (g & 1)) * D + 8 * t;
        uint4 *dst = frags + 4 * j * (D / 32) * 32 + lane;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            int bytes = p + (g & 1) + 2 * r <= kv.last ? 16 : 0;
#pragma unroll
            for (int s = 0; s < D / 32; s++) copy16(dst + (r * (D / 32) + s) * 32, src + 2 * r * D + 32 * s, bytes);
        }
    } else {
        const __half *src = (const __half *)kv.v + (head * D + g) * kv.size + slot;
        uint4 *dst = frags + (HalfFragments<D>::keys + j) * 32 + lane;
        int bytes = p <= kv.last ? 16 : 0;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            copy16(dst + 2 * n * 32, src, bytes);
            src += 8 * kv.size;
        }
    }
}

// fetch_part brings a part of a chunk into the L2 cache, before pdl_wait.
template <int D> __device__ __forceinline__ void fetch_part(const Pages &kv, int part, int start, int page) {
    int lane = threadIdx.x & 31, base = start + 32 * (part & 1);
    // Pages of the two groups of 16 positions that the part consists of.
    int each = part < 2 ? 16 : 2;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int p = base + 16 * i, slot = (uint32_t)p % (uint32_t)kv.size;
        int64_t head = (int64_t)__shfl_sync(0xffffffffu, page, each * i) * kv.heads + kv.head;
        if (p > kv.last) continue;
        if (part < 2) {
            if (lane < 4) fetch_l2((const __half *)kv.k + (head * kv.size + slot + 4 * lane) * D, 8 * D);
        } else {
            for (int d = lane; d < D; d += 32) fetch_l2((const __half *)kv.v + (head * D + d) * kv.size + slot, 32);
        }
    }
}

// trim_part zeroes the values beyond the last position among eight that this
// thread has copied: they may be anything, and 0 times anything is not always 0.
template <int D> __device__ __forceinline__ void trim_part(uint4 *frags, const Pages &kv, int part, int start) {
    int keep = kv.last + 1 - (start + part_first(part)); // of the eight
    if (part < 2 || keep <= 0 || keep >= 8) return;
    uint4 *dst = frags + (HalfFragments<D>::keys + (part & 1)) * 32 + (threadIdx.x & 31);
    for (int n = 0; n < D / 8; n++) trim_eight(dst[2 * n * 32], keep);
}

template <int DIM> struct Halves : HalfFragments<DIM> {
    using Word = __half;               // of pages
    static constexpr int each = DIM; // such words of a position, scales included
    static constexpr bool rounds = false; // a position is put into pages and a chunk by put, a block of values at a time
    using HalfFragments<DIM>::D;
    using HalfFragments<DIM>::keys;
    static __device__ __forceinline__ int first(int x, int t) { return 32 * (x >> 2) + 8 * t + 2 * (x & 3); }
    static __device__ __forceinline__ int query_at(int s, int t) { return 32 * s + 8 * t; }
    static __device__ __forceinline__ int key_at(int position, int d) { return ::key_at<D>(position, d); }
    static __device__ __forceinline__ int value_at(int position, int d) { return ::value_at<D>(position, d); }
    static __device__ __forceinline__ int page(const Pages &kv, int part, int start) { return ::part_page(kv, part, start); }
    static __device__ __forceinline__ void copy(uint4 *frags, const Pages &kv, int part, int start, int page) { copy_part<D>(frags, kv, part, start, page); }
    static __device__ __forceinline__ void fetch(const Pages &kv, int part, int start, int page) { fetch_part<D>(kv, part, start, page); }
    static __device__ __forceinline__ void trim(uint4 *frags, const Pages &kv, int part, int start) { trim_part<D>(frags, kv, part, start); }
};
