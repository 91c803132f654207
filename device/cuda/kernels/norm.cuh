// One row of RMSNorm and quantization by the first lanes of a block (a multiple of 32), four
// neighbouring values (a quad) at a time: thread i has quads i, i + lanes, i + 2·lanes, ...
//
// Squares are added in one order, whoever does it, so that all get the same bits. A row has as many
// places as its lanes give (quadPlaces); quad q stands at place q % places.
//
//	quad           (x0² + x1²) + (x2² + x3²), float32
//	place          its quads in pairs, pairs of pairs, ..., float32
//	32 places      as integers, the largest one having 27 bits
//	row            those sums as integers, with 20 bits more
//
// What a row does not have counts as zeros, which change no sum: short rows need less of it. The
// roundings of the many small sums cancel out, so that the mean is nearly always the CPU's, which
// adds in float64; those of a few large ones would not. A warp adds integers faster than floats.
#pragma once
#include "common.cuh"

constexpr int normLanes = 256; // of rows up to 32 values a lane
constexpr int midLanes = 512; // of the longer ones of these, in kernels that do nothing else
constexpr int wideLanes = 1024; // of longer ones
constexpr int normPlaces = 512;

// quadPlaces are the places of the rows that have so many lanes.
template <int LANES> constexpr int quadPlaces = LANES == wideLanes ? wideLanes : normPlaces;

// Part is the sum of 32 places: n · 2^(e-153); infinite where e is 255, NaN where it is 256.
struct alignas(8) Part {
    uint32_t n, e;
};

struct NormScratch {
    Part sums[32];
    alignas(16) uint32_t tops[32];
    alignas(16) int32_t ints[32];
};

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

__device__ __forceinline__ float square_of(float4 v) {
    return (__fmul_rn(v.x, v.x) + __fmul_rn(v.y, v.y)) + (__fmul_rn(v.z, v.z) + __fmul_rn(v.w, v.w));
}

// warp_part adds the places of a warp, in units of which the largest one has less than 2^27, so that
// 32 fit.
__device__ __forceinline__ Part warp_part(float v) {
    uint32_t top = __reduce_max_sync(0xffffffffu, __float_as_uint(v));
    uint32_t e = top > 0x7f800000u ? 256 : max(top >> 23, 26u);
    return {__reduce_add_sync(0xffffffffu, __float2uint_rn(__fmul_rn(v, __uint_as_float((280 - e) << 23)))), e};
}

// parts_total adds N parts; whole warps call it. Of the smaller ones, 20 bits below the units of
// the largest one count.
template <int N> __device__ __forceinline__ double parts_total(const Part *parts) {
    const int lane = threadIdx.x & 31;
    Part p = parts[lane & (N - 1)];
    if (lane >= N) p.n = 0;
    const uint32_t e = __reduce_max_sync(0xffffffffu, p.e);
    const uint64_t n = ((uint64_t)p.n << 20) >> min(e - p.e, 63u);
    const uint32_t hi = __reduce_add_sync(0xffffffffu, (uint32_t)(n >> 27)), lo = __reduce_add_sync(0xffffffffu, (uint32_t)n & 0x7ffffffu);
    double total = (double)(((uint64_t)hi << 27) + lo) * __hiloint2double((int)(1023 - 153 - 20 + e) << 20, 0);
    return e < 255 ? total : __uint_as_float(e == 255 ? 0x7f800000u : 0x7fc00000u);
}

// squares_sum gives every thread of the block the sum of a row whose quads' squares the lanes hold
// in q, as above; more than a place may have are not there. scratch is used once.
template <int LANES, int V> __device__ __forceinline__ double squares_sum(float (&q)[V], Part *scratch) {
    constexpr int places = quadPlaces<LANES>, each = places / LANES; // of a thread
#pragma unroll
    for (int d = each; d < V; d *= 2) {
#pragma unroll
        for (int i = 0; i + d < V; i++)
            if (i / each % (2 * (d / each)) == 0) q[i] += q[i + d];
    }
#pragma unroll
    for (int i = 0; i < each; i++) {
        Part sum = warp_part(i < V ? q[i] : 0.f);
        if ((threadIdx.x & 31) == 0 && threadIdx.x < LANES) scratch[(threadIdx.x + i * LANES) >> 5] = sum;
    }
    __syncthreads();
    return parts_total<places / 32>(scratch);
}

