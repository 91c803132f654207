// build: sm_90a
// Ternary linear layers for 9 to 64 activation rows: bound by latency. A warpgroup multiplies four
// tiles, a warp each, whose weights it holds in registers before the kernel that makes the
// activations has ended. These come as units (norm.cuh) by bulk copies, chunk after chunk, all that
// the block's part of the inputs has; the tensor cores read them where they land.
//
// A cluster has parts × share blocks: those that follow each other share the activations, each
// letting some of the chunks come to all of them; the others have another part of the inputs.
#include "bulk.cuh"
#include "ternary.cuh"
#include "wgmma.cuh"

constexpr int mostChunks = 64; // of a block

// Job is a layer, its input and how it is cut: quads of tiles of a block (1, 2 or 4; its
// warpgroups divide the inputs where there are more of them).
struct Job {
    const uint4 *weights;
    const int8_t *q;
    const float *s;
    const int32_t *sum;
    int64_t rows, chunks, tiles, quads, share;
};

// Tiles is what a block knows of its tiles' outputs before the activations are there.
template <int T> struct Tiles {
    int columns[T * 16];
    float scale[T * 2], factor[T * 2];
};

// bulk_copies is bulk_copy to the same place in several blocks of the cluster.
__device__ __forceinline__ void bulk_copies(void *dst, const void *src, uint32_t bytes, uint64_t *bar, uint16_t blocks) {
    uint32_t to = (uint32_t)__cvta_generic_to_shared(dst), at = (uint32_t)__cvta_generic_to_shared(bar);
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(to), "l"(src), "r"(bytes),
                 "r"(at), "h"(blocks)
                 : "memory");
}

// Ends is what a thread needs to end two outputs of two rows.
struct Ends {
    Finish f[2];
    int row;
    bool one, two; // which rows there are

    template <int T, int GROUPS, int EPI> __device__ __forceinline__ void fetch(const Out &o, const Tiles<T> &tiles, int item, int rows) {
        const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, m = item / GROUPS;
        row = 8 * (item % GROUPS) + 2 * t, one = row < rows, two = row + 1 < rows;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            f[r].c0 = tiles.columns[16 * m + g], f[r].c1 = tiles.columns[16 * m + g + 8];
            if (r ? two : one) f[r].fetch<EPI>(o, row + r);
        }
    }

    template <int T, int GROUPS, int EPI> __device__ __forceinline__ void end(const Out &o, const Tiles<T> &tiles, int item, int4 v, const float *scales, const int32_t *sums) {
        const int m = item / GROUPS;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            f[r].scale0 = tiles.scale[2 * m], f[r].scale1 = tiles.scale[2 * m + 1];
            f[r].factor0 = tiles.factor[2 * m], f[r].factor1 = tiles.factor[2 * m + 1];
            f[r].bias0 = o.bias && f[r].c0 >= 0 ? o.bias[f[r].c0] : 0;
            f[r].bias1 = o.bias && f[r].c1 >= 0 ? o.bias[f[r].c1] : 0;
        }
        if (one) f[0].done<EPI>(o, row, v.x - sums[row], (v.z >> 2) - sums[row], scales[row]);
        if (two) f[1].done<EPI>(o, row + 1, v.y - sums[row + 1], (v.w >> 2) - sums[row + 1], scales[row + 1]);
    }
};

