// build: sm_90a
// A few rows that decode through a span of blocks in one kernel: see span_few.cuh.
#include "span_bring.cuh"
#include "span_few_mul.cuh"
#include "span_few_norm.cuh"

using WeightPieces = Pieces<8, 4>;
constexpr int scaling = spanWarps - spanTiles - 1; // the warp that lets scales come; those behind it finish a tile each

// bring_weights is the work of one thread: all tiles of all blocks. Those of the down layer come when attention is over.
__device__ __forceinline__ void bring_weights(FewShared &sh, const Span &a, int workers) {
    uint32_t asked = 0, come = 0;
#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int block = step >> 2, layer = step & 3;
        const Way &w = sh.way[layer];
        const uint4 *from = a.blocks[block].layer[layer].weights;
        if (layer == 3) {
            barrier_wait(&sh.attended, block & 1);
            asm volatile("fence.proxy.async;" ::: "memory");
        } else if (block > 0) {
            barrier_wait(&sh.used[layer], block + 1 & 1);
        }
        WeightPieces::bring(sh, w, from, workers, asked, come);
        barrier_arrive(&sh.arrived[layer]);
    }
}

// parts_of are the parts of attention of a row in a block: those of even and odd blocks stand behind the rows.
template <int D> __device__ __forceinline__ uint32_t *parts_of(const FewShared &sh, const Span &a, int block, int row) {
    return sh.way[3].dst + fewMost * a.hidden + ((block & 1) * fewMost + row) * (int)a.shape.heads * (int)a.maxChunks * (D + partWords);
}

// ways prepares sh.way: where things lie in the room and in shared memory, and who does what.
template <int D> __device__ __forceinline__ void ways(FewShared &sh, const SpanFew &few, uint4 *shared, int workers) {
    const Span &a = few.span;
    const Shape &s = a.shape;
    const int cols[4] = {(int)a.hidden, (int)s.heads * D, (int)a.hidden, (int)a.ffn};
    const int out[4] = {(int)(s.heads + 2 * s.kvHeads) * D, (int)a.hidden, (int)a.ffn, (int)a.hidden};
    uint32_t *codes = few.codes;
    int offset = (int)(a.area + few.wide);
    for (int i = 0; i < 4; i++) {
        Way &w = sh.way[i];
        const SpanLayer &l = sh.block[0].layer[i];
        w.cols = cols[i], w.stride = (cols[i] + 127) / 128 * 128, w.out = out[i], w.chunks = (int)l.chunks;
        w.inverse = 1.0 / (double)cols[i];
        // Who has one tile more is another CTA for the layers that share the residual stream.
        int from = i & 1 ? (int)sh.block[0].layer[2].tiles % workers : 0, tiles = (int)l.tiles;
        w.first = ((int)blockIdx.x + workers - from) % workers;
        w.n = w.first < tiles ? (tiles - 1 - w.first) / workers + 1 : 0;
        const int most = (tiles + workers - 1) / workers * w.chunks * 32;
        w.offset = i < 3 ? offset : (int)a.area;
        w.weights = shared + w.offset / 16;
        sh.at[i] = i < 3 ? 0 : (int)a.area + most * 16;
        offset += most * 16;
        sh.codes[i] = codes, codes += fewMost * code_words(w);
    }
    uint32_t *qkv = a.room, *att = qkv + fewMost * out[0], *x1 = att + fewMost * cols[1], *inner = x1 + fewMost * out[1], *x0 = inner + fewMost * out[2];
    sh.way[0].src = x0, sh.way[0].dst = qkv;
    sh.way[1].src = att, sh.way[1].dst = x1;
    sh.way[2].src = x1, sh.way[2].dst = inner;
    sh.way[3].src = inner, sh.way[3].dst = x0;
}

// each_unit calls f with row, KV head and chunk of pieces of attention: the first one, and every by-th behind it.
template <typename F> __device__ __forceinline__ void each_unit(const FewShared &sh, int rows, int kvHeads, int unit, int by, F f) {
#pragma unroll 1
    for (int row = 0; row < rows; row++) {
        const int chunks = sh.row[row].pos / CHUNK + 1, n = chunks * kvHeads;
#pragma unroll 1
        for (; unit < n; unit += by) f(row, unit / chunks, unit % chunks);
        unit -= n;
    }
}

// Half is a team of half of a CTA's threads.
struct Half {
    int half;
    static constexpr int threads = spanThreads / 2;
    static_assert(threads == 32 * attending, "all of them attend");
    __device__ __forceinline__ int thread() const { return fresh_thread() % threads; }
    __device__ __forceinline__ void together() const { asm volatile("bar.sync %0, %1;" ::"r"(3 + half), "n"(threads) : "memory"); }
    __device__ __forceinline__ void scored() const { together(); }
};

