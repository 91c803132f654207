// Attention of decoding where blocks can write into each other's shared memory: a cluster of N blocks computes a
// KV head of a row, a chunk of 64 positions each block in turn.
//
//	qkv ──▶ chunks r, N+r     ─┐ maxima, sums, values             ┌──▶ dimensions 0 .. D/N-1    of all heads, folded
//	qkv ──▶ chunks r+1, N+r+1 ─┼─ st.async, by dimension, to ─────┼──▶ dimensions D/N .. 2D/N-1
//	       ...                ─┘ the block that folds them        └──▶ ...
//
// The bits are those of attn_decode and of the fold in attn_norm.
//
// BLOCKS may be on a multiprocessor at a time: few where there are few, which lie apart then; many where they would wait.
#include "bulk.cuh"
#include "chunk.cuh"
#include "ptx_int.cuh"
#include "turn.cuh"

// Room is a block's shared memory behind that of a chunk; behind it a key and a value have room where they are rounded. HEADS at most share
// a KV head.
template <int D, int HEADS, int N> struct Room {
    static constexpr int rows = HEADS > 8 ? 2 : 1, slice = (D + 2 * N - 1) / (2 * N) * 2; // slice: dimensions that a block folds at most
    static constexpr int turns = HEADS > 4 ? 2 : 4;                                       // of a round: until others may be overwritten

    uint64_t come[turns]; // what the blocks of a cluster send
    float2 weights[turns][N][HEADS];
    union {
        float4 exchange[4 * rows][32]; // half of it is enough where rows g + 8 are nobody's
        __half queries[HEADS][D];      // before
    };
    float parts[turns][N][HEADS][slice];
};

// send writes two floats to another block of the cluster, which counts the bytes at its barrier.
__device__ __forceinline__ void send(const void *to, const uint64_t *bar, uint32_t rank, float x, float y) {
    asm volatile("{\n.reg .u32 a, b;\nmapa.shared::cluster.u32 a, %0, %2;\nmapa.shared::cluster.u32 b, %1, %2;\n"
                 "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [a], {%3, %4}, [b];\n}" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
                 "r"((uint32_t)__cvta_generic_to_shared(bar)), "r"(rank), "f"(x), "f"(y)
                 : "memory");
}

// Decode are the arguments.
template <typename K> struct Decode {
    const float *qkv;
    typename K::Word *k, *v;
    const Row *rows;
    const int32_t *table;
    const float *cosines, *sines;
    float *att; // [rows][heads][D]
    float scale;
};

// cluster_sync is cluster_meet for what the blocks have read.
__device__ __forceinline__ void cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory"); }