// lanes_sum adds v over the lanes; every thread of the block calls it and gets the sum.
// scratch is used once.
template <int LANES> __device__ __forceinline__ int32_t lanes_sum(int32_t v, int32_t *scratch) {
    int warp = threadIdx.x >> 5;
    v = __reduce_add_sync(0xffffffffu, v);
    if ((threadIdx.x & 31) == 0 && warp < LANES / 32) scratch[warp] = v;
    __syncthreads();
    return pairs_sum<LANES / 32>(scratch);
}

template <int LANES> __device__ __forceinline__ uint32_t lanes_max(uint32_t v, uint32_t *scratch) {
    int warp = threadIdx.x >> 5;
    v = __reduce_max_sync(0xffffffffu, v);
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
    return __frcp_rn(__fsqrt_rn(mean + eps));
}

__device__ __forceinline__ float4 scaled(float4 v, float scale, float4 w) {
    return make_float4(__fmul_rn(__fmul_rn(v.x, scale), w.x), __fmul_rn(__fmul_rn(v.y, scale), w.y), __fmul_rn(__fmul_rn(v.z, scale), w.z),
                       __fmul_rn(__fmul_rn(v.w, scale), w.w));
}

// most_of is the largest of top and the bits of four magnitudes.
__device__ __forceinline__ uint32_t most_of(uint32_t top, float4 v) {
    auto bits = [](float f) { return __float_as_uint(f) & 0x7fffffffu; };
    return __vimax3_u32(__vimax3_u32(top, bits(v.x), bits(v.y)), bits(v.z), bits(v.w));
}

// scale_for is the scale of a row whose largest magnitude has the bits top, codes_of gives
// the codes of four values. The bits of magnitudes order like the values, with NaN above infinity.
// The CPU divides in float64 and rounds, which gives the same: 53 bits are enough.
__device__ __forceinline__ float scale_for(uint32_t top) {
    const uint32_t inf = 0x7f800000u;
    float most = __uint_as_float(top);
    float s = most > 1e-5f ? __fdiv_rn(127.f, most) : 12700000.f;
    return top > inf ? __uint_as_float(0x7fc00000u) : top == inf ? 0.f : s;
}

// codes_of gives the codes of four values, a byte each. Adding 1.5·2^23 rounds to the nearest
// integer, ties to even, and leaves it in the low bits. Rows that are not finite have codes 0.
__device__ __forceinline__ uint32_t codes_of(float4 v, float scale, uint32_t top) {
    auto code = [&](float f) { return __float_as_uint(__fadd_rn(__fmul_rn(f, scale), 12582912.f)); };
    uint32_t word = __byte_perm(__byte_perm(code(v.x), code(v.y), 0x0040), __byte_perm(code(v.z), code(v.w), 0x0040), 0x5410);
    return top >= 0x7f800000u ? 0 : word;
}

// sum_codes adds four codes to sum.
__device__ __forceinline__ int32_t sum_codes(int32_t sum, uint32_t word) { return __dp4a((int)word, 0x01010101, sum); }

// by_quads tells whether rows that lie ld values apart can be read and written in quads.
__device__ __forceinline__ bool by_quads(const void *x, int64_t ld, int cols) { return (((uint64_t)x | ld * 4 | cols * 4) & 15) == 0; }

// first_of leaves n of four values as they are and makes the others zero.
__device__ __forceinline__ float4 first_of(float4 v, int n) { return make_float4(n > 0 ? v.x : 0.f, n > 1 ? v.y : 0.f, n > 2 ? v.z : 0.f, n > 3 ? v.w : 0.f); }

// load_row reads a row into v, in quads where they say so; what lies beyond it is zeros.
template <int LANES, int V> __device__ __forceinline__ void load_row(float4 (&v)[V], const float *x, int cols, bool quads) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = 4 * (threadIdx.x + i * LANES), n = threadIdx.x < LANES ? cols - at : 0;
        if (quads)
            v[i] = n > 0 ? *(const float4 *)(x + at) : make_float4(0, 0, 0, 0);
        else
            v[i] = make_float4(n > 0 ? x[at] : 0.f, n > 1 ? x[at + 1] : 0.f, n > 2 ? x[at + 2] : 0.f, n > 3 ? x[at + 3] : 0.f);
    }
}

template <int LANES, int V> __device__ __forceinline__ void store_row(const float4 (&v)[V], float *out, int cols, bool quads) {
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = 4 * (threadIdx.x + i * LANES), n = threadIdx.x < LANES ? cols - at : 0;
        if (quads) {
            if (n > 0) *(float4 *)(out + at) = v[i];
        } else {
            if (n > 0) out[at] = v[i].x;
            if (n > 1) out[at + 1] = v[i].y;
            if (n > 2) out[at + 2] = v[i].z;
            if (n > 3) out[at + 3] = v[i].w;
        }
    }
}