// work is what a worker does.
template <typename K> __device__ __forceinline__ void work(FewShared &sh, const SpanFew &few, uint4 *shared, int workers) {
    constexpr int D = K::D;
    const Span &a = few.span;
    const int cta = blockIdx.x, kvHeads = (int)a.shape.kvHeads, rows = (int)few.rows;
    auto *attention = (SpanAttention<K> *)(shared + a.area / 16); // of both halves
    // The last CTAs, which have the fewest tiles and pieces of attention, fold.
    const int firstFold = workers - 1 - cta;
    const bool folds = firstFold < rows * kvHeads;
    if (threadIdx.x >= spanThreads) {
        const int warp = threadIdx.x >> 5, half = warp - spanWarps - 1;
        if (threadIdx.x == spanThreads) bring_weights(sh, a, workers);
        if (half == 0 || half == 1) {
            uint32_t unit = 0;
#pragma unroll 1
            for (int block = 0; block < (int)a.count; block++) {
                const void *k = a.blocks[block].k, *v = a.blocks[block].v;
                bool first = true;
                each_unit(sh, rows, kvHeads, cta + half * workers, 2 * workers, [&](int row, int head, int chunk) {
                    if (first && block > 0) barrier_wait(&sh.used[3], block + 1 & 1);
                    if (unit > 0) barrier_wait(&sh.keysFree[half], unit + 1 & 1);
                    unit++, first = false;
                    bring_unit<K>(a, k, v, sh.row[row], head, chunk, sh.unit[half], &sh.keysCome[half], attention[half]);
                });
            }
        }
        if (warp == spanWarps + 3 && folds)
            sweep(sh, (int)a.count, [&](int block) {
                const int heads = (int)a.shape.heads, group = heads / kvHeads;
#pragma unroll 1
                for (int fold = firstFold; fold < rows * kvHeads; fold += workers) {
                    const int row = fold / kvHeads, used = (sh.row[row].pos / CHUNK + 1) * (D + partWords);
                    uint32_t *parts = parts_of<D>(sh, a, block, row);
#pragma unroll 1
                    for (int h = fold % kvHeads * group, n = group; n > 0; h++, n--) fill_words(parts + h * (int)a.maxChunks * (D + partWords), used, empty);
                }
            });
        return;
    }
    for (int i = 0; i < 4; i++) {
        const int tid = threadIdx.x, warp = tid >> 5;
        if ((tid & 31) == 0) sh.share[i][warp] = share_of(sh.way[i], warp);
        if (warp == scaling) begin_scales(sh, 0, i, workers);
        const int32_t *map = sh.block[0].layer[i].map;
        for (int j = tid; j < 16 * sh.way[i].n; j += spanThreads) sh.columns[i][j] = (int16_t)map[16 * (sh.way[i].first + j / 16 * workers) + j % 16];
    }
    meet();
    if (const int m = threadIdx.x / 32, g = threadIdx.x % 32 / 4, row = threadIdx.x % 4; m < sh.way[1].n && row < rows) {
        const int c0 = sh.columns[1][m * 16 + g], c1 = sh.columns[1][m * 16 + g + 8];
        const float *x = a.x + row * a.hidden;
        sh.was[threadIdx.x] = make_float2(c0 >= 0 ? x[c0] : 0.f, c1 >= 0 ? x[c1] : 0.f);
    }
    uint32_t unit = 0; // of attention
    Sweeper sweeper = {folds && threadIdx.x == 32 * (scaling - 1)};

#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int block = step >> 2, layer = step & 3, tid = fresh_thread(), warp = tid >> 5, lane = tid & 31;
        const bool last = block + 1 == (int)a.count;
        const Way &w = sh.way[layer];
        if (layer == 0 && !last && warp == scaling) begin_block(sh.block[block + 1 & 1], a.blocks + block + 1, lane);
        FewProducts products(lane, w, sh.share[layer][warp], shared + w.offset / 16, &sh.arrived[layer], block & 1);
        const int8_t *codes = (const int8_t *)shared + sh.at[layer];
        const int words = code_words(w);
        take_codes(tid, sh.codes[layer], (uint4 *)codes, words, rows);
        if (warp == scaling) copies_done();
        meet();
        // What was emptied before must be so when this CTA tells its next results.
        sweeper.done(sh);
        if (layer == 1) sweeper.post(sh);
        products.multiply(lane, sh, codes, 4 * words, rows);
        const int m = spanWarps - 1 - warp, row = lane & 3;
        if (m < spanTiles) {
            const FewEnds ends(sh, lane, min(m, max(w.n, 1) - 1), block, layer, (const uint4 *)(codes + min(row, rows - 1) * 4 * words + w.stride));
            added_all(true);
            if (m < w.n && row < rows) {
                float2 y = ends.finish(sh);
                const int c0 = ends.c0, c1 = layer == 2 ? -1 : ends.c1;
                uint32_t *to = w.dst + row * w.out;
                if (layer & 1) {
                    sh.was[32 * m + lane] = y = make_float2(ends.was.x + y.x, ends.was.y + y.y);
                    if (layer == 3 && last) to = (uint32_t *)a.x + row * w.out;
                } else if (layer == 2) {
                    y.x = gate_of(y.x, y.y, a.act);
                }
                if (c0 >= 0) tell_value(to + c0, y.x);
                if (c1 >= 0) tell_value(to + c1, y.y);
                if (layer & 1) {
                    if (c0 >= 0) note_bad(a.bad, row, (int)a.stage + block, c0, y.x);
                    if (c1 >= 0) note_bad(a.bad, row, (int)a.stage + block, c1, y.y);
                }
            }
        } else {
            added_all(false);
        }
        if (warp == scaling && !last) begin_scales(sh, block + 1, layer, workers);
        if (tid == spanThreads - 1) barrier_arrive(&sh.used[layer]);
        if (layer != 0) continue;

        const int half = warp / attending;
        each_unit(sh, rows, kvHeads, cta + half * workers, 2 * workers, [&](int row, int head, int chunk) {
            attend_chunk<K>(Half{half}, a, sh.block[block & 1], sh.row[row], head, chunk, sh.unit[half], &sh.keysCome[half], &sh.keysFree[half], unit++, w.dst + row * w.out,
                            parts_of<D>(sh, a, block, row), attention[half]);
        });
        asm volatile("fence.proxy.async;" ::: "memory");
        __syncwarp();
        if (lane == 0) barrier_arrive(&sh.attended);
#pragma unroll 1
        for (int fold = firstFold; fold < rows * kvHeads; fold += workers) {
            const int row = fold / kvHeads;
            // Those of the second half are free first.
            fold_head<D>(a, fold % kvHeads, spanWarps - 1 - warp, spanWarps, sh.row[row].pos / CHUNK + 1, parts_of<D>(sh, a, block, row), (uint32_t *)sh.way[1].src + row * sh.way[1].cols);
        }
    }
}

