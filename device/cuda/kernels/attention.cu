// build: compute_80 sm_90a
// Attention over pages of halves or codes with head dimensions 64 and 128 on tensor cores:
// attn_chunks + attn_combine for few rows (decode), attn_rows for many
// (prefill). A row gets the same bits from both.
#include "chunk.cuh"
#include <type_traits>

// attn_chunks: a CTA of four warps computes one chunk of one KV head of one row
// for the query heads that share it. The warps split the tiles of scores, then
// the dimensions of the values.
template <typename K>
__device__ __forceinline__ void attn_chunks(const __half *q, const void *k, const void *v, const Row *rows, const int32_t *table,
                                            const int32_t *list, float *m, float *l, float *o, int group, int page_size, int max_chunks, float scale) {
    constexpr int D = K::D, tiles = D / 32; // tiles of eight dimensions for a warp
    __shared__ uint4 frags[K::all * 32];
    __shared__ float4 exchange[8][32];
    int chunk = blockIdx.x, start = chunk * CHUNK, place = blockIdx.z, row = list ? list[place] : place;
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    Row at = rows[row];
    if (at.seq < 0 || start > at.pos) {
        if (chunk == 0) pdl_wait(); // a grid may not end before the one before it
        return;
    }
    Pages kv = {k, v, table + at.pages, (int)gridDim.y, (int)blockIdx.y, page_size, at.pos};
    int heads = kv.heads * group;
    int page = K::page(kv, warp, start);
    K::fetch(kv, warp, start, page);
    pdl_wait();
    K::copy(frags, kv, warp, start, page);
    pdl_release();
    for (int first = 0; first < group; first += 16) {
        int h0 = first + g, h1 = h0 + 8, head = kv.head * group;
        const __half *mine = q + ((int64_t)row * heads + head) * D;
        uint32_t qf[D / 16][4];
        load_queries<K>(qf, h0 < group ? mine + h0 * D : nullptr, h1 < group ? mine + h1 * D : nullptr);
        if (first == 0) {
            copies_done();
            K::trim(frags, kv, warp, start);
        }
        __syncthreads();
        Weights w;
        chunk_weights<K>(w, qf, frags, exchange, min(at.pos - start, CHUNK - 1), scale * 1.44269504088896341f);
        float out[tiles][4];
        chunk_values<K, tiles>(out, w, frags, tiles * warp);
#pragma unroll
        for (int r = 0; r < 2; r++) {
            int h = first + g + 8 * r;
            if (h >= group) continue;
            int64_t part = ((int64_t)place * heads + head + h) * max_chunks + chunk;
            if (warp == 0 && t == 0) m[part] = w.m[r], l[part] = w.l[r];
#pragma unroll
            for (int i = 0; i < tiles; i++)
                *(float2 *)(o + part * D + 8 * (tiles * warp + i) + 2 * t) = make_float2(out[i][2 * r], out[i][2 * r + 1]);
        }
    }
}

template <int D>
__device__ __forceinline__ void attn_combine(const float *m, const float *l, const float *o, const Row *rows, const int32_t *list, float *att, int heads, int max_chunks) {
    int head = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), place = blockIdx.y, row = list ? list[place] : place, lane = threadIdx.x & 31;
    Row at = rows[row];
    pdl_wait();
    pdl_release();
    if (at.seq < 0 || head >= heads) return;
    int64_t part = ((int64_t)place * heads + head) * max_chunks;
    float out[D / 32];
    combine_head<D>(m + part, l + part, o + part * D, at.pos / CHUNK + 1, out);
    float *dst = att + ((int64_t)row * heads + head) * D + lane * (D / 32);
#pragma unroll
    for (int i = 0; i < D / 32; i++) dst[i] = out[i];
}

