// Products of a CTA's tiles with the row's codes, and what becomes of them.
#pragma once
#include "span.cuh"

constexpr int maxFinishers = (8 * spanTiles + 31) / 32 * 32; // threads of the last warps

// quotients is quotient (ternary.cuh) of two.
__device__ __forceinline__ float2 quotients(float a, float b, float s, float inverse) {
    float p = __fmul_rn(a, inverse), q = __fmul_rn(b, inverse);
    if (!(fabsf(p) < 1e38f && fabsf(q) < 1e38f)) return make_float2(__fdiv_rn(a, s), __fdiv_rn(b, s));
    p = __fmaf_rn(__fmaf_rn(-p, s, a), inverse, p), q = __fmaf_rn(__fmaf_rn(-q, s, b), inverse, q);
    return make_float2(__fmaf_rn(__fmaf_rn(-p, s, a), inverse, p), __fmaf_rn(__fmaf_rn(-q, s, b), inverse, q));
}

// Ends is what a thread knows of its outputs, g and g + 8 of tile m, before the products are there. Those
// who finish belong to the last warps, which have the fewest products.
struct Ends {
    int at;     // of the first output among the sums
    int c0, c1; // columns; -1: padding
    int sum;    // of the codes
    float s, inverse;
    float2 scale, factor, was;

    __device__ __forceinline__ Ends(const SpanShared &sh, int lane, int finisher, int block, int layer, float s) : s(s) {
        const int m = finisher >> 3, g = finisher & 7;
        at = m * 16 + g;
        c0 = sh.columns[layer][at], c1 = sh.columns[layer][at + 8];
        scale = sh.scales[block & 1][layer][m], factor = sh.factors[block & 1][layer][m], was = sh.was[finisher];
        sum = __reduce_add_sync(0xffffffffu, lane < spanWarps ? sh.norm.ints[lane] : 0);
        inverse = __frcp_rn(s);
    }

    // finish gives both outputs, and makes the sums of products zero again.
    __device__ __forceinline__ float2 finish(SpanShared &sh) const {
        int32_t *r = sh.red + at;
        const int lo = r[0] - sum, hi = (r[8] >> 2) - sum;
        r[0] = r[8] = 0;
        const float2 q = quotients((float)lo, (float)hi, s, inverse);
        return make_float2(__fmul_rn(__fmul_rn(q.x, scale.x), factor.x), __fmul_rn(__fmul_rn(q.y, scale.y), factor.y));
    }
};

// added_all lets the finishing warps wait until all have added their products, and the others go on.
__device__ __forceinline__ void added_all(bool finishes) {
    if (finishes)
        asm volatile("bar.sync 2, %0;" ::"n"(spanThreads) : "memory");
    else
        asm volatile("bar.arrive 2, %0;" ::"n"(spanThreads) : "memory");
}

// dot_u8s8 adds four products of bytes to sum.
__device__ __forceinline__ int dot_u8s8(int sum, uint32_t a, uint32_t b) {
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

// Products is a warp's share of a layer's tiles: what can be known and read before the codes are there.
struct Products {
    int left, m, c, chunks;
    const uint4 *weights;
    uint4 next;

    __device__ __forceinline__ Products(int lane, SpanShared &sh, const Way &w, const int4 share, const uint4 *tiles, uint64_t *arrived, uint32_t parity)
        : left(share.x), m(share.y), c(share.z), chunks(w.chunks), weights(tiles + share.w * 32 + lane) {
        barrier_wait(arrived, parity);
        next = left > 0 ? *weights : make_uint4(0, 0, 0, 0);
    }

    // multiply adds the products with the row to sh.red. The CUDA cores do it faster than the tensor
    // cores, which would work for eight rows.
    __device__ __forceinline__ void multiply(int lane, SpanShared &sh, const int8_t *codes) {
        const int g = lane >> 2, t = lane & 3;
        const uint4 *x = (const uint4 *)codes + 2 * t + 8 * c;
        int32_t *red = &sh.red[m * 16 + g + 8 * (t & 1)];
#pragma unroll 1
        while (left > 0) {
            int lo[2] = {}, hi[2] = {};
            int n = min(left, chunks - c);
            left -= n, c = 0;
#pragma unroll 1
            do {
                const uint4 w = next, a = x[0], b = x[1];
                weights += 32, x += 8;
                if (n + left > 1) next = *weights;
                auto word = [&](uint32_t w, uint32_t near, uint32_t far) {
                    lo[0] = dot_u8s8(lo[0], w & 0x03030303u, near);
                    hi[0] = dot_u8s8(hi[0], w & 0x0c0c0c0cu, near);
                    lo[1] = dot_u8s8(lo[1], w & 0x30303030u, far); // 16 times as much
                    hi[1] = dot_u8s8(hi[1], w & 0xc0c0c0c0u, far);
                };
                word(w.x, a.x, a.z);
                word(w.y, a.y, a.w);
                word(w.z, b.x, b.z);
                word(w.w, b.y, b.w);
            } while (--n > 0);
            const int l = lo[0] + (lo[1] >> 4), h = hi[0] + (hi[1] >> 4);
            // Lanes with even t keep output g, the others g + 8.
            int keep = t & 1 ? h : l, give = t & 1 ? l : h;
            keep += __shfl_xor_sync(0xffffffffu, give, 1);
            keep += __shfl_xor_sync(0xffffffffu, keep, 2);
            if (t < 2) atomicAdd(red, keep);
            x -= 8 * chunks, red += 16;
        }
    }
};
