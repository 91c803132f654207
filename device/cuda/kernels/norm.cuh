// One row of RMSNorm and quantization by a block of at least 256 threads, of which the
// first 256 hold the values: thread i has values i, i + 256, i + 512, ... Whoever
// normalizes a row does it in this order, so that a row gets the same bits everywhere.
#pragma once
#include "common.cuh"

constexpr int normLanes = 256;

struct NormScratch {
    double sums[33];
    uint32_t tops[33];
    int32_t ints[33];
};

// load_row reads a row into v; lanes beyond it get zeros.
template <int V> __device__ __forceinline__ void load_row(float (&v)[V], const float *x, int64_t cols) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = threadIdx.x + i * normLanes;
        v[i] = threadIdx.x < normLanes && at < cols ? x[at] : 0.f;
    }
}

// norm_row normalizes v with weights w (normed false: not), writes it to out (nullptr:
// not) and quantizes it to q (nullptr: not), which is filled up to stride with zeros; s and
// sum become the row's scale and the sum of its codes, for every thread.
template <int V>
__device__ __forceinline__ void norm_row(float (&v)[V], bool normed, const float (&w)[V], float eps, int64_t cols, float *out, int8_t *q,
                                         int64_t stride, NormScratch &scratch, float &s, int32_t &sum) {
    const bool mine = threadIdx.x < normLanes;
    if (normed) {
        double squares = 0;
#pragma unroll
        for (int i = 0; i < V; i++) squares += (double)__fmul_rn(v[i], v[i]);
        squares = block_sum(squares, scratch.sums);
        float mean = (float)(squares / (double)cols);
        float scale = __fdiv_rn(1.f, __fsqrt_rn(mean + eps));
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = __fmul_rn(__fmul_rn(v[i], scale), w[i]);
    }
    if (out && mine) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            int at = threadIdx.x + i * normLanes;
            if (at < cols) out[at] = v[i];
        }
    }
    if (!q) return;
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = threadIdx.x + i * normLanes;
        if (mine && at < cols) top = max(top, __float_as_uint(v[i]) & 0x7fffffffu);
    }
    top = block_max(top, scratch.tops);
    // The bits of magnitudes order like the values, with NaN above infinity.
    const uint32_t inf = 0x7f800000u;
    float scale = top > inf ? __uint_as_float(0x7fc00000u) : top == inf ? 0.f : (float)(127.0 / fmax(1e-5, (double)__uint_as_float(top)));
    int32_t total = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = threadIdx.x + i * normLanes;
        int32_t c = top >= inf || !mine || at >= cols ? 0 : __float2int_rn(__fmul_rn(v[i], scale));
        total += c;
        if (mine && at < stride) q[at] = (int8_t)c;
    }
    if (mine)
        for (int at = threadIdx.x + V * normLanes; at < stride; at += normLanes) q[at] = 0;
    s = scale;
    sum = block_sum(total, scratch.ints);
}
