// build: sm_90a
// A row that decodes through a span of blocks in one kernel: see span.cuh.
#include "span_attend.cuh"
#include "span_bring.cuh"
#include "span_mul.cuh"
#include "span_norm.cuh"

__device__ __forceinline__ void load_block(SpanBlock &to, const SpanBlock *from) {
    if (threadIdx.x < sizeof(SpanBlock) / 8) ((uint64_t *)&to)[threadIdx.x] = ((const uint64_t *)from)[threadIdx.x];
}

using WeightPieces = Pieces<10, 2>;
constexpr int scaling = spanWarps - maxFinishers / 32 - 1; // the warp that lets scales come

// bring_weights is the work of one thread: all tiles of all blocks.
__device__ __forceinline__ void bring_weights(SpanShared &sh, const Span &a) {
    uint32_t asked = 0, come = 0;
#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int block = step >> 2, layer = step & 3;
        const Way &w = sh.way[layer];
        const uint4 *from = a.blocks[block].layer[layer].weights;
        if (block > 0) barrier_wait(&sh.used[layer], block + 1 & 1);
        WeightPieces::bring(sh, w, from, gridDim.x, asked, come);
        barrier_arrive(&sh.arrived[layer]);
    }
}

__device__ __forceinline__ void empty_words(const uint32_t *p, int words) {
    uint4 *to = (uint4 *)p;
#pragma unroll 4
    for (int k = threadIdx.x & 31; k < words / 4; k += 32) tell4(to + k, make_uint4(empty, empty, empty, empty));
}

// parts_of are the parts of attention in a block: those of even and odd ones stand behind the rows.
template <int D> __device__ __forceinline__ uint32_t *parts_of(const SpanShared &sh, const Span &a, int block) {
    return sh.way[3].dst + a.hidden + (block & 1) * (int)a.shape.heads * (int)a.maxChunks * (D + partWords);
}

// clean is the work of a warp of its own in some CTAs: it empties rows (the keeper's) and parts of heads that the CTA has
// folded, when it is told that all have used them, and says so.
template <int D> __device__ __forceinline__ void clean(SpanShared &sh, const Span &a, bool keeper, int firstFold) {
    const int kvHeads = (int)a.shape.kvHeads, group = (int)a.shape.heads / kvHeads, used = (sh.row.pos / CHUNK + 1) * (D + partWords);
    uint32_t jobs = 0;
#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int layer = step & 3;
        if (!keeper && layer != 1) continue;
        barrier_wait(&sh.posted, jobs++ & 1);
        // The row before the one that the CTA has just used: of this one, all have told all.
        const Way &before = sh.way[layer + 3 & 3];
        if (keeper) empty_words(before.src, before.cols);
        if (layer == 1) {
            if (keeper) empty_words(sh.way[0].dst, sh.way[0].out);
#pragma unroll 1
            for (int head = firstFold; head < kvHeads; head += gridDim.x)
#pragma unroll 1
                for (int h = head * group; h < (head + 1) * group; h++) empty_words(parts_of<D>(sh, a, step >> 2) + h * (int)a.maxChunks * (D + partWords), used);
        }
        fence_gpu();
        __syncwarp();
        if ((threadIdx.x & 31) == 0) barrier_arrive(&sh.cleaned);
    }
}

// Cleaner is the thread that tells that warp when to begin.
struct Cleaner {
    bool here, waits = false;
    uint32_t jobs = 0;

    // done waits for the last job.
    __device__ __forceinline__ void done(SpanShared &sh) {
        if (waits) barrier_wait(&sh.cleaned, jobs + 1 & 1);
        waits = false;
    }

    __device__ __forceinline__ void post(SpanShared &sh) {
        if (here) barrier_arrive(&sh.posted), jobs++, waits = true;
    }
};

// ways prepares sh.way: where things lie in the room, and who does what.
template <int D> __device__ __forceinline__ void ways(SpanShared &sh, const Span &a, uint4 *weights) {
    const Shape &s = a.shape;
    const int cols[4] = {(int)a.hidden, (int)s.heads * D, (int)a.hidden, (int)a.ffn};
    const int out[4] = {(int)(s.heads + 2 * s.kvHeads) * D, (int)a.hidden, (int)a.ffn, (int)a.hidden};
    const uint4 *begin = weights;
    for (int i = 0; i < 4; i++) {
        Way &w = sh.way[i];
        const SpanLayer &l = sh.block[0].layer[i];
        w.cols = cols[i], w.stride = (cols[i] + 127) / 128 * 128, w.out = out[i], w.chunks = (int)l.chunks;
        w.inverse = 1.0 / (double)cols[i];
        // Who has one tile more is another CTA for the layers that share the residual stream.
        int ctas = gridDim.x, from = i & 1 ? (int)sh.block[0].layer[2].tiles % ctas : 0, tiles = (int)l.tiles;
        w.first = ((int)blockIdx.x + ctas - from) % ctas;
        w.n = w.first < tiles ? (tiles - 1 - w.first) / ctas + 1 : 0;
        w.offset = (int)((uint8_t *)weights - (uint8_t *)begin);
        w.weights = weights, weights += (tiles + ctas - 1) / ctas * w.chunks * 32;
    }
    uint32_t *qkv = a.room, *att = qkv + out[0], *x1 = att + cols[1], *inner = x1 + out[1], *x0 = inner + out[2];
    sh.way[0].src = x0, sh.way[0].dst = qkv;
    sh.way[1].src = att, sh.way[1].dst = x1;
    sh.way[2].src = x1, sh.way[2].dst = inner;
    sh.way[3].src = inner, sh.way[3].dst = x0;
}

