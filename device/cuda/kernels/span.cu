// build: sm_90a
// Decoding through a span of blocks in one kernel: see span.cuh.
#include "span_attend.cuh"
#include "span_mul.cuh"
#include "span_norm.cuh"

__device__ __forceinline__ void load_block(SpanBlock &to, const SpanBlock *from) {
    if (threadIdx.x < sizeof(SpanBlock) / 8) ((uint64_t *)&to)[threadIdx.x] = ((const uint64_t *)from)[threadIdx.x];
}

// begin_scales lets the scales of a layer's tiles come. One warp calls it.
__device__ __forceinline__ void begin_scales(SpanShared &sh, int block, int layer) {
    const Way &w = sh.way[layer];
    const SpanLayer &l = sh.block[block & 1].layer[layer];
    const int lane = threadIdx.x & 31;
    if (lane >= w.n) return;
    int tile = w.first + lane * gridDim.x;
    copy8(&sh.scales[block & 1][layer][lane], l.scale + 2 * tile);
    if (l.factor)
        copy8(&sh.factors[block & 1][layer][lane], l.factor + 2 * tile);
    else
        sh.factors[block & 1][layer][lane] = make_float2(1, 1);
}

constexpr int underWay = 2; // tiles that may be

// bring_weights is the work of the last warp's first lane: all tiles of all blocks.
__device__ __forceinline__ void bring_weights(SpanShared &sh, const Span &a) {
    uint64_t *waits[underWay];
    uint32_t parities[underWay];
#pragma unroll
    for (int i = 0; i < underWay; i++) waits[i] = nullptr, parities[i] = 0;
#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int block = step >> 2, layer = step & 3;
        const Way &w = sh.way[layer];
        const uint4 *from = a.blocks[block].layer[layer].weights;
        const uint32_t bytes = (uint32_t)w.chunks * 512;
        if (block > 0) barrier_wait(&sh.used[layer], block + 1 & 1);
#pragma unroll 1
        for (int m = 0; m < w.n; m++) {
            if (waits[0]) barrier_wait(waits[0], parities[0]);
#pragma unroll
            for (int i = 1; i < underWay; i++) waits[i - 1] = waits[i], parities[i - 1] = parities[i];
            waits[underWay - 1] = &sh.arrived[layer][m], parities[underWay - 1] = block & 1;
            barrier_expect(&sh.arrived[layer][m], bytes);
            bulk_copy(w.weights + m * w.chunks * 32, from + (int64_t)(w.first + m * gridDim.x) * w.chunks * 32, bytes, &sh.arrived[layer][m]);
        }
    }
}

// ways prepares sh.way: where things lie in the room, and who does what.
template <int D> __device__ __forceinline__ void ways(SpanShared &sh, const Span &a, uint4 *weights) {
    const Shape &s = a.shape;
    int cols[4] = {(int)a.hidden, (int)s.heads * D, (int)a.hidden, (int)a.ffn};
    int out[4] = {(int)(s.heads + 2 * s.kvHeads) * D, (int)a.hidden, (int)a.ffn, (int)a.hidden};
    uint32_t *at = a.room;
    for (int i = 0; i < 4; i++) {
        Way &w = sh.way[i];
        const SpanLayer &l = sh.block[0].layer[i];
        w.cols = cols[i], w.stride = (cols[i] + 127) / 128 * 128, w.ld = out[i], w.chunks = (int)l.chunks;
        w.inverse = 1.0 / (double)cols[i];
        w.codes = at, at += spanRows * (w.stride / 4 + 4);
        // Who has one tile more is another CTA for the layers that share the residual stream.
        int ctas = gridDim.x, from = i & 1 ? (int)sh.block[0].layer[2].tiles % ctas : 0, tiles = (int)l.tiles;
        w.first = ((int)blockIdx.x + ctas - from) % ctas;
        w.n = w.first < tiles ? (tiles - 1 - w.first) / ctas + 1 : 0;
        w.weights = weights, weights += (tiles + ctas - 1) / ctas * w.chunks * 32;
    }
    uint32_t *att = at + spanRows * out[0], *x1 = att + spanRows * cols[1], *inner = x1 + spanRows * out[1], *x0 = inner + spanRows * out[2];
    sh.way[0].src = x0, sh.way[0].dst = at;
    sh.way[1].src = att, sh.way[1].dst = x1;
    sh.way[2].src = x1, sh.way[2].dst = inner;
    sh.way[3].src = inner, sh.way[3].dst = x0;
}

