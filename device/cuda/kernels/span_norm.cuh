// How a row becomes codes, as norm_row does it, and how they get to all CTAs.
#pragma once
#include "span.cuh"

// make_codes normalizes and quantizes a row, which stands in the room (awaited) or is plain
// memory, into codes in shared memory, and tells them (to nullptr: not). V quads a thread. Threads
// do not end together; the sum of the codes is still in pieces in sh.norm.ints.
template <int V>
__device__ __forceinline__ void make_codes(SpanShared &sh, const Way &w, float &scale, const uint32_t *src, bool awaited, const SpanNorm &n, uint32_t *to, uint32_t *codes) {
    static_assert(spanThreads == normPlaces, "a thread has a place");
    const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, fours = w.cols / 4;
    const uint4 *from = (const uint4 *)src;
    float4 weight[V], v[V];
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
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = make_float4(__uint_as_float(raw[i].x), __uint_as_float(raw[i].y), __uint_as_float(raw[i].z), __uint_as_float(raw[i].w));
    if (n.weight) {
        float squares[V];
#pragma unroll
        for (int i = 0; i < V; i++) squares[i] = square_of(v[i]);
        Part sum = warp_part(pairs_sum<V>(squares));
        if (lane == 0) sh.norm.sums[warp] = sum;
        meet();
        float factor = norm_scale(parts_total<spanWarps>(sh.norm.sums), w.inverse, n.eps);
#pragma unroll
        for (int i = 0; i < V; i++)
            if (tid + i * spanThreads < fours) v[i] = scaled(v[i], factor, weight[i]);
    }
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++) top = most_of(top, v[i]);
    top = __reduce_max_sync(0xffffffffu, top);
    if (lane == 0) sh.norm.tops[warp] = top;
    meet();
    top = __reduce_max_sync(0xffffffffu, sh.norm.tops[lane & (spanWarps - 1)]);
    scale = scale_for(top);
    int32_t total = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        int at = tid + i * spanThreads;
        if (at >= w.stride / 4) break;
        uint32_t word = codes_of(v[i], scale, top);
        total = sum_codes(total, word);
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