// bring_keys is the work of a warp of its own: keys and values for each unit of the CTA in each block. The memory
// must be free.
template <typename K, typename Each> __device__ __forceinline__ void bring_keys(SpanShared &sh, const Span &a, SpanAttention<K> &m, Each each) {
    uint32_t unit = 0;
#pragma unroll 1
    for (int block = 0; block < (int)a.count; block++) {
        const void *k = a.blocks[block].k, *v = a.blocks[block].v;
        each([&](int head, int chunk) {
            barrier_wait(&sh.keysFree, unit++ & 1);
            bring_unit<K>(a, k, v, sh.row, head, chunk, sh.unit, &sh.keysCome, m);
        });
    }
}

// each_unit calls f with the KV head and chunk of each piece of attention that is this CTA's.
template <typename F> __device__ __forceinline__ void each_unit(const SpanShared &sh, int kvHeads, F f) {
    const int chunks = sh.row.pos / CHUNK + 1;
#pragma unroll 1
    for (int unit = blockIdx.x; unit < chunks * kvHeads; unit += gridDim.x) f(unit / chunks, unit % chunks);
}

template <typename K> __device__ __forceinline__ void span(const Span &a) {
    constexpr int D = K::D;
    extern __shared__ uint4 shared[];
    __shared__ SpanShared sh;
    const int ctas = gridDim.x, cta = blockIdx.x, kvHeads = (int)a.shape.kvHeads;
    int8_t *codes = (int8_t *)shared;
    // Codes and attention have memory of their own: keys and values come while the CTA does other things.
    auto &attention = *(SpanAttention<K> *)((uint8_t *)shared + a.area - sizeof(SpanAttention<K>));
    // The last CTA, which has the fewest tiles, empties rows; those before it fold.
    const bool keeper = cta == ctas - 1;
    {
        const int tid = threadIdx.x;
        for (int i = tid; i < (int)(sizeof sh.red / 4); i += spanAll) sh.red[i] = 0;
        load_block(sh.block[0], a.blocks);
        __syncthreads();
        if (tid == 0) {
            for (int i = 0; i < 4; i++) {
                barrier_init(&sh.arrived[i]), barrier_init(&sh.used[i]);
            }
            for (int i = 0; i < WeightPieces::often; i++) barrier_init(&sh.piece[i]);
            barrier_init(&sh.posted), barrier_init(&sh.cleaned), barrier_init(&sh.keysFree, attending), barrier_init(&sh.keysCome);
            asm volatile("fence.proxy.async;" ::: "memory");
            ways<D>(sh, a, shared + a.area / 16);
        }
        __syncthreads();
    }
    // Weights come before the row is known.
    if (threadIdx.x / 32 != spanWarps) {
        pdl_wait();
        if (threadIdx.x == 0) sh.row = *a.row;
        asm volatile("bar.sync 4, %0;" ::"n"(spanAll - 32) : "memory");
    }
    const int firstFold = (2 * ctas - 2 - cta) % ctas; // of the heads that it folds
    const bool cleans = keeper || firstFold < kvHeads;
    if (threadIdx.x >= spanThreads) {
        const int warp = threadIdx.x >> 5;
        if (threadIdx.x == spanThreads) bring_weights(sh, a);
        if (warp == spanWarps + 1 && cleans) clean<D>(sh, a, keeper, firstFold);
        if (warp == spanWarps + 2) bring_keys<K>(sh, a, attention, [&](auto f) { each_unit(sh, kvHeads, f); });
        return;
    }
    for (int i = 0; i < 4; i++) {
        const int tid = threadIdx.x, warp = tid >> 5;
        if ((tid & 31) == 0) sh.share[i][warp] = share_of(sh.way[i], warp);
        if (warp == scaling) begin_scales(sh, 0, i, gridDim.x);
        const int32_t *map = sh.block[0].layer[i].map;
        for (int j = tid; j < 16 * sh.way[i].n; j += spanThreads) sh.columns[i][j] = (int16_t)map[16 * (sh.way[i].first + j / 16 * ctas) + j % 16];
    }
    meet();
    if (threadIdx.x < 8 * sh.way[1].n) {
        const int c0 = sh.columns[1][threadIdx.x / 8 * 16 + threadIdx.x % 8], c1 = sh.columns[1][threadIdx.x / 8 * 16 + threadIdx.x % 8 + 8];
        sh.was[threadIdx.x] = make_float2(c0 >= 0 ? a.x[c0] : 0.f, c1 >= 0 ? a.x[c1] : 0.f);
    }
    uint32_t unit = 0; // of attention
    if (threadIdx.x % 32 == 0 && threadIdx.x < 32 * attending) barrier_arrive(&sh.keysFree);
    Cleaner cleaner = {cleans && threadIdx.x == 32 * (scaling - 1)};

#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int block = step >> 2, layer = step & 3, tid = fresh_thread(), warp = tid >> 5;
        const bool last = block + 1 == (int)a.count;
        const Way &w = sh.way[layer];
        if (layer == 0 && !last && warp == scaling) begin_block(sh.block[block + 1 & 1], a.blocks + block + 1, tid & 31);
        const uint32_t *src = step == 0 ? (const uint32_t *)a.x : w.src;
        const SpanNorm &norm = sh.block[block & 1].norm[layer];
        Products products(tid & 31, sh, w, sh.share[layer][warp], shared + (a.area + w.offset) / 16, &sh.arrived[layer], block & 1);
        float scale;
        if (w.stride <= 8 * spanThreads)
            make_codes<2>(tid, sh, w, scale, src, step > 0, norm, (uint32_t *)codes);
        else
            make_codes<4>(tid, sh, w, scale, src, step > 0, norm, (uint32_t *)codes);
        if (warp == scaling) copies_done();
        meet();
        // What was emptied before must be so when this CTA tells its next results.
        cleaner.done(sh);
        if (keeper || layer == 1) cleaner.post(sh);
        products.multiply(tid & 31, sh, codes);
        const int finisher = spanThreads - 1 - tid, finishers = 8 * w.n;
        if (finisher < maxFinishers) {
            const Ends ends(sh, tid & 31, min(finisher, finishers - 1), block, layer, scale);
            added_all(true);
            if (finisher < finishers) {
                float2 y = ends.finish(sh);
                const int c0 = ends.c0, c1 = layer == 2 ? -1 : ends.c1;
                uint32_t *to = w.dst;
                if (layer & 1) {
                    sh.was[finisher] = y = make_float2(ends.was.x + y.x, ends.was.y + y.y);
                    if (layer == 3 && last) to = (uint32_t *)a.x;
                } else if (layer == 2) {
                    y.x = gate_of(y.x, y.y, a.act);
                }
                if (c0 >= 0) tell_value(to + c0, y.x);
                if (c1 >= 0) tell_value(to + c1, y.y);
                if (layer & 1) {
                    if (c0 >= 0) note_bad(a.bad, 0, (int)a.stage + block, c0, y.x);
                    if (c1 >= 0) note_bad(a.bad, 0, (int)a.stage + block, c1, y.y);
                }
            }
        } else {
            added_all(false);
        }
        if (warp == scaling && !last) begin_scales(sh, block + 1, layer, gridDim.x);
        if (finisher == 0) barrier_arrive(&sh.used[layer]);
        if (layer != 0) continue;

        uint32_t *parts = parts_of<D>(sh, a, block);
        each_unit(sh, kvHeads, [&](int head, int chunk) {
            attend_chunk<K>(Whole(), a, sh.block[block & 1], sh.row, head, chunk, sh.unit, &sh.keysCome, &sh.keysFree, unit++, w.dst, parts, attention);
        });
#pragma unroll 1
        for (int head = firstFold; head < kvHeads; head += ctas)
            fold_head<D>(a, head, warp, spanWarps, sh.row.pos / CHUNK + 1, parts, (uint32_t *)sh.way[1].src);
    }
}

extern "C" __global__ void __launch_bounds__(spanAll, 1) span_64(Span a) { span<Halves<64>>(a); }
extern "C" __global__ void __launch_bounds__(spanAll, 1) span_128(Span a) { span<Halves<128>>(a); }
extern "C" __global__ void __launch_bounds__(spanAll, 1) span_q8_64(Span a) { span<Bytes<64>>(a); }
extern "C" __global__ void __launch_bounds__(spanAll, 1) span_q8_128(Span a) { span<Bytes<128>>(a); }
