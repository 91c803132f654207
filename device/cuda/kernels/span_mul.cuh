// Products of a CTA's tiles with the row's codes, and what becomes of them.
#pragma once
#include "span.cuh"

// Ends is what a thread knows of its outputs, g and g + 8 of tile m.
struct Ends {
    int m, g, c0, c1; // c0, c1: columns; -1: padding
    float2 scale, factor;

    __device__ __forceinline__ Ends(const SpanShared &sh, int thread, int block, int layer) {
        m = thread >> 3, g = thread & 7;
        c0 = sh.columns[layer][m * 16 + g], c1 = sh.columns[layer][m * 16 + g + 8];
        scale = sh.scales[block & 1][layer][m], factor = sh.factors[block & 1][layer][m];
    }

    // finish gives both outputs of a row with that scale, and makes the sums of products zero again.
    __device__ __forceinline__ float2 finish(SpanShared &sh, float s) const {
        const int4 *ints = (const int4 *)sh.norm.ints;
        int sum = 0;
#pragma unroll
        for (int i = 0; i < spanWarps / 4; i++) sum += (ints[i].x + ints[i].y) + (ints[i].z + ints[i].w);
        int32_t *r = sh.red + m * 16 + g;
        const int lo = r[0] - sum, hi = (r[8] >> 2) - sum;
        r[0] = r[8] = 0;
        const float inverse = __frcp_rn(s);
        return make_float2(__fmul_rn(__fmul_rn(quotient((float)lo, s, inverse), scale.x), factor.x),
                           __fmul_rn(__fmul_rn(quotient((float)hi, s, inverse), scale.y), factor.y));
    }
};

// dot_u8s8 adds four products of bytes to sum.
__device__ __forceinline__ int dot_u8s8(int sum, uint32_t a, uint32_t b) {
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

// multiply adds the products of a warp's share of the tiles and one row to sh.red. The CUDA
// cores do it faster than the tensor cores, which would work for eight rows.
__device__ __forceinline__ void multiply(const int lane, SpanShared &sh, int chunks, const int4 share, const uint4 *weights, uint64_t *arrived, uint32_t parity, const int8_t *codes) {
    const int g = lane >> 2, t = lane & 3;
    int left = share.x, m = share.y, c = share.z;
    weights += share.w * 32 + lane;
    const uint4 *x = (const uint4 *)codes + 2 * t;
    int32_t *red = &sh.red[m * 16 + g + 8 * (t & 1)];
#pragma unroll 1
    while (left > 0) {
        int lo[2] = {}, hi[2] = {};
        const int n = min(left, chunks - c);
        const uint4 *from = x + 8 * c;
        barrier_wait(&arrived[m], parity);
#pragma unroll 2
        for (int i = 0; i < n; i++) {
            const uint4 w = weights[i * 32], a = from[8 * i], b = from[8 * i + 1];
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
        }
        const int l = lo[0] + (lo[1] >> 4), h = hi[0] + (hi[1] >> 4);
        // Lanes with even t keep output g, the others g + 8.
        int keep = t & 1 ? h : l, give = t & 1 ? l : h;
        keep += __shfl_xor_sync(0xffffffffu, give, 1);
        keep += __shfl_xor_sync(0xffffffffu, keep, 2);
        if (t < 2) atomicAdd(red, keep);
        weights += n * 32, left -= n, c = 0, m++, red += 16;
    }
}
