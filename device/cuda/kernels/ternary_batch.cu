// build: sm_90a
// Ternary linear layers for 17 to 64 activation rows: bound by latency. A block
// brings all weights of its tiles to shared memory before the kernel that makes
// the activations has ended; then every warp multiplies its part of the inputs
// for its rows, with the activations straight from the L2 cache, each byte of
// them once a block. Blocks of a cluster share tiles, a part of the inputs each.
#include "bulk.cuh"
#include "ternary.cuh"

constexpr int warpsOf = 8;

// tiles_mul is tile_mul for two tiles whose products do not wait for each other.
template <int NT> __device__ __forceinline__ void tiles_mul(int (&x)[NT][4], int (&y)[NT][4], const uint4 &w0, const uint4 &w1, const uint4 (&b)[NT][2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        Codes c0, c1;
        c0.unpack(half ? w0.z : w0.x, half ? w0.w : w0.y);
        c1.unpack(half ? w1.z : w1.x, half ? w1.w : w1.y);
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int n = 0; n < NT; n++) {
                uint32_t b0 = i ? b[n][half].z : b[n][half].x, b1 = i ? b[n][half].w : b[n][half].y;
                mma_u8s8(x[n], c0.a[i][0], c0.a[i][1], c0.a[i][2], c0.a[i][3], b0, b1);
                mma_u8s8(y[n], c1.a[i][0], c1.a[i][1], c1.a[i][2], c1.a[i][3], b0, b1);
            }
        }
    }
}

// Job is a layer, its input and how it is cut.
struct Job {
    const uint4 *weights;
    const int8_t *q;
    const float *s;
    const int32_t *sum;
    int64_t rows, chunks, tiles;
};

// Tiles is what a block knows of its tiles' outputs before the activations are there.
template <int T> struct Tiles {
    int columns[T * 16];
    float scale[T * 2], factor[T * 2];
};

// finish ends the block's part of all outputs: that of rank r in a cluster every size-th. red
// holds the accumulators of WK parts of the inputs, each [tile][rows/8][lane] of four.
template <int GROUPS, int WK, int T, int EPI>
__device__ __forceinline__ void finish(const int4 *red, const Job &j, const Out &o, const Tiles<T> &tiles, const float *scales, const int32_t *sums, int n,
                                       uint32_t rank, uint32_t size) {
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int items = n * GROUPS;
#pragma unroll 2
    for (int i = (threadIdx.x >> 5) * size + rank; i < items; i += warpsOf * size) {
        const int m = i / GROUPS, row = 8 * (i % GROUPS) + 2 * t;
        if (row >= j.rows) continue;
        const bool both = row + 1 < j.rows;
        Finish f[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            f[r].c0 = tiles.columns[16 * m + g], f[r].c1 = tiles.columns[16 * m + g + 8];
            f[r].scale0 = tiles.scale[2 * m], f[r].scale1 = tiles.scale[2 * m + 1];
            f[r].factor0 = tiles.factor[2 * m], f[r].factor1 = tiles.factor[2 * m + 1];
            f[r].bias0 = o.bias && f[r].c0 >= 0 ? o.bias[f[r].c0] : 0;
            f[r].bias1 = o.bias && f[r].c1 >= 0 ? o.bias[f[r].c1] : 0;
            if (r == 0 || both) f[r].fetch<EPI>(o, row + r);
        }
        const int4 *from = red + i * 32 + lane;
        int4 v = make_int4(0, 0, 0, 0);
        for (uint32_t p = 0; p < size; p++) {
#pragma unroll
            for (int k = 0; k < WK; k++) {
                int4 w = size == 1 ? from[k * T * GROUPS * 32] : peer_int4(from + k * T * GROUPS * 32, p);
                v.x += w.x, v.y += w.y, v.z += w.z, v.w += w.w;
            }
        }
        f[0].done<EPI>(o, row, v.x - sums[row], (v.z >> 2) - sums[row], scales[row]);
        if (both) f[1].done<EPI>(o, row + 1, v.y - sums[row + 1], (v.w >> 2) - sums[row + 1], scales[row + 1]);
    }
}