// each_unit calls f with the row, KV head and chunk of each piece of attention that is this CTA's.
template <typename F> __device__ __forceinline__ void each_unit(const SpanShared &sh, int n, int kvHeads, F f) {
    int unit = blockIdx.x;
#pragma unroll 1
    for (int row = 0; row < n; row++) {
        int chunks = sh.rows[row].pos / CHUNK + 1, units = chunks * kvHeads;
#pragma unroll 1
        for (; unit < units; unit += gridDim.x) f(row, unit / chunks, unit % chunks);
        unit -= units;
    }
}

template <int D, bool ONE> __device__ __forceinline__ void span(const Span &a) {
    extern __shared__ uint4 shared[];
    __shared__ SpanShared sh;
    const int n = ONE ? 1 : (int)a.n, tid = threadIdx.x, warp = tid >> 5, ctas = gridDim.x, cta = blockIdx.x, kvHeads = (int)a.shape.kvHeads, hidden = (int)a.hidden;
    int8_t *codes = (int8_t *)shared;
    auto &attention = *(SpanAttention<D> *)shared;
    // The last CTAs, which have the fewest tiles, own rows; folding goes to the ones before
    // them. A single row is everybody's, and the last CTA cleans up.
    const int keeper = ctas - 1 - cta < n ? ctas - 1 - cta : -1, own = ONE ? 0 : keeper;

    for (int i = tid; i < (int)(sizeof sh.red / 4); i += spanThreads + 32) sh.red[i] = 0;
    if (tid < n) sh.rows[tid] = a.rows[tid];
    load_block(sh.block[0], a.blocks);
    __syncthreads();
    if (tid == 0) {
        for (int i = 0; i < 4; i++) {
            for (int m = 0; m < spanTiles; m++) barrier_init(&sh.arrived[i][m]);
            barrier_init(&sh.used[i]);
        }
        asm volatile("fence.proxy.async;" ::: "memory");
        ways<D>(sh, a, shared + a.area / 16);
    }
    __syncthreads();
    if (warp == spanWarps) {
        if (tid == spanThreads) bring_weights(sh, a);
        return;
    }
    for (int i = 0; i < 4; i++) {
        if (warp == 14) begin_scales(sh, 0, i);
        const int32_t *map = sh.block[0].layer[i].map;
        for (int j = tid; j < 16 * sh.way[i].n; j += spanThreads) sh.columns[i][j] = (int16_t)map[16 * (sh.way[i].first + j / 16 * ctas) + j % 16];
    }
    meet();
    const Place place(n);
    // A thread keeps the residual stream at the outputs that it finishes.
    float was0 = 0, was1 = 0;
    if (place.m < sh.way[1].n) {
        int c0 = sh.columns[1][place.m * 16 + place.g], c1 = sh.columns[1][place.m * 16 + place.g + 8];
        if (c0 >= 0) was0 = a.x[place.row * hidden + c0];
        if (c1 >= 0) was1 = a.x[place.row * hidden + c1];
    }
    uint32_t *const parts = sh.way[3].dst + spanRows * hidden;
    const int half = spanRows * (int)a.shape.heads * (int)a.maxChunks * (D + partWords);
    auto forget_codes = [&](const Way &w) { clear(w.codes + keeper * (w.stride / 4 + 4), w.stride / 4 + 4, emptyCodes); };
    auto forget_row = [&](const Way &w) { clear((uint32_t *)w.src + keeper * w.cols, w.cols, empty); };
    if (keeper >= 0) { // what the last block of the step before has left
        forget_codes(sh.way[3]);
        forget_row(sh.way[3]);
        fence_gpu();
    }

#pragma unroll 1
    for (int step = 0; step < 4 * (int)a.count; step++) {
        const int block = step >> 2, layer = step & 3;
        const bool last = block + 1 == (int)a.count;
        const Way &w = sh.way[layer], &before = sh.way[layer + 3 & 3];
        if (layer == 0 && !last) load_block(sh.block[block + 1 & 1], a.blocks + block + 1);
        float scale = 0;
        if (own >= 0) {
            const uint32_t *src = (step == 0 ? (const uint32_t *)a.x : w.src) + own * w.cols;
            const SpanNorm &norm = sh.block[block & 1].norm[layer];
            uint32_t *to = ONE ? nullptr : w.codes + own * (w.stride / 4 + 4), *mine = (uint32_t *)(codes + own * w.stride);
            if (w.stride <= 8 * spanThreads)
                make_codes<2>(sh, w, scale, src, step > 0, norm, to, mine);
            else
                make_codes<4>(sh, w, scale, src, step > 0, norm, to, mine);
        }
        if (!ONE) take_codes(w, n, own, codes);
        meet();
        if (ONE)
            multiply_one(sh, w, sh.arrived[layer], block & 1, codes);
        else
            multiply_few(sh, w, sh.arrived[layer], block & 1, codes, n);
        if (warp == spanWarps - 1) take_sums(sh, layer & 1, w, n, own, scale, !ONE);
        copies_done(); // scales
        meet();
        if (warp == 14 && !last) begin_scales(sh, block + 1, layer);
        if (tid == spanThreads - 1) barrier_arrive(&sh.used[layer]);
        if (place.m < w.n) {
            float2 y = place.finish(sh, block, layer);
            int c0 = sh.columns[layer][place.m * 16 + place.g], c1 = sh.columns[layer][place.m * 16 + place.g + 8];
            uint32_t *to = w.dst + place.row * w.ld;
            if (layer & 1) {
                y.x = was0 += y.x, y.y = was1 += y.y;
                if (c0 >= 0) note_bad(a.bad, place.row, (int)a.stage + block, c0, y.x);
                if (c1 >= 0) note_bad(a.bad, place.row, (int)a.stage + block, c1, y.y);
                if (layer == 3 && last) to = (uint32_t *)a.x + place.row * hidden;
            } else if (layer == 2) {
                y.x = gate_of(y.x, y.y, a.act);
                c1 = -1;
            }
            if (c0 >= 0) tell_value(to + c0, y.x);
            if (c1 >= 0) tell_value(to + c1, y.y);
        }
        if (keeper >= 0) { // what all have used
            if (ONE) {
                if (step > 0) forget_row(before);
            } else if (step > 0) {
                forget_row(w);
                forget_codes(before);
            }
            if (layer == 1) clear(sh.way[0].dst + keeper * sh.way[0].ld, sh.way[0].ld, empty);
            fence_gpu();
        }
        if (layer != 0) continue;

        uint32_t *mine = parts + (block & 1) * half;
        each_unit(sh, n, kvHeads, [&](int row, int head, int chunk) {
            attend_chunk<D>(a, sh.block[block & 1], sh.rows[row], row, head, chunk, w.dst, mine, attention);
        });
        int fold = ctas - 1 - n - cta;
#pragma unroll 1
        for (fold += fold < 0 ? ctas : 0; fold < n * kvHeads; fold += ctas) {
            int row = fold / kvHeads;
            fold_head<D>(a, row, fold - row * kvHeads, sh.rows[row].pos / CHUNK + 1, mine, (uint32_t *)sh.way[1].src);
        }
    }
}

#define SPAN(name, D, ONE) \
    extern "C" __global__ void __launch_bounds__(spanThreads + 32, 1) name(Span a) { span<D, ONE>(a); }

SPAN(span_one_64, 64, true)
SPAN(span_one_128, 128, true)
SPAN(span_few_64, 64, false)
SPAN(span_few_128, 128, false)