template <typename K, int HEADS, int N> __device__ __forceinline__ void decode(const Decode<K> &c, const Shape &a) {
    constexpr int D = K::D;
    using R = Room<D, HEADS, N>;
    constexpr int ROWS = R::rows, TURNS = R::turns, tiles = D / 32, each = (HEADS * R::slice + 127) / 128; // each thread folds so many values
    extern __shared__ uint4 frags[];
    R &room = *(R *)(frags + K::all * 32);
    float *const raw = (float *)(&room + 1); // the row's own key and value, where they are rounded
    const int rank = cluster_rank(), row = blockIdx.z, group = (int)(a.heads / a.kvHeads);
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const bool keys = warp < 2; // what the warp brings
    const int folds = min(R::slice, D - rank * R::slice); // dimensions that this block folds
    const Row at = c.rows[row];
    pdl_release();
    if (at.seq < 0) {
        pdl_wait();
        return;
    }
    const Pages kv = {c.k, c.v, c.table + at.pages, (int)a.kvHeads, (int)blockIdx.y, (int)a.pageSize, at.pos - 1};
    const int chunks = at.pos / CHUNK + 1;
    // bring begins to copy the warp's part of a chunk from the page that was looked up before; arm tells how much comes in a round.
    int page = rank < chunks ? K::page(kv, warp, rank * CHUNK) : 0;
    auto bring = [&](int chunk) {
        K::copy(frags, kv, warp, chunk * CHUNK, page);
        if (chunk + N < chunks) page = K::page(kv, warp, (chunk + N) * CHUNK);
    };
    auto arm = [&](int from) {
#pragma unroll
        for (int i = 0; i < TURNS; i++)
            if (int here = min(N, chunks - from - i * N); here > 0 && threadIdx.x == 0) barrier_expect(&room.come[i], here * group * (folds * 4 + 8));
    };
    if (rank < chunks) bring(rank);
    if (threadIdx.x == 0) {
#pragma unroll
        for (int i = 0; i < TURNS; i++) barrier_init(&room.come[i]);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    arm(0);
    cluster_meet();
    const int64_t slot = at.pos % a.pageSize, own_page = ((int64_t)kv.table[at.pos / a.pageSize] * a.kvHeads + kv.head) * a.pageSize * K::each;
    const float *all = c.qkv + (int64_t)row * (a.heads + 2 * a.kvHeads) * D;
    // A thread turns the same pair of every so many heads.
    constexpr int apart = 128 / (D / 2);
    const int pair_at = threadIdx.x % (D / 2), head_at = threadIdx.x / (D / 2);
    const Pair pair(pair_at, a);
    const Angle by = angle_of(c.cosines, c.sines, at.pos, pair_at, a);
    const bool own = (chunks - 1) % N == rank;
    pdl_wait();
    float2 key = {};
    float value = 0;
    if (rank < chunks) {
        const float *mine = all + (int64_t)(kv.head * group) * D;
        float2 query[HEADS / apart];
#pragma unroll
        for (int i = 0; i < HEADS / apart; i++)
            if (int h = i * apart + head_at; h < group) query[i] = pair.of(mine + h * D);
        if (own) {
            const float *from = all + (a.heads + kv.head) * D;
            if (head_at == 0) key = pair.of(from);
            if (threadIdx.x < D) value = from[a.kvHeads * D + threadIdx.x];
        }
#pragma unroll
        for (int i = 0; i < HEADS / apart; i++)
            if (int h = i * apart + head_at; h < group) pair.put(query[i], by, [&](int j, float x) { room.queries[h][j] = __float2half_rn(x); });
        if (K::rounds && own) {
            if (head_at == 0) pair.put(key, by, [&](int d, float x) { raw[d] = x; });
            if (int d = threadIdx.x; d < D) raw[D + d] = value;
        }
    }
    uint32_t qf[D / 16][4];
    float top[each], sum[each], out[each];
#pragma unroll
    for (int r = 0; r < each; r++) top[r] = -INFINITY, sum[r] = out[r] = 0;
#pragma unroll 1
    for (int from = 0, phase = 0; from < chunks; from += TURNS * N, phase ^= 1) {
        auto fold_turn = [&](int turn) {
            const int n = min(N, chunks - from - turn * N);
            barrier_await(&room.come[turn], phase);
#pragma unroll
            for (int r = 0; r < each; r++) {
                const int i = threadIdx.x + r * 128, h = i / R::slice, d = i % R::slice;
#pragma unroll
                for (int k = 0; k < N; k++) {
                    if (k >= n || h >= group) break;
                    const float2 w = room.weights[turn][k][h];
                    float x, y;
                    fold_weights(top[r], w.x, x, y);
                    sum[r] = fold(sum[r], w.y, x, y);
                    out[r] = fold(out[r], room.parts[turn][k][h][d], x, y);
                }
            }
        };
#pragma unroll 1
        for (int turn = 0;; turn++) {
            const int chunk = from + turn * N + rank, start = chunk * CHUNK;
            const bool over = turn == TURNS || from + turn * N >= chunks;
            if (!over && chunk < chunks) {
                const bool last = chunk == chunks - 1, more = chunk + N < chunks;
                if (keys || last) {
                    copies_done();
                    K::trim(frags, kv, warp, start);
                }
                __syncthreads();
                if (chunk < N) load_queries<K>(qf, g < group ? room.queries[g] : nullptr, ROWS == 2 && g + 8 < group ? room.queries[8 * (ROWS - 1) + g] : nullptr);
                if (last) {
                    const int in = at.pos - start;
                    if constexpr (K::rounds) {
                        K::put(frags, in, raw, raw + D, c.k + own_page, c.v + own_page, (int)a.pageSize, (int)slot, warp, 4);
                    } else {
                        __half *to = (__half *)frags;
                        if (head_at == 0) pair.put(key, by, [&](int d, float x) { to[K::key_at(in, d)] = c.k[own_page + slot * D + d] = __float2half_rn(x); });
                        if (int d = threadIdx.x; d < D) to[K::value_at(in, d)] = c.v[own_page + d * a.pageSize + slot] = __float2half_rn(value);
                    }
                }
                if (chunk < N || last) __syncthreads();
                // Values are waited for when the scores have been computed; the next keys are asked for then, the next values when these have been used.
                Weights w;
                chunk_weights<K, ROWS>(
                    w, qf, frags, *(float4(*)[8][32])room.exchange, min(at.pos - start, CHUNK - 1), c.scale * 1.44269504088896341f,
                    [&] {
                        if (!keys && !last) copies_done();
                    },
                    [&] {
                        if (keys && more) bring(chunk + N);
                    });
                float part[tiles][4];
                chunk_values<K, tiles>(part, w, frags, tiles * warp);
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    const int h = g + 8 * r;
                    if (h >= group) continue;
                    if (int to = warp + 4 * t; to < N) send(&room.weights[turn][rank][h], &room.come[turn], to, w.m[r], w.l[r]);
#pragma unroll
                    for (int i = 0; i < tiles; i++) {
                        const int d = 8 * (tiles * warp + i) + 2 * t;
                        send(&room.parts[turn][rank][h][d % R::slice], &room.come[turn], d / R::slice, part[i][2 * r], part[i][2 * r + 1]);
                    }
                }
                if (more) {
                    __syncthreads();
                    if (!keys) bring(chunk + N);
                }
            }
            // The chunks of a turn are folded when those of the next are on their way.
            if (turn > 0) fold_turn(turn - 1);
            if (over) break;
        }
        if (from + TURNS * N >= chunks) break;
        arm(from + TURNS * N);
        cluster_sync(); // before somebody sends what is for the next round
    }
#pragma unroll
    for (int r = 0; r < each; r++) {
        const int i = threadIdx.x + r * 128, h = i / R::slice, d = i % R::slice;
        if (h < group && d < folds) c.att[((int64_t)row * a.heads + kv.head * group + h) * D + rank * R::slice + d] = __fdiv_rn(out[r], sum[r]);
    }
}

