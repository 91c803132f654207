// build: sm_90a
// Attention of decoding where blocks can write into each other's shared memory: a cluster computes a
// KV head of a row, a chunk of 64 positions each block, round after round of eight.
//
//	qkv ──▶ chunk 8r    ─┐ maxima, sums, values             ┌──▶ dimensions 0 .. D/8-1    of all heads, folded
//	qkv ──▶ chunk 8r+1  ─┼─ st.async, by dimension, to ─────┼──▶ dimensions D/8 .. 2D/8-1
//	       ...          ─┘ the block that folds them        └──▶ ...
//
// The bits are those of attn_decode and of the fold in attn_norm.
#include "bulk.cuh"
#include "chunk.cuh"
#include "ptx_int.cuh"
#include "turn.cuh"

constexpr int ranks = 8;

// Room is a block's shared memory behind one or two buffers for chunks. Heads are 8·ROWS at most.
template <int D, int ROWS> struct Room {
    static constexpr int slice = D / ranks, heads = 8 * ROWS;
    typedef float Parts[ranks][heads][slice];

    uint64_t come[2]; // of even and odd rounds: what the blocks of a cluster send
    float2 weights[2][ranks][heads];
    float4 exchange[4 * ROWS][32]; // half of it is enough where rows g + 8 are nobody's
    Parts even;
    union {
        __half queries[heads][D]; // which all blocks have read before one sends what is for an odd round
        Parts odd;                // only there where there is more than one round
    };
};

// send writes two floats to another block of the cluster, which counts the bytes at its barrier.
__device__ __forceinline__ void send(const void *to, const uint64_t *bar, uint32_t rank, float x, float y) {
    asm volatile("{\n.reg .u32 a, b;\nmapa.shared::cluster.u32 a, %0, %2;\nmapa.shared::cluster.u32 b, %1, %2;\n"
                 "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [a], {%3, %4}, [b];\n}" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
                 "r"((uint32_t)__cvta_generic_to_shared(bar)), "r"(rank), "f"(x), "f"(y)
                 : "memory");
}

// Decode are the arguments.
struct Decode {
    const float *qkv;
    __half *k, *v;
    const Row *rows;
    const int32_t *table;
    const float *cosines, *sines;
    float *att; // [rows][heads][D]
    int64_t buffers; // for chunks: 1, or 2 where there is room for all blocks then
    float scale;
};

