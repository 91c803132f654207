// Products of a CTA's tiles with the codes of a few rows, and what becomes of them.
#pragma once
#include "span_few.cuh"
#include "span_mul.cuh"

__device__ __forceinline__ bool any_uncoded(uint4 v) { return v.x == uncoded || v.y == uncoded || v.z == uncoded || v.w == uncoded; }

// take_codes waits until the codes of all rows are to come soon, then for them, and copies them to shared memory, each with its tail. Threads do
// not end together.
__device__ __forceinline__ void take_codes(const int tid, const uint32_t *from, uint4 *codes, int words, int rows) {
    const int warp = tid >> 5, lane = tid & 31, warps = spanWarps / rows, row = warp / warps, quads = words / 4;
    if (warp == 0) {
        if (lane < rows) {
            const uint32_t *soon = from + lane * words + words - tailWords + soonWord;
            Patience patience;
            while (peek(soon) == uncoded) patience.lose();
        }
        __syncwarp();
    }
    meet();
    if (row >= rows) return;
    const uint4 *src = (const uint4 *)from + row * quads;
    uint4 *to = codes + row * quads;
    constexpr int most = 4;
#pragma unroll 1
    for (int at = (warp - row * warps) * 32 + lane; at < quads; at += most * warps * 32) {
        uint4 v[most];
#pragma unroll
        for (int i = 0; i < most; i++)
            if (int k = at + i * warps * 32; k < quads) v[i] = peek4(src + k);
#pragma unroll
        for (int i = 0; i < most; i++) {
            if (int k = at + i * warps * 32; k < quads) {
                Patience patience;
                while (any_uncoded(v[i])) patience.lose(), v[i] = peek4(src + k);
                to[k] = v[i];
            }
        }
    }
}

// FewEnds is what a thread knows of its outputs, g and g + 8 of tile m in a row, before the products are there.
struct FewEnds {
    int at;     // of the first output among the sums
    int c0, c1; // columns; -1: padding
    int sum;    // of the codes
    float s, inverse;
    float2 scale, factor, was;

    __device__ __forceinline__ FewEnds(const FewShared &sh, int lane, int m, int block, int layer, const uint4 *tail) {
        const int g = lane >> 2;
        at = (m * 16 + g) * fewMost + (lane & 3);
        c0 = sh.columns[layer][m * 16 + g], c1 = sh.columns[layer][m * 16 + g + 8];
        scale = sh.scales[block & 1][layer][m], factor = sh.factors[block & 1][layer][m], was = sh.was[32 * m + lane];
        s = __uint_as_float(tail[0].x), inverse = __frcp_rn(s);
        sum = 0;
#pragma unroll
        for (int i = 0; i < spanWarps / 4; i++) {
            const uint4 v = tail[1 + i];
            sum += (int)(v.x + v.y + v.z + v.w);
        }
    }

    // finish gives both outputs, and makes the sums of products zero again.
    __device__ __forceinline__ float2 finish(FewShared &sh) const {
        int32_t *r = sh.red + at;
        const int lo = r[0] - sum, hi = (r[8 * fewMost] >> 2) - sum;
        r[0] = r[8 * fewMost] = 0;
        const float2 q = quotients((float)lo, (float)hi, s, inverse);
        return make_float2(__fmul_rn(__fmul_rn(q.x, scale.x), factor.x), __fmul_rn(__fmul_rn(q.y, scale.y), factor.y));
    }
};

// FewProducts is a warp's share of a layer's tiles: what can be known and read before the codes are there.
struct FewProducts {
    int left, m, c, chunks;
    const uint4 *weights;
    uint4 next;

    __device__ __forceinline__ FewProducts(int lane, const Way &w, const int4 share, const uint4 *tiles, uint64_t *arrived, uint32_t parity)
        : left(share.x), m(share.y), c(share.z), chunks(w.chunks), weights(tiles + share.w * 32 + lane) {
        barrier_wait(arrived, parity);
        next = left > 0 ? *weights : make_uint4(0, 0, 0, 0);
    }

    // multiply adds the products with the rows, whose codes lie so many bytes apart, to sh.red.
    __device__ __forceinline__ void multiply(int lane, FewShared &sh, const int8_t *codes, int apart, int rows) {
        if (left <= 0) return;
        const int g = lane >> 2, t = lane & 3;
        const bool mine = g < rows, keeps = 2 * t < rows;
        const uint4 *x = (const uint4 *)(codes + (mine ? g : 0) * apart) + 2 * t + 8 * c;
        int32_t *red = &sh.red[(m * 16 + g) * fewMost + 2 * t];
        uint4 a = make_uint4(0, 0, 0, 0), b = a;
        if (mine) a = x[0], b = x[1];
#pragma unroll 1
        for (; left > 0; red += 16 * fewMost) {
            int n = min(left, chunks - c), one[4] = {}, two[4] = {};
            left -= n, c = 0;
#pragma unroll 1
            do {
                Codes near, far;
                near.unpack(next.x, next.y), far.unpack(next.z, next.w);
                weights += 32, next = *weights; // behind the last ones is something, too
                mma_u8s8(one, near.a[0][0], near.a[0][1], near.a[0][2], near.a[0][3], a.x, a.y);
                mma_u8s8(two, near.a[1][0], near.a[1][1], near.a[1][2], near.a[1][3], a.z, a.w);
                mma_u8s8(one, far.a[0][0], far.a[0][1], far.a[0][2], far.a[0][3], b.x, b.y);
                mma_u8s8(two, far.a[1][0], far.a[1][1], far.a[1][2], far.a[1][3], b.z, b.w);
                x += --n > 0 ? 8 : left > 0 ? 8 - 8 * chunks : 0; // the next tile begins with the first codes
                if (mine) a = x[0], b = x[1];
            } while (n > 0);
            if (keeps) {
                atomicAdd(red, one[0] + two[0]), atomicAdd(red + 1, one[1] + two[1]);
                atomicAdd(red + 8 * fewMost, one[2] + two[2]), atomicAdd(red + 8 * fewMost + 1, one[3] + two[3]);
            }
        }
    }
};
