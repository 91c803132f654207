// build: compute_80 sm_90a
// Screened outputs, a step (see screen.cuh):
//
//	screen_acts ─▶ screen_bounds ─▶ screen_select ─▶ screen_rescore ─▶ screen_choose
//	 (screen_build.cu)  reads the copy    who can be among   exact products      the largest
//	                    of the head once  the largest        of these
//
// A row without bounds, or with too many left, has state 1 or 2 at the end: the full
// head has to answer it.
#include "screen.cuh"

constexpr int boundsThreads = 256, boundsWarps = boundsThreads / 32, listThreads = 1024;

// bounds: a warp multiplies tiles of 16 rows with 8·G activation rows, which the block
// keeps in shared memory, a stage of a few chunks at a time (three buffers, one
// barrier a stage); the next stage's codes are always on the way. Of each tile it
// writes all upper bounds, the largest of them and the largest lower bound.
template <int G>
__device__ __forceinline__ void bounds(const uint4 *codes, const float4 *coefs, const uint4 *acts, const float2 *widths, int64_t chunks, int64_t n, int64_t rows,
                                       float *uppers, float2 *tops) {
    constexpr int deep = G == 8 ? 2 : 4, quads = deep * G * 64; // of 16 bytes, a stage
    __shared__ uint4 held[3][quads];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int tiles = (int)((n + screenTile - 1) / screenTile), blocks = (tiles + boundsWarps - 1) / boundsWarps;
    const int stages = ((int)chunks + deep - 1) / deep;
    if ((int)blockIdx.x >= blocks) return;
    const int steps = ((blocks - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x) * stages;
    int block = blockIdx.x, stage = 0, ahead = block, aheadStage = 0, actsStage = 0;
    uint4 next[deep][2];
    auto fetch = [&]() {
        const int64_t tile = min(ahead * boundsWarps + warp, tiles - 1);
        const uint4 *from = codes + (tile * chunks + aheadStage * deep) * 64 + lane;
#pragma unroll
        for (int i = 0; i < deep; i++) {
            next[i][0] = next[i][1] = make_uint4(0, 0, 0, 0);
            if (aheadStage * deep + i >= chunks) continue;
            next[i][0] = once_at(from + i * 64);
            next[i][1] = once_at(from + i * 64 + 32);
        }
        if (++aheadStage == stages) aheadStage = 0, ahead += gridDim.x;
    };
    auto bring = [&](int step) {
        if (step < steps) {
            const int64_t at = (int64_t)actsStage * quads, end = chunks * G * 64;
            for (int i = threadIdx.x; i < quads; i += boundsThreads) copy16(&held[step % 3][i], at + i < end ? acts + at + i : acts, at + i < end ? 16 : 0);
            if (++actsStage == stages) actsStage = 0;
        }
        copies_group();
    };
    fetch();
    pdl_wait();
    pdl_release();
    bring(0);
    bring(1);
    int32_t high[G][4] = {}, low[G][4] = {};
    for (int step = 0; step < steps; step++) {
        copies_left<1>();
        __syncthreads();
        bring(step + 2);
        uint4 now[deep][2];
#pragma unroll
        for (int i = 0; i < deep; i++) now[i][0] = next[i][0], now[i][1] = next[i][1];
        if (step + 1 < steps) fetch();
        const uint4 *from = held[step % 3] + lane;
#pragma unroll
        for (int i = 0; i < deep; i++) {
            const uint4 a = now[i][0], b = now[i][1]; // rows g and g+8
#pragma unroll
            for (int j = 0; j < G; j++) {
                const uint4 h = from[(i * G + j) * 64], l = from[(i * G + j) * 64 + 32];
                mma_s8(high[j], a.x, b.x, a.y, b.y, h.x, h.y);
                mma_u8(low[j], a.x, b.x, a.y, b.y, l.x, l.y);
                mma_s8(high[j], a.z, b.z, a.w, b.w, h.z, h.w);
                mma_u8(low[j], a.z, b.z, a.w, b.w, l.z, l.w);
            }
        }
        if (++stage < stages) continue;
        const int64_t tile = block * boundsWarps + warp;
        if (tile < tiles) {
            const int64_t first = tile * screenTile + g;
            const float4 coef[2] = {__ldg(coefs + first), __ldg(coefs + first + 8)};
#pragma unroll
            for (int j = 0; j < G; j++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    const int64_t row = 8 * j + 2 * t + c;
                    const float2 width = widths[row];
                    float upper = -INFINITY, lower = -INFINITY;
#pragma unroll
                    for (int h = 0; h < 2; h++) {
                        const int d = (int)(((uint32_t)high[j][2 * h + c] << 8) + (uint32_t)low[j][2 * h + c]);
                        const float e = width_of(coef[h], width);
                        float u = __fadd_rn(__fmul_rn(__int2float_rn(d), coef[h].x), e), l = __fsub_rn(u, 2.f * e);
                        if (first + 8 * h >= n) u = l = -INFINITY;
                        if (row < rows) uppers[row * tiles * screenTile + first + 8 * h] = u;
                        upper = fmaxf(upper, u), lower = fmaxf(lower, l);
                    }
#pragma unroll
                    for (int o = 4; o < 32; o *= 2) {
                        upper = fmaxf(upper, __shfl_xor_sync(0xffffffffu, upper, o));
                        lower = fmaxf(lower, __shfl_xor_sync(0xffffffffu, lower, o));
                    }
                    if (g == 0 && row < rows) tops[row * tiles + tile] = make_float2(upper, lower);
                }
        }
#pragma unroll
        for (int j = 0; j < G; j++)
#pragma unroll
            for (int i = 0; i < 4; i++) high[j][i] = low[j][i] = 0;
        stage = 0, block += gridDim.x;
    }
}

// screen_bounds_R: up to R rows, grid up to ⌈⌈n/16⌉/8⌉ blocks of 256 threads.
#define BOUNDS(ROWS)                                                                                                                            \
    extern "C" __global__ void __launch_bounds__(boundsThreads, 2) screen_bounds_##ROWS(                                                        \
        const uint4 *codes, const float4 *coefs, const uint4 *acts, const float2 *widths, int64_t chunks, int64_t n, int64_t rows, float *uppers, \
        float2 *tops) {                                                                                                                         \
        bounds<ROWS / 8>(codes, coefs, acts, widths, chunks, n, rows, uppers, tops);                                                            \
    }