template <int D, int ROWS> __device__ __forceinline__ void decode(const Decode &c, const Shape &a) {
    using R = Room<D, ROWS>;
    constexpr int tiles = D / 32;
    extern __shared__ uint4 shared[];
    const int buffers = (int)c.buffers;
    R &room = *(R *)(shared + buffers * Frags<D>::all * 32);
    const int rank = cluster_rank(), row = blockIdx.z, group = (int)(a.heads / a.kvHeads);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const Row at = c.rows[row];
    pdl_release();
    if (at.seq < 0) {
        pdl_wait();
        return;
    }
    const Pages kv = {c.k, c.v, c.table + at.pages, (int)a.kvHeads, (int)blockIdx.y, (int)a.pageSize, at.pos - 1};
    const int chunks = at.pos / CHUNK + 1;
    // bring begins to copy a chunk, if there is such a chunk; arm tells how much comes in a round.
    auto bring = [&](int chunk) {
        if (chunk < chunks) copy_part<D>(shared + (chunk / ranks & buffers - 1) * (Frags<D>::all * 32), kv, warp, chunk * CHUNK, part_page(kv, warp, chunk * CHUNK));
        copies_group();
    };
    auto arm = [&](int round) {
        if (int here = min(ranks, chunks - ranks * round); here > 0 && threadIdx.x == 0) barrier_expect(&room.come[round & 1], here * group * (R::slice * 4 + 8));
    };
    bring(rank);
    if (threadIdx.x == 0) {
        barrier_init(&room.come[0]), barrier_init(&room.come[1]);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    if (buffers == 2) bring(rank + ranks);
    arm(0), arm(1);
    cluster_meet();
    const int64_t slot = at.pos % a.pageSize, page = ((int64_t)kv.table[at.pos / a.pageSize] * a.kvHeads + kv.head) * a.pageSize * D;
    const float *all = c.qkv + (int64_t)row * (a.heads + 2 * a.kvHeads) * D;
    // A thread turns the same pair of every so many heads.
    constexpr int apart = 128 / (D / 2);
    const int pair_at = threadIdx.x % (D / 2), head_at = threadIdx.x / (D / 2);
    const Pair pair(pair_at, a);
    const Angle by = angle_of(c.cosines, c.sines, at.pos, pair_at, a);
    const bool own = (chunks - 1) % ranks == rank;
    pdl_wait();
    float2 key = {};
    float value = 0;
    if (rank < chunks) {
        const float *mine = all + (int64_t)(kv.head * group) * D;
        float2 raw[8 * ROWS / apart];
#pragma unroll
        for (int i = 0; i < 8 * ROWS / apart; i++)
            if (int h = i * apart + head_at; h < group) raw[i] = pair.of(mine + h * D);
        if (own) {
            const float *from = all + (a.heads + kv.head) * D;
            if (head_at == 0) key = pair.of(from);
            if (threadIdx.x < D) value = from[a.kvHeads * D + threadIdx.x];
        }
#pragma unroll
        for (int i = 0; i < 8 * ROWS / apart; i++)
            if (int h = i * apart + head_at; h < group) pair.put(raw[i], by, [&](int j, float x) { room.queries[h][j] = __float2half_rn(x); });
    }
    uint32_t qf[D / 16][4];
    float top[ROWS], sum[ROWS], out[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) top[r] = -INFINITY, sum[r] = out[r] = 0;
#pragma unroll 1
    for (int round = 0; ranks * round < chunks; round++) {
        const int chunk = ranks * round + rank, start = chunk * CHUNK, odd = round & 1;
        auto &here = odd ? room.odd : room.even;
        if (buffers == 2) copies_left<1>();
        else copies_done();
        if (chunk < chunks) {
            uint4 *frags = shared + (odd & buffers - 1) * (Frags<D>::all * 32);
            trim_part<D>(frags, kv, warp, start);
            __syncthreads();
            if (round == 0) load_queries<D>(qf, g < group ? room.queries[g] : nullptr, ROWS == 2 && g + 8 < group ? room.queries[8 * (ROWS - 1) + g] : nullptr);
            if (chunk == chunks - 1) {
                __half *to = (__half *)frags;
                const int in = at.pos - start;
                if (head_at == 0) pair.put(key, by, [&](int d, float x) { to[key_at<D>(in, d)] = c.k[page + slot * D + d] = __float2half_rn(x); });
                if (int d = threadIdx.x; d < D) to[value_at<D>(in, d)] = c.v[page + d * a.pageSize + slot] = __float2half_rn(value);
                __syncthreads();
            }
            Weights w;
            chunk_weights<D, ROWS>(w, qf, frags, *(float4(*)[8][32])room.exchange, min(at.pos - start, CHUNK - 1), c.scale * 1.44269504088896341f);
            float part[tiles][4];
            chunk_values<D, tiles>(part, w, frags, tiles * warp);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const int h = g + 8 * r;
                if (h >= group) continue;
                if (t % 2 == 0) send(&room.weights[odd][rank][h], &room.come[odd], 2 * warp + t / 2, w.m[r], w.l[r]);
#pragma unroll
                for (int i = 0; i < tiles; i++) {
                    const int d = 8 * (tiles * warp + i) + 2 * t;
                    send(&here[rank][h][d % R::slice], &room.come[odd], d / R::slice, part[i][2 * r], part[i][2 * r + 1]);
                }
            }
            if (buffers == 1 && chunk + ranks < chunks) {
                __syncthreads();
                bring(chunk + ranks);
            }
        }
        while (!barrier_landed(&room.come[odd], round >> 1 & 1)) {
        }
        arm(round + 2);
        const int n = min(ranks, chunks - ranks * round);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const int i = threadIdx.x + r * 128, h = i / R::slice, d = i % R::slice;
#pragma unroll
            for (int k = 0; k < ranks; k++) {
                if (k >= n || h >= group) break;
                const float2 w = room.weights[odd][k][h];
                float x, y;
                fold_weights(top[r], w.x, x, y);
                sum[r] = fold(sum[r], w.y, x, y);
                out[r] = fold(out[r], here[k][h][d], x, y);
            }
        }
        if (ranks * (round + 1) >= chunks) break;
        __syncthreads();
        if (buffers == 2) bring(chunk + 2 * ranks);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int i = threadIdx.x + r * 128, h = i / R::slice, d = i % R::slice;
        if (h < group) c.att[((int64_t)row * a.heads + kv.head * group + h) * D + rank * R::slice + d] = __fdiv_rn(out[r], sum[r]);
    }
}

#define CLUSTER(D)                                                                                                                          \
    extern "C" __global__ void __launch_bounds__(128, 5)                                                                                    \
        attn_cluster_##D(const float *qkv, __half *k, __half *v, const Row *rows, const int32_t *table, const float *cosines, const float *sines, \
                         float *att, int64_t buffers, float scale, Shape a) {                                                               \
        const Decode c = {qkv, k, v, rows, table, cosines, sines, att, buffers, scale};                                                     \
        if (a.heads <= 8 * a.kvHeads)                                                                                                       \
            decode<D, 1>(c, a);                                                                                                             \
        else                                                                                                                                \
            decode<D, 2>(c, a);                                                                                                             \
    }

CLUSTER(64)
CLUSTER(128)
