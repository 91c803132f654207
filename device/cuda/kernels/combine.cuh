// How the parts of a softmax over chunks of positions become one. Decode and
// prefill use the same operations in the same order: ascending chunks.
#pragma once
#include "common.cuh"
#include "ptx.cuh"

#define CHUNK 64 // positions of a chunk; chunk c holds [64c, 64c+64)

// fold_weights gives the factors for what was folded so far (a) and for the
// next chunk (b), and raises the running maximum (in units of log 2).
__device__ __forceinline__ void fold_weights(float &top, float chunk_top, float &a, float &b) {
    float next = fmaxf(top, chunk_top);
    a = exp2_fast(__fsub_rn(top, next));
    b = exp2_fast(__fsub_rn(chunk_top, next));
    top = next;
}

// fold is x*a + chunk*b with one rounding for each operation written here.
__device__ __forceinline__ float fold(float x, float chunk, float a, float b) {
    return __fmaf_rn(chunk, b, __fmul_rn(x, a));
}

// fold_factors is fold_weights for the chunks of N lanes at once, which follow each other: no sum is involved in a
// running maximum. Whole warps call it.
template <int N> __device__ __forceinline__ void fold_factors(int lane, float &top, float chunk_top, float &a, float &b) {
    const uint32_t all = 0xffffffffu;
    float run = chunk_top;
#pragma unroll
    for (int d = 1; d < N; d *= 2) {
        float below = __shfl_up_sync(all, run, d);
        if (lane >= d) run = fmaxf(run, below);
    }
    run = fmaxf(run, top);
    float before = __shfl_up_sync(all, run, 1);
    if (lane == 0) before = top;
    fold_weights(before, chunk_top, a, b);
    top = __shfl_sync(all, run, N - 1);
}

// load_values reads a lane's two or four values.
template <int N> __device__ __forceinline__ void load_values(float (&v)[N], const float *from) {
    if constexpr (N == 4) {
        float4 w = *(const float4 *)from;
        v[0] = w.x, v[1] = w.y, v[2] = w.z, v[3] = w.w;
    } else {
        float2 w = *(const float2 *)from;
        v[0] = w.x, v[1] = w.y;
    }
}

// combine_head folds the chunks of one head of one row, by a whole warp. m and
// l have an entry a chunk, o has D. A lane gets the D/32 values that begin at
// dimension lane*(D/32).
template <int D>
__device__ __forceinline__ void combine_head(const float *m, const float *l, const float *o, int chunks, float (&out)[D / 32]) {
    constexpr int N = D / 32;
    const uint32_t all = 0xffffffffu;
    int lane = threadIdx.x & 31;
    float top = -INFINITY, sum = 0;
    constexpr int early = 8; // values that are asked for before their weights are known
    float first_values[early][N];
    o += lane * N;
#pragma unroll
    for (int i = 0; i < early; i++) {
        if (i >= chunks) break;
        load_values<N>(first_values[i], o + (int64_t)i * D);
    }
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = 0;
    for (int first = 0; first < chunks; first += 32) {
        int n = min(32, chunks - first);
        float mine = lane < n ? m[first + lane] : -INFINITY;
        float part = lane < n ? l[first + lane] : 0;
        float a, b;
        fold_factors<32>(lane, top, mine, a, b);
        auto add = [&](int i, const float (&v)[N]) {
            float ai = __shfl_sync(all, a, i), bi = __shfl_sync(all, b, i);
            sum = fold(sum, __shfl_sync(all, part, i), ai, bi);
#pragma unroll
            for (int k = 0; k < N; k++) out[k] = fold(out[k], v[k], ai, bi);
        };
        if (first == 0) {
#pragma unroll
            for (int i = 0; i < early; i++)
                if (i < n) add(i, first_values[i]);
        }
#pragma unroll 4
        for (int i = first == 0 ? early : 0; i < n; i++) {
            float v[N];
            load_values<N>(v, o + (int64_t)(first + i) * D);
            add(i, v);
        }
    }
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = __fdiv_rn(out[i], sum);
}