// batch: WN parts of the warps share the rows, NT times eight each; the others the inputs.
// T is the most tiles of a block, PF how many chunks of activations are under way.
template <int NT, int WN, int T, int PF>
__device__ __forceinline__ void batch(const Job &j, int64_t epilogue, const Out &o) {
    constexpr int GROUPS = NT * WN, WK = warpsOf / WN;
    extern __shared__ __align__(128) uint8_t room[]; // weights, then the accumulators
    __shared__ uint64_t landed;
    __shared__ Tiles<T> known;
    __shared__ float scales[GROUPS * 8];
    __shared__ int32_t sums[GROUPS * 8];
    uint4 *weights = (uint4 *)room;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int wn = warp % WN, wk = warp / WN, chunks = (int)j.chunks, tiles = (int)j.tiles;
    const uint32_t rank = cluster_rank(), size = cluster_size();
    const int cluster = blockIdx.x / size, clusters = gridDim.x / size;
    const int tile0 = cluster * tiles / clusters, n = (cluster + 1) * tiles / clusters - tile0;
    const int c0 = rank * chunks / size, mine = (rank + 1) * chunks / size - c0;
    if (threadIdx.x == 0) {
        barrier_init(&landed);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        barrier_expect(&landed, n * mine * 512);
        for (int m = 0; m < n; m++) bulk_copy(weights + m * mine * 32, j.weights + ((int64_t)(tile0 + m) * chunks + c0) * 32, mine * 512, &landed);
    }
    pdl_release();
    if (threadIdx.x < n * 16) known.columns[threadIdx.x] = o.map[16 * tile0 + threadIdx.x];
    if (int i = (int)threadIdx.x - 128; i >= 0 && i < 2 * n) known.scale[i] = o.scale[2 * tile0 + i], known.factor[i] = o.factor ? o.factor[2 * tile0 + i] : 1.f;
    const int row0 = wn * NT * 8 + g;
    const int8_t *rowq = j.q + ((int64_t)row0 * chunks + c0) * 128 + 32 * t;
    const int64_t group = 8 * (int64_t)chunks * 128; // bytes of eight rows
    __syncthreads();
    pdl_wait();

    uint4 b[PF][NT][2];
    auto fetch = [&](uint4(&to)[NT][2], int c) {
#pragma unroll
        for (int k = 0; k < NT; k++) {
            to[k][0] = to[k][1] = make_uint4(0, 0, 0, 0);
            if (row0 + 8 * k < j.rows) {
                const uint4 *from = (const uint4 *)(rowq + k * group + c * 128);
                to[k][0] = from[0], to[k][1] = from[1];
            }
        }
    };
#pragma unroll
    for (int i = 0; i < PF; i++)
        if (wk + i * WK < mine) fetch(b[i], wk + i * WK);
    if (threadIdx.x < j.rows) scales[threadIdx.x] = j.s[threadIdx.x], sums[threadIdx.x] = j.sum[threadIdx.x];
    while (!barrier_landed(&landed, 0)) {
    }
    int acc[T][NT][4] = {};
    for (int base = wk; base < mine; base += PF * WK) {
#pragma unroll
        for (int i = 0; i < PF; i++) {
            int c = base + i * WK;
            if (c >= mine) break;
            const uint4 *w = weights + c * 32 + lane;
            // Two tiles at a time, so that products do not wait for each other.
#pragma unroll
            for (int m = 0; m < T; m += 2)
                if (m < n) {
                    uint4 w0 = w[m * mine * 32], w1 = w[min(m + 1, n - 1) * mine * 32];
                    tiles_mul<NT>(acc[m], acc[m + 1], w0, w1, b[i]);
                }
            if (c + PF * WK < mine) fetch(b[i], c + PF * WK);
        }
    }
    __syncthreads();
    int4 *red = (int4 *)room;
#pragma unroll
    for (int m = 0; m < T; m++)
        if (m < n) {
#pragma unroll
            for (int k = 0; k < NT; k++)
                red[((wk * T + m) * GROUPS + wn * NT + k) * 32 + lane] = make_int4(acc[m][k][0], acc[m][k][1], acc[m][k][2], acc[m][k][3]);
        }
    if (size > 1)
        cluster_sync();
    else
        __syncthreads();
    if (epilogue == GATED)
        finish<GROUPS, WK, T, GATED>(red, j, o, known, scales, sums, n, rank, size);
    else if (epilogue == RESIDUAL)
        finish<GROUPS, WK, T, RESIDUAL>(red, j, o, known, scales, sums, n, rank, size);
    else
        finish<GROUPS, WK, T, STORE>(red, j, o, known, scales, sums, n, rank, size);
    if (size > 1) cluster_sync(); // others may still read from here
}

#define BATCH(name, NT, WN, T, PF, BLOCKS)                                                                                             \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS)                                                                          \
        name(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum, int64_t rows, int64_t chunks, int64_t tiles,   \
             int64_t epilogue, Out o) {                                                                                                \
        Job j = {weights, q, s, sum, rows, chunks, tiles};                                                                             \
        batch<NT, WN, T, PF>(j, epilogue, o);                                                                                          \
    }

BATCH(ternary_batch32_4, 2, 2, 4, 4, 2)
BATCH(ternary_batch32_8, 2, 2, 8, 2, 2)
BATCH(ternary_batch64_4, 2, 4, 4, 4, 2)
BATCH(ternary_batch64_8, 2, 4, 8, 2, 2)
