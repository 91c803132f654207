// build: compute_80 sm_90a
// Screened outputs, a step (see screen.cuh):
//
//	screen_acts ──────────▶ screen_bounds ─────▶ screen_finish
//	rows taken, normalized,  reads the copy of    who can be among the largest, exact
//	rounded to 16 bits       the head once        products of these, the largest
//
// Cards of capability 9.0 have another screen_bounds (screen_stream.cu).
#include "screen.cuh"

constexpr int boundsThreads = 256, boundsWarps = boundsThreads / 32;

// raw_at reads a lane's part of a tile's chunk, all of its bits.
__device__ __forceinline__ Raw raw_at(const Planes &p, int64_t place) {
    const int lane = threadIdx.x & 31;
    const uint8_t *six = p.six + place * sixBytes;
    const uint2 pairs = __ldg((const uint2 *)(six + 512) + lane);
    return {once_at((const uint4 *)six + lane), pairs, __ldg((const uint32_t *)(p.seventh + place * bitBytes) + lane), __ldg((const uint32_t *)(p.eighth + place * bitBytes) + lane)};
}

// bounds: a warp multiplies tiles of 16 rows with 8·G activation rows, which the block
// keeps in shared memory, a stage of a few chunks at a time (three buffers, one
// barrier a stage); the next stage's codes are always on the way. Of each tile it
// writes all upper bounds and tops.
template <int G>
__device__ __forceinline__ void bounds(const void *codes, const float4 *coefs, const uint4 *acts, const Width *widths, int64_t chunks, int64_t n, int64_t rows,
                                       float *uppers, float2 *tops) {
    constexpr int deep = G == 8 ? 2 : 4, quads = deep * G * 64; // of 16 bytes, a stage
    __shared__ uint4 held[3][quads];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const Planes planes(codes, n, chunks);
    const int tiles = tiles_of(n), blocks = (tiles + boundsWarps - 1) / boundsWarps;
    const int stages = ((int)chunks + deep - 1) / deep;
    if ((int)blockIdx.x >= blocks) return;
    const int steps = ((blocks - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x) * stages;
    int block = blockIdx.x, stage = 0, ahead = block, aheadStage = 0, actsStage = 0;
    Raw next[deep];
    auto fetch = [&]() {
        const int64_t tile = min(ahead * boundsWarps + warp, tiles - 1);
        const int64_t from = (tile / unitTiles * chunks + aheadStage * deep) * unitTiles + tile % unitTiles;
#pragma unroll
        for (int i = 0; i < deep; i++) {
            next[i] = {};
            if (aheadStage * deep + i < chunks) next[i] = raw_at(planes, from + i * unitTiles);
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
        Raw now[deep];
#pragma unroll
        for (int i = 0; i < deep; i++) now[i] = next[i];
        if (step + 1 < steps) fetch();
        const uint4 *from = held[step % 3] + lane;
#pragma unroll
        for (int i = 0; i < deep; i++) {
            uint32_t a[8];
            codes_of<8>(a, now[i]);
#pragma unroll
            for (int j = 0; j < G; j++) {
                const uint4 h = from[(2 * i * G + j) * 32], l = from[((2 * i + 1) * G + j) * 32];
                mma_s8(high[j], a[0], a[1], a[2], a[3], h.x, h.y);
                mma_s8(low[j], a[0], a[1], a[2], a[3], l.x, l.y);
                mma_s8(high[j], a[4], a[5], a[6], a[7], h.z, h.w);
                mma_s8(low[j], a[4], a[5], a[6], a[7], l.z, l.w);
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
                    const Width width = widths[row];
                    float upper = -INFINITY, lower = -INFINITY;
#pragma unroll
                    for (int h = 0; h < 2; h++) {
                        const Bound b = bound_of<8>(high[j][2 * h + c], low[j][2 * h + c], coef[h], width, first + 8 * h < n);
                        if (row < rows) uppers[row * tiles * screenTile + first + 8 * h] = b.upper;
                        upper = fmaxf(upper, b.upper), lower = fmaxf(lower, b.lower);
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
        const void *codes, const float4 *coefs, const uint4 *acts, const Width *widths, int64_t chunks, int64_t n, int64_t rows, float *uppers, \
        float2 *tops) {                                                                                                                         \
        bounds<ROWS / 8>(codes, coefs, acts, widths, chunks, n, rows, uppers, tops);                                                            \
    }
BOUNDS(8)
BOUNDS(16)
BOUNDS(32)
BOUNDS(64)