#define CLUSTER(N, BLOCKS, D, HEADS, K, suffix)                                                                                             \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS)                                                                               \
        attn_cluster##N##x##BLOCKS##suffix##_##D##_##HEADS(const float *qkv, K<D>::Word *k, K<D>::Word *v, const Row *rows, const int32_t *table, \
                                                   const float *cosines, const float *sines, float *att, float scale, Shape a) {            \
        decode<K<D>, HEADS, N>({qkv, k, v, rows, table, cosines, sines, att, scale}, a);                                                    \
    }

#define CLUSTER_DIMS(N, BLOCKS, HEADS, K, suffix) CLUSTER(N, BLOCKS, 64, HEADS, K, suffix) CLUSTER(N, BLOCKS, 128, HEADS, K, suffix)

// CLUSTERS are those of clusterShapes (clusters.go), for one way to keep keys and values.
#define CLUSTERS(K, suffix)              \
    CLUSTER_DIMS(8, 4, 4, K, suffix)     \
    CLUSTER_DIMS(6, 4, 4, K, suffix)     \
    CLUSTER_DIMS(5, 4, 4, K, suffix)     \
    CLUSTER_DIMS(5, 5, 4, K, suffix)     \
    CLUSTER_DIMS(4, 5, 4, K, suffix)     \
    CLUSTER_DIMS(3, 4, 4, K, suffix)     \
    CLUSTER_DIMS(2, 4, 4, K, suffix)     \
    CLUSTER_DIMS(8, 4, 16, K, suffix)    \
    CLUSTER_DIMS(6, 4, 16, K, suffix)    \
    CLUSTER_DIMS(5, 4, 16, K, suffix)    \
    CLUSTER_DIMS(4, 4, 16, K, suffix)