BOUNDS(8)
BOUNDS(16)
BOUNDS(32)
BOUNDS(64)

// screen_select: a block a row. The threads share the tiles; the wanted-th largest of
// their largest lower bounds is below that of all rows only where two of these met in
// one thread, and may stand for it: the list is a little longer then.
extern "C" __global__ void __launch_bounds__(listThreads)
    screen_select(const float *uppers, const float2 *tops, const int32_t *able, const int32_t *wanted, int64_t n, int64_t room, int32_t *list, int32_t *counts,
                  int32_t *states) {
    __shared__ int count;
    const int64_t row = blockIdx.x, tiles = (n + screenTile - 1) / screenTile;
    pdl_wait();
    pdl_release();
    const int want = wanted[row];
    if (!able[row] || want < 1) {
        if (threadIdx.x == 0) counts[row] = 0, states[row] = 1;
        return;
    }
    uint32_t key = 0;
    for (int64_t i = threadIdx.x; i < tiles; i += listThreads) key = max(key, order_of(tops[row * tiles + i].y));
    uint32_t least = 0; // the largest that so many keys reach
    for (int b = 31; b >= 0; b--) {
        const uint32_t next = least | 1u << b;
        if (__syncthreads_count(key >= next) >= want) least = next;
    }
    const float floor = least == 0 ? -INFINITY : value_of(least);
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < tiles; i += listThreads) {
        if (!(tops[row * tiles + i].x >= floor)) continue;
        for (int64_t j = i * screenTile; j < min((i + 1) * screenTile, n); j++) {
            if (!(uppers[row * tiles * screenTile + j] >= floor)) continue;
            const int at = atomicAdd(&count, 1);
            if (at < room) list[row * room + at] = (int32_t)j;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) counts[row] = count <= room ? count : 0, states[row] = count <= room ? 0 : 2;
}