// attn_rows: a CTA computes one KV head for a tile of up to 16 tokens. The 16
// rows of a warp are pairs of a token and a query head, tokens first; a CTA of
// w warps holds pairs 16w*blockIdx.z and on. Chunks come in order into two
// buffers, one being filled while the other is used; codes into one, to be spread
// into the other.
template <typename K>
__device__ __forceinline__ void attn_rows(const __half *q, const void *k, const void *v, const Row *rows, const int32_t *table,
                                          const Tile *tiles, float *att, int group, int page_size, float scale) {
    constexpr int D = K::D, step = 4;  // tiles of eight dimensions at a time
    constexpr bool spread = K::rounds; // chunks come as codes
    using F = std::conditional_t<spread, Spread<D>, Halves<D>>;
    extern __shared__ uint4 buffers[];
    Tile tile = tiles[gridDim.y - 1 - blockIdx.y]; // late tokens see most: begin with them
    int warps = blockDim.x >> 5, warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    if (tile.n <= 0 || tile.seq < 0) {
        pdl_wait();
        return;
    }
    Pages kv = {k, v, table + rows[tile.row].pages, (int)gridDim.x, (int)blockIdx.x, page_size, tile.pos + tile.n - 1};
    int heads = kv.heads * group;
    pdl_wait();
    for (int part = warp; part < 4; part += warps) K::copy(buffers, kv, part, 0, K::page(kv, part, 0));
    pdl_release();

    uint32_t qf[D / 16][4];
    int64_t at[2]; // where the two rows of this lane lie in q and att; -1: nowhere
    int pos[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int pair = 16 * (blockIdx.z * warps + warp) + g + 8 * r, token = pair / group;
        bool there = token < tile.n;
        pos[r] = there ? tile.pos + token : -1;
        at[r] = there ? ((int64_t)(tile.row + token) * heads + kv.head * group + pair % group) * D : -1;
    }
    load_queries<F>(qf, at[0] >= 0 ? q + at[0] : nullptr, at[1] >= 0 ? q + at[1] : nullptr);
    int latest = warp_max(max(pos[0], pos[1]));

    float out[D / 8][4], top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
#pragma unroll
    for (int n = 0; n < D / 8; n++) out[n][0] = out[n][1] = out[n][2] = out[n][3] = 0;
    const float factor = scale * 1.44269504088896341f;
    for (int start = 0; start <= kv.last; start += CHUNK) {
        uint4 *frags = buffers + (spread ? 0 : start / CHUNK & 1) * (K::all * 32);
        copies_done();
        if (start + CHUNK > kv.last)
            for (int part = warp; part < 4; part += warps) K::trim(frags, kv, part, start);
        __syncthreads();
        if constexpr (spread) {
            F::spread(buffers + K::all * 32, frags, warp, warps);
            frags = buffers + K::all * 32;
            __syncthreads();
        }
        if (int next = start + CHUNK; next <= kv.last) {
            uint4 *other = buffers + (spread ? 0 : next / CHUNK & 1) * (K::all * 32);
            for (int part = warp; part < 4; part += warps) K::copy(other, kv, part, next, K::page(kv, part, next));
        }
        if (start > latest) continue;
        float s[8][4];
        chunk_scores<F, 4>(s, qf, frags, 0);
        chunk_scores<F, 4>(s + 4, qf, frags, 4);
        int seen[2] = {min(pos[0] - start, CHUNK - 1), min(pos[1] - start, CHUNK - 1)};
        Weights w;
        chunk_softmax<F>(w, s, seen, factor);
        float a[2] = {1, 1}, b[2];
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (!w.on[r]) continue;
            fold_weights(top[r], w.m[r], a[r], b[r]);
            sum[r] = fold(sum[r], w.l[r], a[r], b[r]);
        }
#pragma unroll
        for (int n = 0; n < D / 8; n += step) {
            float part[step][4];
            chunk_values<F, step>(part, w, frags, n);
#pragma unroll
            for (int i = 0; i < step; i++) {
#pragma unroll
                for (int c = 0; c < 4; c++)
                    if (w.on[c >> 1]) out[n + i][c] = fold(out[n + i][c], part[i][c], a[c >> 1], b[c >> 1]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        if (at[r] < 0) continue;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            *(float2 *)(att + at[r] + 8 * n + 2 * t) = make_float2(__fdiv_rn(out[n][2 * r], sum[r]), __fdiv_rn(out[n][2 * r + 1], sum[r]));
    }
}

#define ATTENTION(K, suffix)                                                                                                                               \
    extern "C" __global__ void __launch_bounds__(128)                                                                                                       \
        attn_chunks##suffix(const __half *q, const void *k, const void *v, const Row *rows, const int32_t *table, const int32_t *list, float *m, float *l,   \
                            float *o, int64_t group, int64_t page_size, int64_t max_chunks, float scale) {                                                  \
        attn_chunks<K>(q, k, v, rows, table, list, m, l, o, (int)group, (int)page_size, (int)max_chunks, scale);                                            \
    }                                                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(128, 3)                                                                                                    \
        attn_rows##suffix(const __half *q, const void *k, const void *v, const Row *rows, const int32_t *table, const Tile *tiles, float *att, int64_t group, \
                          int64_t page_size, float scale) {                                                                                                 \
        attn_rows<K>(q, k, v, rows, table, tiles, att, (int)group, (int)page_size, scale);                                                                  \
    }

#define COMBINE(D)                                                                                                                                          \
    extern "C" __global__ void __launch_bounds__(128)                                                                                                       \
        attn_combine_##D(const float *m, const float *l, const float *o, const Row *rows, const int32_t *list, float *att, int64_t heads, int64_t max_chunks) { \
        attn_combine<D>(m, l, o, rows, list, att, (int)heads, (int)max_chunks);                                                                             \
    }

ATTENTION(Halves<64>, _64)
ATTENTION(Halves<128>, _128)
ATTENTION(Bytes<64>, _q8_64)
ATTENTION(Bytes<128>, _q8_128)
COMBINE(64)
COMBINE(128)
