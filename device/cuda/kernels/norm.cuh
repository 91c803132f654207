// One row of RMSNorm and quantization, its values in the registers of a block:
// thread i holds values i, i + blockDim, ...
#pragma once
#include "common.cuh"

// norm_row normalizes v (w nullptr: not), writes it to out (nullptr: not) and
// quantizes it to q, s and sum (q nullptr: not); q is filled up to stride with zeros.
template <int V>
__device__ __forceinline__ void norm_row(float (&v)[V], const float *w, float eps, int64_t cols, float *out, int8_t *q, float *s,
                                         int32_t *sum, int64_t stride) {
    __shared__ double sums[33];
    __shared__ uint32_t tops[33];
    __shared__ int32_t ints[33];
    if (w) {
        double squares = 0;
#pragma unroll
        for (int i = 0; i < V; i++) squares += (double)__fmul_rn(v[i], v[i]);
        squares = block_sum(squares, sums);
        float mean = (float)(squares / (double)cols);
        float scale = __fdiv_rn(1.f, __fsqrt_rn(mean + eps));
#pragma unroll
        for (int i = 0; i < V; i++) {
            int at = threadIdx.x + i * blockDim.x;
            if (at < cols) v[i] = __fmul_rn(__fmul_rn(v[i], scale), w[at]);
        }
    }
    if (out) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            int at = threadIdx.x + i * blockDim.x;
            if (at < cols) out[at] = v[i];
        }
    }
    if (!q) return;
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++) top = max(top, __float_as_uint(v[i]) & 0x7fffffffu);
    top = block_max(top, tops);
    // The bits of magnitudes order like the values, with NaN above infinity.
    const uint32_t inf = 0x7f800000u;
    float scale = top > inf ? __uint_as_float(0x7fc00000u) : top == inf ? 0.f : (float)(127.0 / fmax(1e-5, (double)__uint_as_float(top)));
    int32_t total = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = threadIdx.x + i * blockDim.x;
        int32_t c = top >= inf ? 0 : __float2int_rn(__fmul_rn(v[i], scale));
        if (at < cols) {
            total += c;
            q[at] = (int8_t)c;
        }
    }
    for (int at = (int)cols + threadIdx.x; at < stride; at += blockDim.x) q[at] = 0;
    total = block_sum(total, ints);
    if (threadIdx.x == 0) *s = scale, *sum = total;
}
