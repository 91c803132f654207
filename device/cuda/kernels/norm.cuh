// One row of RMSNorm and quantization by a block whose first lanes (a multiple of 32) hold
// the values: thread i has values i, i + lanes, i + 2·lanes, ... Squares are added in float64:
// every fourth one of a thread, then its four sums crosswise, the threads of a warp, the warps
// in pairs. Many short chains, because an addition in float64 takes long.
// Whoever normalizes a row of the same kind has as many lanes, so that it gets the same bits.
#pragma once
#include "common.cuh"

constexpr int normLanes = 256; // of rows up to 32 values a lane
constexpr int wideLanes = 1024; // of longer ones

struct NormScratch {
    double sums[32];
    uint32_t tops[32];
    int32_t ints[32];
};

__device__ __forceinline__ double warp_total(double v) { return warp_sum(v); }
__device__ __forceinline__ int32_t warp_total(int32_t v) {
#if __CUDA_ARCH__ >= 800
    return __reduce_add_sync(0xffffffffu, v);
#else
    return warp_sum(v);
#endif
}

// pairs_sum adds N values (a power of two): neighbours, then sums of neighbours, ...
template <int N, typename T> __device__ __forceinline__ T pairs_sum(const T *values) {
    T v[N];
#pragma unroll
    for (int i = 0; i < N; i++) v[i] = values[i];
#pragma unroll
    for (int d = 1; d < N; d *= 2) {
#pragma unroll
        for (int i = 0; i < N; i += 2 * d) v[i] += v[i + d];
    }
    return v[0];
}

// lanes_sum adds v over the lanes; every thread of the block calls it and gets the sum.
// scratch is used once.
template <int LANES, typename T> __device__ __forceinline__ T lanes_sum(T v, T *scratch) {
    int warp = threadIdx.x >> 5;
    v = warp_total(v);
    if ((threadIdx.x & 31) == 0 && warp < LANES / 32) scratch[warp] = v;
    __syncthreads();
    return pairs_sum<LANES / 32>(scratch);
}

template <int LANES> __device__ __forceinline__ uint32_t lanes_max(uint32_t v, uint32_t *scratch) {
    int warp = threadIdx.x >> 5;
#if __CUDA_ARCH__ >= 800
    v = __reduce_max_sync(0xffffffffu, v);
#else
    v = warp_max(v);
#endif
    if ((threadIdx.x & 31) == 0 && warp < LANES / 32) scratch[warp] = v;
    __syncthreads();
    uint32_t s = scratch[0];
#pragma unroll
    for (int i = 1; i < LANES / 32; i++) s = max(s, scratch[i]);
    return s;
}

// norm_scale is what normalizes a row with that sum of squares; inverse is 1/its width.
__device__ __forceinline__ float norm_scale(double squares, double inverse, float eps) {
    float mean = (float)(squares * inverse);
    return __fdiv_rn(1.f, __fsqrt_rn(mean + eps));
}

// scale_for is the scale of a row whose largest magnitude has the bits top, code_of the
// code of a value. The bits of magnitudes order like the values, with NaN above infinity.
// The CPU divides in float64 and rounds, which gives the same: 53 bits are enough.
__device__ __forceinline__ float scale_for(uint32_t top) {
    const uint32_t inf = 0x7f800000u;
    float most = __uint_as_float(top);
    float s = most > 1e-5f ? __fdiv_rn(127.f, most) : 12700000.f;
    return top > inf ? __uint_as_float(0x7fc00000u) : top == inf ? 0.f : s;
}

__device__ __forceinline__ int32_t code_of(float v, float scale, uint32_t top) {
    return top >= 0x7f800000u ? 0 : __float2int_rn(__fmul_rn(v, scale));
}

// load_row reads a row into v; lanes beyond it get zeros.
template <int LANES, int V> __device__ __forceinline__ void load_row(float (&v)[V], const float *x, int cols) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = threadIdx.x + i * LANES;
        v[i] = threadIdx.x < LANES && at < cols ? x[at] : 0.f;
    }
}

// norm_row normalizes v with weights w (normed false: not), writes it to out (nullptr:
// not) and quantizes it to q (nullptr: not), which is filled up to stride with zeros; s and
// sum become the row's scale and the sum of its codes, for every thread.
template <int LANES, int V>
__device__ __forceinline__ void norm_row(float (&v)[V], bool normed, const float (&w)[V], double inverse, float eps, int cols, float *out, int8_t *q,
                                         int stride, NormScratch &scratch, float &s, int32_t &sum) {
    const bool mine = threadIdx.x < LANES;
    if (normed) {
        double part[4] = {};
#pragma unroll
        for (int i = 0; i < V; i++) part[i % 4] += (double)__fmul_rn(v[i], v[i]);
        float scale = norm_scale(lanes_sum<LANES>((part[0] + part[2]) + (part[1] + part[3]), scratch.sums), inverse, eps);
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = __fmul_rn(__fmul_rn(v[i], scale), w[i]);
    }
    if (out && mine) {
#pragma unroll
        for (int i = 0; i < V; i++) {
            int at = threadIdx.x + i * LANES;
            if (at < cols) out[at] = v[i];
        }
    }
    if (!q) return;
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        // Lanes beyond the row hold zeros, but 0 times an infinite scale is none.
        if (mine && (int)threadIdx.x + i * LANES < cols) top = max(top, __float_as_uint(v[i]) & 0x7fffffffu);
    }
    top = lanes_max<LANES>(top, scratch.tops);
    s = scale_for(top);
    int32_t total = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = threadIdx.x + i * LANES;
        int32_t c = mine && at < cols ? code_of(v[i], s, top) : 0;
        total += c;
        if (mine && at < stride) q[at] = (int8_t)c;
    }
    if (mine)
        for (int at = threadIdx.x + V * LANES; at < stride; at += LANES) q[at] = 0;
    sum = lanes_sum<LANES>(total, scratch.ints);
}
