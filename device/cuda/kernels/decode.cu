// build: compute_80 sm_90a
// Attention of decoding, from the projections to the quantized input of the output layer, in
// two kernels:
//
//	qkv --attn_decode--> parts of the softmax, a chunk of positions each --attn_norm--> int8 row
//
// The bits are those of place_rows, attn_chunks, attn_combine and norm.
#include "chunk.cuh"
#include "norm.cuh"
#include "ptx_int.cuh"
#include "turn.cuh"

// attn_decode is attn_chunks that takes queries, keys and values as they come from the
// projections, float32 [rows][all heads]; the CTA whose chunk has the row's own position
// puts its keys and values into the pages. ROWS is 1 where up to eight queries share a KV head:
// half of the rows of a product are nobody's then.
template <typename K, int ROWS>
__device__ __forceinline__ void attn_decode(uint4 *frags, float4 (&exchange)[8][32], __half (&queries)[16][K::D], const float *qkv, typename K::Word *k, typename K::Word *v, const Row *rows, const int32_t *table, const float *cosines,
                                            const float *sines, float *m, float *l, float *o, int max_chunks, float scale, const Shape &a) {
    constexpr int D = K::D, tiles = D / 32;
    int chunk = blockIdx.x, start = chunk * CHUNK, row = blockIdx.z, group = (int)(a.heads / a.kvHeads);
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    Row at = rows[row];
    pdl_release();
    if (at.seq < 0 || start > at.pos) {
        if (chunk == 0) pdl_wait(); // a grid may not end before the one before it
        return;
    }
    // What earlier steps left is brought before the projections are there, the row's own
    // keys and values come from them.
    Pages kv = {k, v, table + at.pages, (int)a.kvHeads, (int)blockIdx.y, (int)a.pageSize, at.pos - 1};
    K::copy(frags, kv, warp, start, K::page(kv, warp, start));
    const bool own = at.pos - start < CHUNK;
    int64_t slot = 0, page = 0;
    if (own) slot = at.pos % a.pageSize, page = ((int64_t)kv.table[at.pos / a.pageSize] * a.kvHeads + kv.head) * a.pageSize * K::each;
    const float *all = qkv + (int64_t)row * (a.heads + 2 * a.kvHeads) * D;
    pdl_wait();
    for (int first = 0; first < group; first += 16) {
        int here = min(16, group - first);
        const float *mine = all + (int64_t)(kv.head * group + first) * D;
        for (int i = threadIdx.x; i < here * (D / 2); i += blockDim.x) {
            int h = i / (D / 2), pair = i % (D / 2);
            turn(mine + h * D, pair, a, angle_of(cosines, sines, at.pos, pair, a), [&](int j, float x) { queries[h][j] = __float2half_rn(x); });
        }
        if (first == 0) {
            copies_done();
            K::trim(frags, kv, warp, start);
            if (own) {
                __syncthreads();
                const float *key = all + (a.heads + kv.head) * D, *value = key + a.kvHeads * D;
                const int at_chunk = at.pos - start;
                if constexpr (K::rounds) {
                    float *raw = (float *)exchange;
                    if (int i = threadIdx.x; i < D / 2) turn(key, i, a, angle_of(cosines, sines, at.pos, i, a), [&](int d, float x) { raw[d] = x; });
                    __syncthreads();
                    K::put(frags, at_chunk, raw, value, k + page, v + page, (int)a.pageSize, (int)slot, warp, 4);
                } else {
                    __half *to = (__half *)frags;
                    if (int i = threadIdx.x; i < D / 2)
                        turn(key, i, a, angle_of(cosines, sines, at.pos, i, a),
                             [&](int d, float x) { to[K::key_at(at_chunk, d)] = k[page + slot * D + d] = __float2half_rn(x); });
                    for (int d = threadIdx.x; d < D; d += blockDim.x) to[K::value_at(at_chunk, d)] = v[page + d * a.pageSize + slot] = __float2half_rn(value[d]);
                }
            }
        }
        __syncthreads();
        uint32_t qf[D / 16][4];
        load_queries<K>(qf, g < here ? queries[g] : nullptr, g + 8 < here ? queries[g + 8] : nullptr);
        Weights w;
        chunk_weights<K, ROWS>(w, qf, frags, exchange, min(at.pos - start, CHUNK - 1), scale * 1.44269504088896341f);
        float out[tiles][4];
        chunk_values<K, tiles>(out, w, frags, tiles * warp);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            int h = g + 8 * r;
            if (h >= here) continue;
            int64_t part = ((int64_t)row * a.heads + kv.head * group + first + h) * max_chunks + chunk;
            if (warp == 0 && t == 0) m[part] = w.m[r], l[part] = w.l[r];
#pragma unroll
            for (int i = 0; i < tiles; i++)
                *(float2 *)(o + part * D + 8 * (tiles * warp + i) + 2 * t) = make_float2(out[i][2 * r], out[i][2 * r + 1]);
        }
    }
}

