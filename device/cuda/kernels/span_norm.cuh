// How a row becomes codes, as norm_row does it, and how they get to all CTAs.
#pragma once
#include "span.cuh"

// squares is the sum of the squares of a row in shared memory, in the order of norm_row: two
// threads share one of its lanes, one having the even values and one the odd ones.
template <int V> __device__ __forceinline__ double squares(SpanShared &sh, const float *x, int cols, double *odd) {
    const int l = threadIdx.x & (normLanes - 1), half = threadIdx.x / normLanes;
    float v[4 * V];
#pragma unroll
    for (int i = 0; i < 4 * V; i++) {
        int at = l + (2 * i + half) * normLanes;
        v[i] = at < cols ? x[at] : 0.f;
    }
    double parts[2] = {};
#pragma unroll
    for (int i = 0; i < 4 * V; i++) parts[i & 1] += (double)__fmul_rn(v[i], v[i]);
    double part = parts[0] + parts[1];
    if (half) odd[l] = part;
    meet();
    if (!half) {
        part = warp_sum(part + odd[l]);
        if ((threadIdx.x & 31) == 0) sh.norm.sums[threadIdx.x >> 5] = part;
    }
    meet();
    return pairs_sum<normLanes / 32>(sh.norm.sums);
}

// make_codes normalizes and quantizes a row, which stands in the room (awaited) or is plain
// memory, into codes in shared memory, and tells them (to nullptr: not). stage is room for the
// row as it comes, odd for 256 sums. V times four values a thread. Threads do not end together; the sum of the
// codes is still in pieces in sh.norm.ints.
template <int V>
__device__ __forceinline__ void make_codes(SpanShared &sh, const Way &w, float &scale, const uint32_t *src, bool awaited, const SpanNorm &n, uint32_t *to, uint32_t *codes,
                                           float *stage, double *odd) {
    const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, fours = w.cols / 4;
    const uint4 *from = (const uint4 *)src;
    float4 weight[V];
    uint4 raw[V];
    if (n.weight) {
#pragma unroll
        for (int i = 0; i < V; i++)
            if (int at = tid + i * spanThreads; at < fours) weight[i] = ((const float4 *)n.weight)[at];
    }
    if (awaited && warp * 32 < fours) await_first(from + warp * 32, empty);
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = tid + i * spanThreads;
        raw[i] = at < fours ? peek4(from + at) : make_uint4(0, 0, 0, 0);
    }
    if (awaited) {
#pragma unroll
        for (int i = 0; i < V; i++) raw[i] = await_four(from + tid + i * spanThreads, raw[i], empty);
    }
    if (n.weight) {
#pragma unroll
        for (int i = 0; i < V; i++)
            if (int at = tid + i * spanThreads; at < fours) ((uint4 *)stage)[at] = raw[i];
        meet();
        float factor = norm_scale(squares<V>(sh, stage, w.cols, odd), w.inverse, n.eps);
        auto by = [&](uint32_t &v, float weight) { v = __float_as_uint(__fmul_rn(__fmul_rn(__uint_as_float(v), factor), weight)); };
#pragma unroll
        for (int i = 0; i < V; i++) by(raw[i].x, weight[i].x), by(raw[i].y, weight[i].y), by(raw[i].z, weight[i].z), by(raw[i].w, weight[i].w);
    }
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++)
        if (tid + i * spanThreads < fours) top = __vimax3_u32(__vimax3_u32(top, raw[i].x & 0x7fffffffu, raw[i].y & 0x7fffffffu), raw[i].z & 0x7fffffffu, raw[i].w & 0x7fffffffu);
    top = __reduce_max_sync(0xffffffffu, top);
    if (lane == 0) sh.norm.tops[warp] = top;
    meet();
    top = __reduce_max_sync(0xffffffffu, sh.norm.tops[lane & (spanWarps - 1)]);
    scale = scale_for(top);
    // Adding 1.5·2^23 rounds to an integer as code_of does, and leaves it in the low bits.
    int32_t total = 0;
    const bool none = top >= 0x7f800000u;
    auto code = [&](uint32_t v) { return __float_as_uint(__fadd_rn(__fmul_rn(__uint_as_float(v), scale), 12582912.f)); };
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = tid + i * spanThreads;
        if (at >= w.stride / 4) break;
        uint32_t word = __byte_perm(__byte_perm(code(raw[i].x), code(raw[i].y), 0x0040), __byte_perm(code(raw[i].z), code(raw[i].w), 0x0040), 0x5410);
        if (none || at >= fours) word = 0;
        total = __dp4a((int)word, 0x01010101, total);
        codes[at] = word;
        if (to) tell(to + at, word);
    }
    total = __reduce_add_sync(0xffffffffu, total);
    if (lane == 0) sh.norm.ints[warp] = total;
}

// take_codes brings the codes of n rows to shared memory, but for the row that is there
// already (own; -1: none).
__device__ __forceinline__ void take_codes(const Way &w, int n, int own, int8_t *to) {
    const int words = w.stride / 16, first = threadIdx.x & ~31;
#pragma unroll 1
    for (int row = 0; row < n; row++) {
        if (row == own || first >= words) continue;
        const uint4 *from = (const uint4 *)(w.codes + row * (w.stride / 4 + 4));
        await_first(from + first, emptyCodes);
#pragma unroll 1
        for (int at = threadIdx.x; at < words; at += spanThreads) ((uint4 *)(to + row * w.stride))[at] = await_four(from + at, peek4(from + at), emptyCodes);
    }
}

// take_sums does the same for scales and sums of the rows, and finishes and tells those of the
// own one (scale), which all warps have made. One warp calls it.
__device__ __forceinline__ void take_sums(SpanShared &sh, int turn, const Way &w, int n, int own, float scale, bool share) {
    const int lane = threadIdx.x & 31;
    if (own >= 0) {
        int32_t sum = __reduce_add_sync(0xffffffffu, lane < spanWarps ? sh.norm.ints[lane] : 0);
        if (lane == 0) {
            sh.scale[turn][own] = scale, sh.sum[turn][own] = sum;
            if (share) {
                uint32_t *to = w.codes + own * (w.stride / 4 + 4) + w.stride / 4;
                tell(to, __float_as_uint(scale));
                tell(to + 1, (uint32_t)sum);
            }
        }
    }
    if (lane < n && lane != own) {
        const uint32_t *at = w.codes + lane * (w.stride / 4 + 4) + w.stride / 4;
        uint32_t s, sum;
        Patience patience;
        while ((s = peek(at)) == emptyCodes || (sum = peek(at + 1)) == emptyCodes) patience.lose();
        sh.scale[turn][lane] = __uint_as_float(s), sh.sum[turn][lane] = (int32_t)sum;
    }
}
