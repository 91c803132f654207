// build: sm_90a
// Ternary linear layers for 17 rows to some hundreds, up to 64 in a block: bound by latency, so loops are not unrolled
// (code that has not run yet comes slowly) and no warp waits for a whole cluster: a release of
// everything to everybody takes longer than the products of a layer.
//
//	weights ──bulk copy, before the kernel before has ended──▶ shared memory ──masks──▶ registers ─┐
//	activations, in units ──bulk copies──▶ shared memory ──────────────────────────────────────────┴▶ wgmma
//	sums of eight rows of a tile ──st.async──▶ the warp that ends them
//
// A warpgroup multiplies four tiles, a warp each, with a part of the inputs; the units are those
// of norm.cuh. Blocks of a cluster have parts of the inputs of the same tiles. Of the warps that
// have a part of a tile, whose number is a power of two, each ends some of its rows.
#include "bulk.cuh"
#include "ternary_chunk.cuh"

constexpr int mostChunks = 64, mostWarps = 16; // of a block

// Job is a layer, its input and how it is cut: quads of tiles of a block, whose other warpgroups
// divide the inputs, and how many chunks a warpgroup has at most.
struct Job {
    const uint4 *weights;
    const int8_t *q;
    const float *s;
    const int32_t *sum;
    int64_t rows, chunks, tiles, quads, each;
};

// send writes to a block of the cluster, which counts the bytes at its barrier.
__device__ __forceinline__ void send(uint32_t to, uint32_t bar, uint32_t rank, int x, int y, int z, int w) {
    asm volatile("{\n.reg .u32 a, b;\nmapa.shared::cluster.u32 a, %0, %2;\nmapa.shared::cluster.u32 b, %1, %2;\n"
                 "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.s32 [a], {%3, %4, %5, %6}, [b];\n}" ::"r"(to),
                 "r"(bar), "r"(rank), "r"(x), "r"(y), "r"(z), "r"(w)
                 : "memory");
}

// put is send for a block that is alone; whole warps call it.
__device__ __forceinline__ void put(uint32_t to, uint32_t bar, int x, int y, int z, int w) {
    asm volatile("st.shared.v4.s32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(x), "r"(y), "r"(z), "r"(w) : "memory");
    __syncwarp();
    if ((threadIdx.x & 31) == 0) asm volatile("fence.acq_rel.cta;\nmbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 512;" ::"r"(bar) : "memory");
}

// quotients is quotient (ternary.cuh) four times at once, which takes no longer than once. With a
// scale comes its inverse.
__device__ __forceinline__ void quotients(float (&y)[2][2], int lo, int hi, float2 s, int lo2, int hi2, float2 s2) {
    const float a[2][2] = {{(float)lo, (float)hi}, {(float)lo2, (float)hi2}};
    float most = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 by = i < 2 ? s : s2;
        float q = __fmul_rn(a[i / 2][i % 2], by.y);
        most = fmaxf(most, fabsf(q)), most = q == q ? most : INFINITY;
        q = __fmaf_rn(__fmaf_rn(-q, by.x, a[i / 2][i % 2]), by.y, q);
        y[i / 2][i % 2] = __fmaf_rn(__fmaf_rn(-q, by.x, a[i / 2][i % 2]), by.y, q);
    }
    if (most < 1e38f) return;
    y[0][0] = quotient(a[0][0], s.x, s.y), y[0][1] = quotient(a[0][1], s.x, s.y);
    y[1][0] = quotient(a[1][0], s2.x, s2.y), y[1][1] = quotient(a[1][1], s2.x, s2.y);
}