template <int T>
__device__ __forceinline__ void rescore(const uint8_t *w, const float *x, int64_t k, const int32_t *list, int64_t room, int count, float *exact) {
    const int warps = gridDim.x * (blockDim.x >> 5);
    const bool whole = whole_units<T>(w, k);
    for (int i = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); i < count; i += warps) {
        const uint8_t *from = w + list[i] * row_bytes<T>(k);
        float d = whole ? dense_dot<T, true>(from, x, k) : dense_dot<T, Weights<T>::values != 1>(from, x, k);
        if ((threadIdx.x & 31) == 0) exact[i] = d;
    }
}

// screen_rescore: grid (any, rows), a warp a product.
extern "C" __global__ void __launch_bounds__(256)
    screen_rescore(const uint8_t *w, int64_t type, const float *x, int64_t k, const int32_t *list, const int32_t *counts, int64_t room, float *exact) {
    pdl_wait();
    pdl_release();
    const int64_t row = blockIdx.y;
    const int count = counts[row];
    x += row * k, list += row * room, exact += row * room;
    switch (type) {
    case F32: return rescore<F32>(w, x, k, list, room, count, exact);
    case F16: return rescore<F16>(w, x, k, list, room, count, exact);
    case BF16: return rescore<BF16>(w, x, k, list, room, count, exact);
    case Q8_0: return rescore<Q8_0>(w, x, k, list, room, count, exact);
    case Q4_0: return rescore<Q4_0>(w, x, k, list, room, count, exact);
    case Q4_1: return rescore<Q4_1>(w, x, k, list, room, count, exact);
    case Q5_0: return rescore<Q5_0>(w, x, k, list, room, count, exact);
    case Q5_1: return rescore<Q5_1>(w, x, k, list, room, count, exact);
    case Q4_K: return rescore<Q4_K>(w, x, k, list, room, count, exact);
    case Q5_K: return rescore<Q5_K>(w, x, k, list, room, count, exact);
    case Q6_K: return rescore<Q6_K>(w, x, k, list, room, count, exact);
    }
}

// screen_choose: a block a row; wanted[row] (up to 1024) of the largest of its list go to
// ids and best [rows][most] in descending order, the lower id first among equals.
extern "C" __global__ void __launch_bounds__(listThreads)
    screen_choose(const int32_t *list, const float *exact, const int32_t *counts, const int32_t *states, const int32_t *wanted, int64_t room, int64_t most,
                  int32_t *ids, float *best) {
    __shared__ uint64_t keys[2 * listThreads]; // the largest so far, then new ones
    const int64_t row = blockIdx.x;
    pdl_wait();
    pdl_release();
    if (states[row] != 0) return;
    const int count = counts[row], want = min(wanted[row], count);
    list += row * room, exact += row * room;
    int kept = 0, size = 64; // a power of two that holds them
    for (int from = 0; from < count; kept = listThreads, from += size - (from == 0 ? 0 : listThreads)) {
        while (size < 2 * listThreads && size < count) size *= 2;
        for (int i = kept + threadIdx.x; i < size; i += listThreads) {
            const int at = from + i - kept;
            keys[i] = at < count ? (uint64_t)order_of(exact[at]) << 32 | (0xffffffffu - (uint32_t)list[at]) : 0;
        }
        for (int run = 2; run <= size; run *= 2)
            for (int step = run / 2; step > 0; step /= 2) {
                __syncthreads();
                const int i = 2 * (int)threadIdx.x - ((int)threadIdx.x & (step - 1)), j = i + step;
                if (j >= size) continue;
                const uint64_t a = keys[i], b = keys[j];
                if ((i & run) == 0 ? a < b : a > b) keys[i] = b, keys[j] = a;
            }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < want; i += listThreads) {
        const uint32_t order = (uint32_t)(keys[i] >> 32), id = 0xffffffffu - (uint32_t)keys[i];
        float v = value_of(order);
        if (v == 0 || order == 0) // which zero, which NaN
            for (int j = 0; j < count; j++)
                if ((uint32_t)list[j] == id) v = exact[j];
        ids[row * most + i] = (int32_t)id, best[row * most + i] = v;
    }
}
