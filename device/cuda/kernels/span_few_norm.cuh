// How a normalizer makes codes of its row, as norm_row does it.
#pragma once
#include "span_few.cuh"
#include "span_norm.cuh"

// tell_codes normalizes and quantizes a row, which stands in the room (awaited) or is plain memory. V quads a thread.
template <int V>
__device__ __forceinline__ void tell_codes(const int tid, FewShared &sh, const Way &w, const uint32_t *src, bool awaited, const SpanNorm &n, uint32_t *codes, Sweeper &sweeper) {
    static_assert(spanThreads == normPlaces, "a thread has a place");
    const int warp = tid >> 5, lane = tid & 31, fours = w.cols / 4, quads = w.stride / 4;
    const uint4 *from = (const uint4 *)src + tid;
    float4 weight[V], v[V];
    norm_weights(weight, tid, fours, n);
    read_quads(v, tid, fours, from, awaited);
    norm_quads(v, weight, tid, fours, sh.norm, w, n);
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++) top = most_of(top, v[i]);
    top = __reduce_max_sync(0xffffffffu, top);
    if (lane == 0) sh.norm.tops[warp] = top;
    // Workers that look now find codes that are just being told.
    if (tid == spanThreads - 32) tell(codes + quads + soonWord, 0);
    // What was emptied before must be so when these codes are told.
    sweeper.done(sh);
    meet();
    sweeper.post(sh);
    top = __reduce_max_sync(0xffffffffu, sh.norm.tops[lane & (spanWarps - 1)]);
    const float scale = scale_for(top);
    int32_t total = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = tid + i * spanThreads;
        if (at >= quads) break;
        const uint32_t word = codes_of(v[i], scale, top);
        total = sum_codes(total, word);
        tell(codes + at, word);
    }
    total = __reduce_add_sync(0xffffffffu, total);
    uint32_t *tail = codes + quads;
    if (lane == 0) tell(tail + 4 + warp, (uint32_t)total);
    if (tid < 4 && tid != soonWord) tell(tail + tid, tid ? 0 : __float_as_uint(scale));
}

// normalize is the work of the normalizer of a row.
template <int D> __device__ __forceinline__ void normalize(FewShared &sh, const SpanFew &few, int row) {
    const Span &a = few.span;
    if (threadIdx.x >= spanThreads) {
        if (threadIdx.x >> 5 != spanWarps) return;
        sweep(sh, 4 * (int)a.count, [&](int step) {
            // All have told what they made of the codes before: nobody reads these any more, nor the row, which this
            // CTA alone reads; and where attention is over, nobody reads queries, keys and values.
            const int layer = step & 3, last = layer + 3 & 3;
            const Way &w = sh.way[layer], &before = sh.way[last];
            fill_words((uint32_t *)w.src + row * w.cols, w.cols, empty);
            fill_words(sh.codes[last] + row * code_words(before), code_words(before), uncoded);
            if (layer == 1) fill_words(sh.way[0].dst + row * sh.way[0].out, sh.way[0].out, empty);
        });
        return;
    }
    Sweeper sweeper = {threadIdx.x == spanThreads - 32};
#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int layer = step & 3, tid = fresh_thread();
        const Way &w = sh.way[layer];
        const SpanNorm n = a.blocks[step >> 2].norm[layer];
        const uint32_t *src = (step == 0 ? (const uint32_t *)a.x : w.src) + row * w.cols;
        uint32_t *codes = sh.codes[layer] + row * code_words(w);
        if (w.stride <= 8 * spanThreads)
            tell_codes<2>(tid, sh, w, src, step > 0, n, codes, sweeper);
        else
            tell_codes<4>(tid, sh, w, src, step > 0, n, codes, sweeper);
    }
}