// attn_norm folds the chunks of all heads of a row, a warp a head, and normalizes and
// quantizes what comes out.
template <int D, int V>
__device__ __forceinline__ void attn_norm(const float *m, const float *l, const float *o, const Row *rows, const float *weights, float eps,
                                          int8_t *q, float *s, int32_t *sum, int heads, int max_chunks, int64_t shape) {
    extern __shared__ float4 quads[];
    float *att = (float *)quads;
    __shared__ NormScratch scratch;
    int row = blockIdx.x, lane = threadIdx.x & 31, warps = blockDim.x >> 5, cols = heads * D;
    Row at = rows[row];
    float4 w[V];
    pdl_release();
    if (weights) load_row<normLanes, V>(w, weights, cols, true);
    double inverse = 1.0 / (double)cols;
    float scale;
    int32_t total;
    Coded coded(q, shape, row);
    const int count = coded.count, chunks = at.pos / CHUNK + 1;
    // The dry round is with the weights.
#pragma unroll 1
    for (int round = weights && gridDim.x <= dryBlocks ? 0 : 1; round < 2; round++) {
        if (round) pdl_wait();
        if (at.seq < 0) continue;
        for (int head = threadIdx.x >> 5; head < heads; head += warps) {
            const int64_t part = ((int64_t)row * heads + head) * max_chunks;
            float out[D / 32];
            combine_head<D>(round ? m + part : weights, round ? l + part : weights, round ? o + part * D : weights, round ? chunks : min(chunks, heads), out);
#pragma unroll
            for (int i = 0; i < D / 32; i++) att[head * D + lane * (D / 32) + i] = out[i];
        }
        __syncthreads();
        float4 v[V];
        load_row<normLanes, V>(v, att, cols, true);
        coded.count = round ? count : 0;
        norm_row<normLanes, V>(v, weights != nullptr, w, inverse, eps, cols, nullptr, coded, scratch, scale, total);
    }
    if (at.seq < 0) return;
    if (threadIdx.x == 0) s[row] = scale, sum[row] = total;
}