template <int N, int EPI> __device__ __forceinline__ void batch(const Job &j, const Out &o) {
    constexpr int groups = N / 8, chunkBytes = N * 128;
    extern __shared__ __align__(128) uint8_t room[]; // activations; weights of each warp; what it receives
    __shared__ uint64_t landed[mostChunks], weighed[mostWarps], received[mostWarps];
    __shared__ float2 scales[N];
    __shared__ int32_t sums[N];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int quads = (int)j.quads, each = (int)j.each, chunks = (int)j.chunks, warps = blockDim.x >> 5, parts = cluster_size(), part = cluster_rank();
    const int c0 = part * chunks / parts, mine = (part + 1) * chunks / parts - c0;
    // Of those who share a tile this warp is number `me`; each ends `own` groups of eight rows at most.
    const int wk = warp / (4 * quads), split = warps / (4 * quads), sharers = parts * split, me = part * split + wk;
    const int own = (groups + sharers - 1) / sharers, ends = me < groups ? (groups - me + sharers - 1) / sharers : 0;
    const int first = wk * mine / split, n = (wk + 1) * mine / split - first;
    const int m = warp - wk * 4 * quads, tile = blockIdx.x / parts * 4 * quads + m;
    const int row0 = blockIdx.y * N; // of this block
    const bool there = tile < (int)j.tiles;
    const int held = max(each, own); // of 512 bytes
    int4 *const weights = (int4 *)(room + (chunks + parts - 1) / parts * chunkBytes), *const area = weights + warps * held * 32;
    int4 *const kept = weights + warp * held * 32 + lane;

    if (lane == 0) {
        barrier_init(&weighed[warp]);
        barrier_init(&received[warp]);
    }
    if (threadIdx.x < mine) barrier_init(&landed[threadIdx.x]);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    if (threadIdx.x < mine) barrier_expect(&landed[threadIdx.x], chunkBytes);
    if (lane == 0 && there) {
        if (n > 0) {
            barrier_expect(&weighed[warp], n * 512);
            bulk_copy(kept, j.weights + ((int64_t)tile * chunks + c0 + first) * 32, n * 512, &weighed[warp]);
        }
        barrier_expect(&received[warp], ends * (sharers - 1) * 512);
    }
    pdl_release();
    Finish f;
    if (there) f.prepare(o, tile, g);
    cluster_meet();
    __syncthreads();
    pdl_wait();
    if (lane == 0)
        for (int c = warp; c < mine; c += warps) bulk_copy(room + c * chunkBytes, j.q + ((int64_t)blockIdx.y * chunks + c0 + c) * chunkBytes, chunkBytes, &landed[c]);
    if (int i = (int)threadIdx.x - 32; i >= 0 && i < N) {
        const bool row = row0 + i < j.rows;
        const float s = row ? j.s[row0 + i] : 1.f; // rows that are not there are finite, whatever their codes
        scales[i] = make_float2(s, __frcp_rn(s)), sums[i] = row ? j.sum[row0 + i] : 0;
    }
    const bool biased = o.bias;
    const int rows = (int)j.rows, act = (int)o.act;
    int row = row0 + 8 * me + 2 * t;
    float was[2][2] = {};
    float *to0 = o.dst + (int64_t)row * o.ld + f.c0, *to1 = o.dst + (int64_t)row * o.ld + f.c1;
    auto fetch = [&]() {
#pragma unroll
        for (int r = 0; r < 2; r++)
            if (EPI == RESIDUAL && row + r < rows) was[r][0] = f.c0 < 0 ? 0 : to0[r * o.ld], was[r][1] = f.c1 < 0 ? 0 : to1[r * o.ld];
    };
    if (there && ends > 0) fetch();
    // A warp without a tile multiplies what it finds, for its warpgroup.
    if (n > 0 && there)
        barrier_await(&weighed[warp], 0);
    __syncthreads();

    int acc[N / 2] = {};
    uint32_t a[2][2][4];
#pragma unroll 1
    for (int i = 0; i < n; i++) {
        const int4 x = kept[i * 32];
        const uint8_t *b = room + (first + i) * chunkBytes;
        barrier_await(&landed[first + i], 0);
        chunk_products<N>(acc, a, x, b);
    }
    products_left<0>();
    if (!there) return;
    __syncwarp();
    // Group k is ended by number k % sharers, which is warp `among` of those in block `rank`.
    const uint32_t areaAt = (uint32_t)__cvta_generic_to_shared(area + lane), barAt = (uint32_t)__cvta_generic_to_shared(received);
    const int shift = __ffs(split) - 1, shiftAll = __ffs(sharers) - 1;
#pragma unroll
    for (int k = 0; k < groups; k++) {
        const int owner = k & (sharers - 1), at = k >> shiftAll;
        if (owner == me) {
            kept[at * 32] = make_int4(acc[4 * k], acc[4 * k + 1], acc[4 * k + 2], acc[4 * k + 3]);
        } else {
            const int rank = owner >> shift, among = owner & (split - 1), to = among * 4 * quads + m, slot = (me - owner - 1) & (sharers - 1);
            const uint32_t slotAt = areaAt + 512 * ((to * own + at) * (sharers - 1) + slot), bar = barAt + 8 * to;
            if (parts == 1)
                put(slotAt, bar, acc[4 * k], acc[4 * k + 1], acc[4 * k + 2], acc[4 * k + 3]);
            else
                send(slotAt, bar, rank, acc[4 * k], acc[4 * k + 1], acc[4 * k + 2], acc[4 * k + 3]);
        }
    }
    if (ends == 0) return;
    barrier_await(&received[warp], 0);
#pragma unroll 1
    for (int i = 0; i < ends; i++, row += 8 * sharers) {
        int4 v = kept[i * 32];
        const int4 *from = area + (warp * own + i) * (sharers - 1) * 32 + lane;
#pragma unroll 1
        for (int p = 1; p < sharers; p++, from += 32) {
            const int4 w = *from;
            v.x += w.x, v.y += w.y, v.z += w.z, v.w += w.w;
        }
        if (i > 0) fetch();
        const float2 s = scales[row - row0], s2 = scales[row - row0 + 1];
        const int sum = sums[row - row0], sum2 = sums[row - row0 + 1];
        float y[2][2];
        quotients(y, v.x - sum, (v.z >> 2) - sum, s, v.y - sum2, (v.w >> 2) - sum2, s2);
        // As Finish::end does it.
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (row + r >= rows) continue;
            float y0 = __fmul_rn(__fmul_rn(y[r][0], f.scale0), f.factor0), y1 = __fmul_rn(__fmul_rn(y[r][1], f.scale1), f.factor1);
            if (biased) y0 += f.bias0, y1 += f.bias1;
            if (EPI == GATED) {
                y0 = gate_of(y0, y1, act);
            } else if (EPI == RESIDUAL) {
                y0 += was[r][0], y1 += was[r][1];
                if (f.c0 >= 0) note_bad(o.bad, row + r, (int)o.stage, f.c0, y0);
                if (f.c1 >= 0) note_bad(o.bad, row + r, (int)o.stage, f.c1, y1);
            }
            if (f.c0 >= 0) to0[r * o.ld] = y0;
            if (EPI != GATED && f.c1 >= 0) to1[r * o.ld] = y1;
        }
        to0 += 8 * sharers * o.ld, to1 += 8 * sharers * o.ld;
    }
}

#define BATCH(name, N)                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(32 * mostWarps, 1)                                                                    \
        name(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum, int64_t rows, int64_t chunks, int64_t tiles,   \
             int64_t quads, int64_t each, int64_t epilogue, Out o) {                                                                   \
        Job j = {weights, q, s, sum, rows, chunks, tiles, quads, each};                                                                \
        if (epilogue == GATED)                                                                                                         \
            batch<N, GATED>(j, o);                                                                                                     \
        else if (epilogue == RESIDUAL)                                                                                                 \
            batch<N, RESIDUAL>(j, o);                                                                                                  \
        else                                                                                                                           \
            batch<N, STORE>(j, o);                                                                                                     \
    }

BATCH(ternary_batch32, 32)
BATCH(ternary_batch48, 48)
BATCH(ternary_batch64, 64)