template <typename K> __device__ __forceinline__ void span_few(const SpanFew &few) {
    constexpr int D = K::D;
    extern __shared__ uint4 shared[];
    __shared__ FewShared sh;
    const Span &a = few.span;
    const int tid = threadIdx.x, workers = (int)gridDim.x - (int)few.rows;
    for (int i = tid; i < (int)(sizeof sh.red / 4); i += fewAll) sh.red[i] = 0;
    if (tid < sizeof(SpanBlock) / 8) ((uint64_t *)&sh.block[0])[tid] = ((const uint64_t *)a.blocks)[tid];
    __syncthreads();
    if (tid == 0) {
        for (int i = 0; i < 4; i++) barrier_init(&sh.arrived[i]), barrier_init(&sh.used[i]);
        for (int i = 0; i < WeightPieces::often; i++) barrier_init(&sh.piece[i]);
        for (int i = 0; i < 2; i++) barrier_init(&sh.keysFree[i], attending), barrier_init(&sh.keysCome[i]);
        barrier_init(&sh.posted), barrier_init(&sh.cleaned), barrier_init(&sh.attended, spanWarps);
        asm volatile("fence.proxy.async;" ::: "memory");
        ways<D>(sh, few, shared, workers);
    }
    __syncthreads();
    const bool works = (int)blockIdx.x < workers;
    // Weights come before the rows are known.
    if (!works || tid / 32 != spanWarps) {
        pdl_wait();
        if (tid < few.rows) sh.row[tid] = a.row[tid];
        if (works)
            asm volatile("bar.sync 5, %0;" ::"n"(fewAll - 32) : "memory");
        else
            __syncthreads();
    }
    if (works)
        work<K>(sh, few, shared, workers);
    else
        normalize<D>(sh, few, (int)blockIdx.x - workers);
}

extern "C" __global__ void __launch_bounds__(fewAll, 1) span_few_64(SpanFew a) { span_few<Halves<64>>(a); }
extern "C" __global__ void __launch_bounds__(fewAll, 1) span_few_128(SpanFew a) { span_few<Halves<128>>(a); }
extern "C" __global__ void __launch_bounds__(fewAll, 1) span_few_q8_64(SpanFew a) { span_few<Bytes<64>>(a); }
extern "C" __global__ void __launch_bounds__(fewAll, 1) span_few_q8_128(SpanFew a) { span_few<Bytes<128>>(a); }
