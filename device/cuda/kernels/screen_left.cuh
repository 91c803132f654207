// What is left of a screened row (screen_finish.cu): lists of its rows that reach a floor, and their exact
// products.
#pragma once
#include "screen.cuh"

constexpr int finishThreads = 256, finishWarps = finishThreads / 32, mostParts = 128;
constexpr int mostHeld = 8192, nearby = 64; // values of a row, and rows of a part's list, that lie in shared memory

// Best is the largest of exact products: its order above the complement of its row, and itself.
struct Best {
    uint64_t key;
    float value;
    __device__ __forceinline__ void add(uint64_t other, float v) {
        if (other > key) key = other, value = v;
    }
};

// Part is what a block has of a row.
struct __align__(16) Part {
    uint64_t key; // of the best
    float value;
    int32_t count;
};

// Left is what belongs to one row: list and exact have a piece of `share` for each part.
struct Left {
    int32_t *list;
    Part *got;
    float *exact;
    int share, parts;
};

// Bounds are those of a row, and of the tiles.
struct Bounds {
    const float *uppers;
    const float2 *tops;
    int tiles;
    int64_t n;
};

// reaching gives put all rows of a part that reach the floor, with their upper bounds. The warps from
// `from` on look, of which this is one.
template <typename F> __device__ __forceinline__ void reaching(const Bounds &b, const Left &l, int part, float floor, int from, F put) {
    constexpr int deep = 8;
    const int warps = finishWarps - from, step = 32 * warps * l.parts;
    for (int base = (part + ((int)(threadIdx.x >> 5) - from) * l.parts) * 32 + (threadIdx.x & 31); base < b.tiles; base += deep * step) {
        float top[deep];
#pragma unroll
        for (int i = 0; i < deep; i++) top[i] = base + i * step < b.tiles ? b.tops[base + i * step].x : -INFINITY;
#pragma unroll
        for (int i = 0; i < deep; i++) {
            if (base + i * step >= b.tiles || !(top[i] >= floor)) continue;
            const int64_t first = (int64_t)(base + i * step) * screenTile;
            const float4 *quads = (const float4 *)(b.uppers + first);
            uint32_t those = 0;
#pragma unroll
            for (int q = 0; q < screenTile / 4; q++) {
                const float4 u = quads[q];
                those |= (u.x >= floor | (u.y >= floor) << 1 | (u.z >= floor) << 2 | (u.w >= floor) << 3) << 4 * q;
            }
            if (b.n - first < screenTile) those &= first < b.n ? (1u << (b.n - first)) - 1 : 0;
            for (; those != 0; those &= those - 1) {
                const int64_t id = first + __ffs(those) - 1;
                put((int32_t)id, b.uppers[id]);
            }
        }
    }
}

// rescore computes rows exactly; each warp gets the best of its own.
template <int T>
__device__ __forceinline__ Best rescore(const uint8_t *w, const float *x, int64_t k, const int32_t *list, const int32_t *near, int count, float *exact) {
    const bool whole = whole_units<T>(w, k);
    Best best = {};
    for (int i = threadIdx.x >> 5; i < count; i += finishWarps) {
        const int32_t id = i < nearby ? near[i] : list[i];
        const uint8_t *from = w + id * row_bytes<T>(k);
        float d = whole ? dense_dot<T, true, T == F16 || T == BF16 ? 10 : 4>(from, x, k) : dense_dot<T, Weights<T>::values != 1>(from, x, k);
        if ((threadIdx.x & 31) == 0) exact[i] = d;
        best.add((uint64_t)order_of(d) << 32 | (0xffffffffu - (uint32_t)id), d);
    }
    return best;
}

__device__ __forceinline__ int64_t row_bytes_as(int64_t type, int64_t k) {
    switch (type) {
    case F32: return row_bytes<F32>(k);
    case F16: case BF16: return row_bytes<F16>(k);
    case Q8_0: return row_bytes<Q8_0>(k);
    case Q4_0: return row_bytes<Q4_0>(k);
    case Q4_1: return row_bytes<Q4_1>(k);
    case Q5_0: return row_bytes<Q5_0>(k);
    case Q5_1: return row_bytes<Q5_1>(k);
    case Q4_K: return row_bytes<Q4_K>(k);
    case Q5_K: return row_bytes<Q5_K>(k);
    default: return row_bytes<Q6_K>(k);
    }
}

__device__ __forceinline__ Best rescore_as(int64_t type, const uint8_t *w, const float *x, int64_t k, const int32_t *list, const int32_t *near, int count, float *exact) {
    switch (type) {
    case F32: return rescore<F32>(w, x, k, list, near, count, exact);
    case F16: return rescore<F16>(w, x, k, list, near, count, exact);
    case BF16: return rescore<BF16>(w, x, k, list, near, count, exact);
    case Q8_0: return rescore<Q8_0>(w, x, k, list, near, count, exact);
    case Q4_0: return rescore<Q4_0>(w, x, k, list, near, count, exact);
    case Q4_1: return rescore<Q4_1>(w, x, k, list, near, count, exact);
    case Q5_0: return rescore<Q5_0>(w, x, k, list, near, count, exact);
    case Q5_1: return rescore<Q5_1>(w, x, k, list, near, count, exact);
    case Q4_K: return rescore<Q4_K>(w, x, k, list, near, count, exact);
    case Q5_K: return rescore<Q5_K>(w, x, k, list, near, count, exact);
    default: return rescore<Q6_K>(w, x, k, list, near, count, exact);
    }
}
