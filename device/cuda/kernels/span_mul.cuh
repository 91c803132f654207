// Products of a CTA's tiles with the codes of all rows, and what becomes of them.
#pragma once
#include "span.cuh"

// Place is where a thread stands among a layer's outputs: outputs g and g + 8 of tile m, of one row.
struct Place {
    int row, m, g;

    __device__ __forceinline__ Place(int n) {
        int pair = threadIdx.x / n;
        m = pair >> 3, g = pair & 7, row = threadIdx.x - pair * n;
    }

    // finish gives both outputs and makes the sums zero again.
    __device__ __forceinline__ float2 finish(SpanShared &sh, int block, int layer) const {
        int32_t *r = sh.red + (m * 16 + g) * spanRows + row;
        int sum = sh.sum[layer & 1][row], lo = r[0] - sum, hi = (r[8 * spanRows] >> 2) - sum;
        r[0] = r[8 * spanRows] = 0;
        float s = sh.scale[layer & 1][row];
        float2 scale = sh.scales[block & 1][layer][m], factor = sh.factors[block & 1][layer][m];
        return make_float2(__fmul_rn(__fmul_rn(__fdiv_rn((float)lo, s), scale.x), factor.x), __fmul_rn(__fmul_rn(__fdiv_rn((float)hi, s), scale.y), factor.y));
    }
};

// dot_u8s8 adds four products of bytes to sum.
__device__ __forceinline__ int dot_u8s8(int sum, uint32_t a, uint32_t b) {
    asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

// multiply_one adds the products of `tiles` tiles and one row to sh.red. The CUDA cores do it
// faster than the tensor cores, which would work for eight rows.
__device__ __forceinline__ void multiply_one(SpanShared &sh, const Way &way, uint64_t *arrived, uint32_t parity, const int8_t *codes) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const uint4 *weights = way.weights;
    const int chunks = way.chunks, all = way.n * chunks, each = (all + spanWarps - 1) / spanWarps, end = min(all, (warp + 1) * each);
    const uint4 *x = (const uint4 *)codes + 2 * t;
    int p = warp * each, m = p / chunks, c = p - m * chunks, lo[2] = {}, hi[2] = {};
    if (p < end) barrier_wait(&arrived[m], parity);
    auto word = [&](uint32_t w, uint32_t near, uint32_t far) {
        lo[0] = dot_u8s8(lo[0], w & 0x03030303u, near);
        hi[0] = dot_u8s8(hi[0], w & 0x0c0c0c0cu, near);
        lo[1] = dot_u8s8(lo[1], w & 0x30303030u, far); // 16 times as much
        hi[1] = dot_u8s8(hi[1], w & 0xc0c0c0c0u, far);
    };
#pragma unroll 1
    for (; p < end; p++) {
        uint4 w = weights[p * 32 + lane], a = x[8 * c], b = x[8 * c + 1];
        word(w.x, a.x, a.z);
        word(w.y, a.y, a.w);
        word(w.z, b.x, b.z);
        word(w.w, b.y, b.w);
        if (++c < chunks && p + 1 < end) continue;
        int l = lo[0] + (lo[1] >> 4), h = hi[0] + (hi[1] >> 4);
        l += __shfl_xor_sync(0xffffffffu, l, 1), h += __shfl_xor_sync(0xffffffffu, h, 1);
        l += __shfl_xor_sync(0xffffffffu, l, 2), h += __shfl_xor_sync(0xffffffffu, h, 2);
        if (t == 0) atomicAdd(&sh.red[(m * 16 + g) * spanRows], l);
        if (t == 1) atomicAdd(&sh.red[(m * 16 + g + 8) * spanRows], h);
        lo[0] = lo[1] = hi[0] = hi[1] = 0, c = 0, m++;
        if (p + 1 < end) barrier_wait(&arrived[m], parity);
    }
}

// multiply_few is the same for up to eight rows, on the tensor cores.
__device__ __forceinline__ void multiply_few(SpanShared &sh, const Way &way, uint64_t *arrived, uint32_t parity, const int8_t *codes, int n) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const uint4 *weights = way.weights;
    const int chunks = way.chunks, all = way.n * chunks, each = (all + spanWarps - 1) / spanWarps, end = min(all, (warp + 1) * each);
    const uint4 *x = (const uint4 *)(codes + (g < n ? g : 0) * way.stride) + 2 * t;
    int p = warp * each, m = p / chunks, c = p - m * chunks, acc[2][4] = {};
    if (p < end) barrier_wait(&arrived[m], parity);
#pragma unroll 1
    for (; p < end; p++) {
        uint4 w = weights[p * 32 + lane], a = make_uint4(0, 0, 0, 0), b = a;
        if (g < n) a = x[8 * c], b = x[8 * c + 1];
        Codes q;
        q.unpack(w.x, w.y);
        mma_u8s8(acc[0], q.a[0][0], q.a[0][1], q.a[0][2], q.a[0][3], a.x, a.y);
        mma_u8s8(acc[1], q.a[1][0], q.a[1][1], q.a[1][2], q.a[1][3], a.z, a.w);
        q.unpack(w.z, w.w);
        mma_u8s8(acc[0], q.a[0][0], q.a[0][1], q.a[0][2], q.a[0][3], b.x, b.y);
        mma_u8s8(acc[1], q.a[1][0], q.a[1][1], q.a[1][2], q.a[1][3], b.z, b.w);
        if (++c < chunks && p + 1 < end) continue;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = 2 * t + (i & 1);
            if (row < n) atomicAdd(&sh.red[(m * 16 + g + 8 * (i >> 1)) * spanRows + row], acc[0][i] + acc[1][i]);
            acc[0][i] = acc[1][i] = 0;
        }
        c = 0, m++;
        if (p + 1 < end) barrier_wait(&arrived[m], parity);
    }
}