// Coded is where the codes of a row go, and how many, zeros behind the row included. One after another; or, up to 16 rows, in
// the order in which the lanes of ternary_few.cu read them: [inputs/128][rows/8][half of a lane's 32 inputs][lane][16]; or, so
// many rows at a time, in units of 16 inputs as ternary_batch.cu and ternary_wide.cu read them: [inputs/16][rows][16]. Of 128
// inputs, unit u has those of the quads u, u + 8, u + 16 and u + 24, which the four lanes of a weight tile hold (ternary.cuh).
struct Coded {
    int8_t *q; // of this row; nullptr: nowhere
    int count, rows;

    __device__ __forceinline__ bool inLanes() const { return rows <= 16; }

    // shape is the count, and 2^32 times the rows of lanes or units.
    __device__ __forceinline__ Coded(int8_t *all, int64_t shape, int64_t row) : count((int)shape), rows((int)(shape >> 32)) {
        q = all;
        if (!all) return;
        if (!rows)
            q += row * count;
        else if (inLanes())
            q += (uint32_t)row / 8 * 1024 + (uint32_t)row % 8 * 64;
        else
            q += (int64_t)((uint32_t)row / rows * rows) * count + (uint32_t)row % rows * 16;
    }

    // put writes quad `at` to its lane or unit; whole warps call it, with 32 quads that follow
    // each other.
    __device__ __forceinline__ void put(int at, uint32_t word) const {
        if (inLanes()) {
            *(uint32_t *)(q + at / 32 * (rows * 128) + (at / 4 & 1) * 512 + (at / 8 & 3) * 16 + (at & 3) * 4) = word;
            return;
        }
        const int lane = at & 31;
        uint32_t unit[4];
#pragma unroll
        for (int t = 0; t < 4; t++) unit[t] = __shfl_sync(0xffffffffu, word, (lane & 7) + 8 * t);
        if (lane < 8) *(uint4 *)(q + (at / 32 * 8 + lane) * rows * 16) = make_uint4(unit[0], unit[1], unit[2], unit[3]);
    }
};

// norm_row normalizes v with weights w (normed false: not), writes it to out (nullptr:
// not) and quantizes it (nowhere: not); s and sum become the row's scale and the sum of its
// codes, for every thread.
template <int LANES, int V>
__device__ __forceinline__ void norm_row(float4 (&v)[V], bool normed, const float4 (&w)[V], double inverse, float eps, int cols, float *out,
                                         const Coded &coded, NormScratch &scratch, float &s, int32_t &sum) {
    if (normed) {
        float squares[V];
#pragma unroll
        for (int i = 0; i < V; i++) squares[i] = square_of(v[i]);
        float scale = norm_scale(squares_sum<LANES, V>(squares, scratch.sums), inverse, eps);
        // Zeros beyond the row would not stay so with an infinite scale.
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = first_of(scaled(v[i], scale, w[i]), cols - 4 * (int)(threadIdx.x + i * LANES));
    }
    if (out) store_row<LANES, V>(v, out, cols, by_quads(out, 0, cols));
    if (!coded.q) return;
    const bool mine = threadIdx.x < LANES;
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++)
        if (mine) top = most_of(top, v[i]);
    top = lanes_max<LANES>(top, scratch.tops);
    s = scale_for(top);
    int32_t total = 0;
    uint32_t words[V];
#pragma unroll
    for (int i = 0; i < V; i++) {
        words[i] = codes_of(v[i], s, top);
        if (mine && (int)threadIdx.x + i * LANES < coded.count / 4) total = sum_codes(total, words[i]);
    }
    if (mine && !coded.rows) {
#pragma unroll
        for (int i = 0; i < V; i++)
            if (int at = threadIdx.x + i * LANES; at < coded.count / 4) ((uint32_t *)coded.q)[at] = words[i];
        for (int at = threadIdx.x + V * LANES; at < coded.count / 4; at += LANES) ((uint32_t *)coded.q)[at] = 0;
    } else if (mine) {
#pragma unroll
        for (int i = 0; i < V; i++)
            if (int at = threadIdx.x + i * LANES; at < coded.count / 4) coded.put(at, words[i]);
        for (int at = threadIdx.x + V * LANES; at < coded.count / 4; at += LANES) coded.put(at, 0);
    }
    sum = lanes_sum<LANES>(total, scratch.ints);
}