// batch: N rows at most, WG warpgroups, C chunks whose weights a warp holds at once.
template <int N, int WG, int C, int EPI> __device__ __forceinline__ void batch(const Job &j, const Out &o) {
    constexpr int GROUPS = N / 8, T = 4 * WG, WARPS = 4 * WG, chunkBytes = N * 128;
    extern __shared__ __align__(128) uint8_t room[]; // activations, then the accumulators
    __shared__ uint64_t landed[mostChunks];
    __shared__ Tiles<T> known;
    __shared__ float scales[N];
    __shared__ int32_t sums[N];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, wg = threadIdx.x >> 7, chunks = (int)j.chunks, tiles = (int)j.tiles;
    const int quads = (int)j.quads, share = (int)j.share, wk = wg / quads, step = WG / quads; // of the inputs
    const int size = cluster_size(), rank = cluster_rank(), parts = size / share, part = rank / share, sharer = rank % share;
    const int tile0 = (int)(blockIdx.x / size * share + sharer) * quads * 4, n = max(0, min(4 * quads, tiles - tile0));
    const int c0 = part * chunks / parts, mine = (part + 1) * chunks / parts - c0;

    const int m = 4 * (wg - wk * quads) + (warp & 3); // this warp's tile
    const uint4 *from = j.weights + ((int64_t)(tile0 + m) * chunks + c0) * 32 + lane;
    auto load = [&](int c) { return m < n && c < mine ? stream_load(from + c * 32) : make_uint4(0, 0, 0, 0); };
    uint4 w[C];
#pragma unroll
    for (int i = 0; i < C; i++) w[i] = load(wk + i * step);
    if (threadIdx.x < mine) barrier_init(&landed[threadIdx.x]);
    pdl_release();
    if (threadIdx.x < n * 16) known.columns[threadIdx.x] = o.map[16 * tile0 + threadIdx.x];
    if (int i = (int)threadIdx.x - 64; i >= 0 && i < 2 * n) known.scale[i] = o.scale[2 * tile0 + i], known.factor[i] = o.factor ? o.factor[2 * tile0 + i] : 1.f;
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    if (threadIdx.x < mine) barrier_expect(&landed[threadIdx.x], chunkBytes);
    if (size > 1)
        cluster_sync();
    else
        __syncthreads();
    pdl_wait();
    if (warp == 0) {
        for (int c = lane; c < mine; c += 32) {
            const int8_t *src = j.q + (int64_t)(c0 + c) * chunkBytes;
            if (share == 1)
                bulk_copy(room + c * chunkBytes, src, chunkBytes, &landed[c]);
            else if (c % share == sharer)
                bulk_copies(room + c * chunkBytes, src, chunkBytes, &landed[c], (uint16_t)(((1 << share) - 1) << (part * share)));
        }
    }
    if (int i = (int)threadIdx.x - 32; i >= 0 && i < j.rows) scales[i] = j.s[i], sums[i] = j.sum[i];
    // Items are eight rows of a tile; a warp ends every so-many-th of its part of the inputs.
    const int items = n * GROUPS, first = warp * parts + part;
    Ends e;
    if (first < items) e.fetch<T, GROUPS, EPI>(o, known, first, (int)j.rows);

    int acc[N / 2] = {};
    uint32_t a[2][2][4];
    for (int base = wk; base < mine; base += C * step) {
#pragma unroll
        for (int i = 0; i < C; i++) {
            const int c = base + i * step;
            if (c >= mine) break;
            const uint8_t *b = room + c * chunkBytes;
            uint4 x = w[i];
            w[i] = load(c + C * step);
            while (!barrier_landed(&landed[c], 0)) {
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                products_left<1>();
                Codes u;
                u.unpack(half ? x.z : x.x, half ? x.w : x.y);
#pragma unroll
                for (int k = 0; k < 2; k++)
#pragma unroll
                    for (int r = 0; r < 4; r++) a[half][k][r] = u.a[k][r];
                products_begin();
#pragma unroll
                for (int k = 0; k < 2; k++) wgmma_u8s8<N>(acc, a[half][k], rows_at<N>(b + (2 * half + k) * N * 32));
                products_end();
            }
        }
    }
    products_left<0>();
    __syncthreads();
    int4 *red = (int4 *)room;
    if (m < n) {
#pragma unroll
        for (int k = 0; k < GROUPS; k++) red[((wk * 4 * quads + m) * GROUPS + k) * 32 + lane] = make_int4(acc[4 * k], acc[4 * k + 1], acc[4 * k + 2], acc[4 * k + 3]);
    }
    if (parts > 1)
        cluster_sync();
    else
        __syncthreads();
    for (int i = first; i < items; i += WARPS * parts) {
        if (i > first) e.fetch<T, GROUPS, EPI>(o, known, i, (int)j.rows);
        int4 v = make_int4(0, 0, 0, 0);
        for (int p = 0; p < parts; p++) {
#pragma unroll
            for (int k = 0; k < WG; k++) {
                if (k >= step) break;
                const int4 *at = red + (k * 4 * quads * GROUPS + i) * 32 + lane;
                int4 w = parts == 1 ? *at : peer_int4(at, p * share + sharer);
                v.x += w.x, v.y += w.y, v.z += w.z, v.w += w.w;
            }
        }
        e.end<T, GROUPS, EPI>(o, known, i, v, scales, sums);
    }
    if (parts > 1) cluster_sync(); // others may still read from here
}

#define BATCH(name, N, WG, C, BLOCKS)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(128 * WG, BLOCKS)                                                                     \
        name(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum, int64_t rows, int64_t chunks, int64_t tiles,   \
             int64_t quads, int64_t share, int64_t epilogue, Out o) {                                                                  \
        Job j = {weights, q, s, sum, rows, chunks, tiles, quads, share};                                                               \
        if (epilogue == GATED)                                                                                                         \
            batch<N, WG, C, GATED>(j, o);                                                                                              \
        else if (epilogue == RESIDUAL)                                                                                                 \
            batch<N, WG, C, RESIDUAL>(j, o);                                                                                           \
        else                                                                                                                           \
            batch<N, WG, C, STORE>(j, o);                                                                                              \
    }

BATCH(ternary_batch16, 16, 2, 20, 1)
BATCH(ternary_batch32, 32, 2, 20, 1)
BATCH(ternary_batch64, 64, 2, 10, 1)
