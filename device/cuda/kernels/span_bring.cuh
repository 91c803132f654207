// What both span kernels let come, in the same way: the words of blocks and scales; how weights are cut.
#pragma once
#include "span.cuh"

// begin_block lets the next block's words come. One warp calls it.
__device__ __forceinline__ void begin_block(SpanBlock &to, const SpanBlock *from, int lane) {
    for (int i = lane; i < (int)sizeof(SpanBlock) / 8; i += 32) copy8((uint64_t *)&to + i, (const uint64_t *)from + i);
}

// begin_scales lets the scales of a layer's tiles come: of every by-th from the CTA's first one on. One warp calls it.
template <typename Shared, typename By> __device__ __forceinline__ void begin_scales(Shared &sh, int block, int layer, By by) {
    const Way &w = sh.way[layer];
    const SpanLayer &l = sh.block[block & 1].layer[layer];
    const int lane = threadIdx.x & 31;
    if (lane >= w.n) return;
    int tile = w.first + lane * by;
    copy8(&sh.scales[block & 1][layer][lane], l.scale + 2 * tile);
    if (l.factor)
        copy8(&sh.factors[block & 1][layer][lane], l.factor + 2 * tile);
    else
        sh.factors[block & 1][layer][lane] = make_float2(1, 1);
}

// share_of cuts a layer's products into equal pieces, one a warp.
__device__ __forceinline__ int4 share_of(const Way &w, int warp) {
    const int all = w.n * w.chunks, each = (all + spanWarps - 1) / spanWarps, first = min(all, warp * each), tile = first / w.chunks;
    return make_int4(min(all, first + each) - first, tile, first - tile * w.chunks, first);
}

// Pieces are of weights, for the thread that lets them come: how many chunks it asks for at a time, and how often at once.
template <int CHUNKS, int OFTEN> struct Pieces {
    static constexpr int often = OFTEN;
    static_assert(often <= mostPieces);

    // bring lets a CTA's tiles of a layer come, every by-th from its first one on, and waits for them. asked and come count pieces.
    template <typename Shared, typename By> static __device__ __forceinline__ void bring(Shared &sh, const Way &w, const uint4 *from, By by, uint32_t &asked, uint32_t &come) {
        auto next = [&] { barrier_wait(&sh.piece[come % often], come / often & 1), come++; };
#pragma unroll 1
        for (int m = 0; m < w.n; m++) {
#pragma unroll 1
            for (int c = 0; c < w.chunks; c += CHUNKS) {
                if (asked - come == often) next();
                uint64_t *bar = &sh.piece[asked++ % often];
                const uint32_t bytes = (uint32_t)min(CHUNKS, w.chunks - c) * 512;
                barrier_expect(bar, bytes);
                bulk_copy(w.weights + (m * w.chunks + c) * 32, from + ((int64_t)(w.first + m * by) * w.chunks + c) * 32, bytes, bar);
            }
        }
        while (come != asked) next();
    }
};