// attn_each is attn_decode for many rows: a CTA goes through all chunks of a KV head of a
// row and writes the finished heads, float32. Keys and values have two buffers each, and are
// asked for as soon as one of these is free: half of the warps bring keys, two chunks ahead.
template <typename K, int ROWS>
__device__ __forceinline__ void attn_each(uint4 *buffers, float4 (&exchange)[8][32], __half (&queries)[16][K::D], const float *qkv, typename K::Word *k, typename K::Word *v, const Row *rows, const int32_t *table, const float *cosines,
                                          const float *sines, float *att, float scale, const Shape &a) {
    constexpr int D = K::D, tiles = D / 32;
    int row = blockIdx.y, group = (int)(a.heads / a.kvHeads);
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    Row at = rows[row];
    pdl_release();
    if (at.seq < 0) {
        pdl_wait();
        return;
    }
    Pages kv = {k, v, table + at.pages, (int)a.kvHeads, (int)blockIdx.x, (int)a.pageSize, at.pos - 1};
    const bool keys = warp < 2;
    // bring begins to copy the warp's part of a chunk, if there is such a chunk.
    auto bring = [&](int start) {
        if (start <= at.pos) K::copy(buffers + (start / CHUNK & 1) * (K::all * 32), kv, warp, start, K::page(kv, warp, start));
        copies_group();
    };
    bring(0);
    if (keys) bring(CHUNK);
    int64_t slot = at.pos % a.pageSize, page = ((int64_t)kv.table[at.pos / a.pageSize] * a.kvHeads + kv.head) * a.pageSize * K::each;
    const float *all = qkv + (int64_t)row * (a.heads + 2 * a.kvHeads) * D;
    pdl_wait();
    const float *mine = all + (int64_t)(kv.head * group) * D;
    for (int i = threadIdx.x; i < group * (D / 2); i += blockDim.x) {
        int h = i / (D / 2), pair = i % (D / 2);
        turn(mine + h * D, pair, a, angle_of(cosines, sines, at.pos, pair, a), [&](int j, float x) { queries[h][j] = __float2half_rn(x); });
    }
    __syncthreads();
    uint32_t qf[D / 16][4];
    load_queries<K>(qf, g < group ? queries[g] : nullptr, g + 8 < group ? queries[g + 8] : nullptr);
    float out[tiles][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
    const float factor = scale * 1.44269504088896341f;
    for (int start = 0; start <= at.pos; start += CHUNK) {
        uint4 *frags = buffers + (start / CHUNK & 1) * (K::all * 32);
        if (start + CHUNK > at.pos) {
            copies_done();
            K::trim(frags, kv, warp, start);
            __syncthreads();
            const float *key = all + (a.heads + kv.head) * D, *value = key + a.kvHeads * D;
            const int in = at.pos - start;
            if constexpr (K::rounds) {
                float *raw = (float *)exchange;
                if (int i = threadIdx.x; i < D / 2) turn(key, i, a, angle_of(cosines, sines, at.pos, i, a), [&](int d, float x) { raw[d] = x; });
                __syncthreads();
                K::put(frags, in, raw, value, k + page, v + page, (int)a.pageSize, (int)slot, warp, 4);
            } else {
                __half *to = (__half *)frags;
                if (int i = threadIdx.x; i < D / 2)
                    turn(key, i, a, angle_of(cosines, sines, at.pos, i, a),
                         [&](int d, float x) { to[K::key_at(in, d)] = k[page + slot * D + d] = __float2half_rn(x); });
                for (int d = threadIdx.x; d < D; d += blockDim.x) to[K::value_at(in, d)] = v[page + d * a.pageSize + slot] = __float2half_rn(value[d]);
            }
        } else if (keys) {
            copies_left<1>();
        }
        __syncthreads();
        if (!keys) bring(start + CHUNK);
        Weights w;
        chunk_weights<K, ROWS>(w, qf, frags, exchange, min(at.pos - start, CHUNK - 1), factor, [&] { if (!keys) copies_left<1>(); }, [&] { if (keys) bring(start + 2 * CHUNK); });
        float part[tiles][4], x[2], y[2];
        chunk_values<K, tiles>(part, w, frags, tiles * warp);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            fold_weights(top[r], w.m[r], x[r], y[r]);
            sum[r] = fold(sum[r], w.l[r], x[r], y[r]);
        }
#pragma unroll
        for (int i = 0; i < tiles; i++) {
#pragma unroll
            for (int c = 0; c < 2 * ROWS; c++) out[i][c] = fold(out[i][c], part[i][c], x[c >> 1], y[c >> 1]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int h = g + 8 * r;
        if (h >= group) continue;
        float *to = att + ((int64_t)row * a.heads + kv.head * group + h) * D;
#pragma unroll
        for (int i = 0; i < tiles; i++)
            *(float2 *)(to + 8 * (tiles * warp + i) + 2 * t) = make_float2(__fdiv_rn(out[i][2 * r], sum[r]), __fdiv_rn(out[i][2 * r + 1], sum[r]));
    }
}

// Blocks of attn_decode on a multiprocessor: with five, 16 rows of 512 positions are at work at once. With three of
// attn_each, 64 rows are.
#if __CUDA_ARCH__ >= 900
constexpr int decodeBlocks = 5, eachBlocks = 3;
#else
constexpr int decodeBlocks = 1, eachBlocks = 1;
#endif

#define DECODE(K, D, suffix, ...)                                                                                                               \
    extern "C" __global__ void __launch_bounds__(128, decodeBlocks)                                                                       \
        attn_decode##suffix(const float *qkv, K::Word *k, K::Word *v, const Row *rows, const int32_t *table, const float *cosines,        \
                            const float *sines, float *m, float *l, float *o, int64_t max_chunks, float scale, Shape a) {                 \
        __shared__ uint4 frags[K::all * 32];                                                                                              \
        __shared__ float4 exchange[8][32];                                                                                                \
        __shared__ __align__(16) __half queries[16][D];                                                                                   \
        if (a.heads <= 8 * a.kvHeads)                                                                                                     \
            attn_decode<K, 1>(frags, exchange, queries, qkv, k, v, rows, table, cosines, sines, m, l, o, (int)max_chunks, scale, a);      \
        else                                                                                                                              \
            attn_decode<K, 2>(frags, exchange, queries, qkv, k, v, rows, table, cosines, sines, m, l, o, (int)max_chunks, scale, a);      \
    }                                                                                                                                     \
    extern "C" __global__ void __launch_bounds__(128 __VA_OPT__(,) __VA_ARGS__)                                                           \
        attn_each##suffix(const float *qkv, K::Word *k, K::Word *v, const Row *rows, const int32_t *table, const float *cosines,          \
                          const float *sines, float *att, float scale, Shape a) {                                                         \
        extern __shared__ uint4 buffers[];                                                                                                \
        __shared__ float4 exchange[8][32];                                                                                                \
        __shared__ __align__(16) __half queries[16][D];                                                                                   \
        if (a.heads <= 8 * a.kvHeads)                                                                                                     \
            attn_each<K, 1>(buffers, exchange, queries, qkv, k, v, rows, table, cosines, sines, att, scale, a);                           \
        else                                                                                                                              \
            attn_each<K, 2>(buffers, exchange, queries, qkv, k, v, rows, table, cosines, sines, att, scale, a);                           \
    }

#define FOLD(name, D, VALUES)                                                                                                                \
    extern "C" __global__ void __launch_bounds__(640)                                                                                     \
        name(const float *m, const float *l, const float *o, const Row *rows, const float *weights, float eps, int8_t *q, float *s,       \
             int32_t *sum, int64_t heads, int64_t max_chunks, int64_t shape) {                                                           \
        attn_norm<D, VALUES / 4>(m, l, o, rows, weights, eps, q, s, sum, (int)heads, (int)max_chunks, shape);                             \
    }

DECODE(Halves<64>, 64, _64)
DECODE(Halves<128>, 128, _128)
DECODE(Bytes<64>, 64, _q8_64, eachBlocks)
DECODE(Bytes<128>, 128, _q8_128, eachBlocks)
FOLD(attn_norm12_64, 64, 12)
FOLD(attn_norm12_128, 128, 12)
FOLD(attn_norm32_64, 64, 32)
FOLD(attn_norm32_128, 128, 32)
