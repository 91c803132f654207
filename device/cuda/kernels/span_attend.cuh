// Attention of a span: chunks of 64 positions as attn_decode, folded as combine_head does.
#pragma once
#include "span.cuh"
#include "turn.cuh"

// SpanAttention is the shared memory of a chunk.
template <typename K> struct SpanAttention {
    static constexpr int D = K::D;
    uint4 frags[K::all * 32];
    __half queries[8][D];
    float raw[10 * D];         // queries of up to eight heads, key, value
    float2 exchange[2][8][32]; // scores of odd and even units
};

// pages_of is a KV head of a row in one block.
__device__ __forceinline__ Pages pages_of(const Span &a, const void *k, const void *v, const Row &at, int head) {
    return {k, v, a.table + at.pages, (int)a.shape.kvHeads, head, (int)a.shape.pageSize, at.pos - 1};
}

// bring_unit lets keys and values of earlier steps come for a chunk of a row, and what else is known before the
// queries are; `come` says when all is there. A warp does it.
template <typename K> __device__ __forceinline__ void bring_unit(const Span &a, const void *k, const void *v, const Row &at, int head, int chunk, SpanUnit &u, uint64_t *come, SpanAttention<K> &m) {
    const int lane = threadIdx.x & 31, size = (int)a.shape.pageSize;
    const Pages kv = pages_of(a, k, v, at, head);
    const int start = chunk * CHUNK;
#pragma unroll 1
    for (int part = 0; part < 4; part++) K::copy(m.frags, kv, part, start, K::page(kv, part, start));
    for (int i = lane; i < K::D / 2; i += 32) u.by[i] = angle_of(a.cosines, a.sines, at.pos, i, a.shape);
    if (lane == 0) u.own = a.table[at.pages + at.pos / size], u.slot = at.pos % size;
    copies_done();
    for (int part = 2; part < 4; part++) K::trim(m.frags, kv, part, start);
    __syncwarp();
    if (lane == 0) barrier_arrive(come);
}

constexpr int attending = 8; // warps that compute a chunk

// Whole is a team of all threads of a CTA that attend to a chunk together.
struct Whole {
    static constexpr int threads = spanThreads;
    __device__ __forceinline__ int thread() const { return fresh_thread(); }
    __device__ __forceinline__ void together() const { meet(); }
    __device__ __forceinline__ void scored() const { asm volatile("bar.sync 3, %0;" ::"n"(32 * attending) : "memory"); }
};

// attend_chunk computes a unit of a row, the team's number `unit`, into parts: keys and values of earlier steps `come`
// by the phase of that number. Eight warps have a tile of scores each, and D/64 tiles of values. Keys come again when
// the parts are told, and `free` says so: they would be in their way.
template <typename K, typename Team>
__device__ __forceinline__ void attend_chunk(const Team team, const Span &a, const SpanBlock &b, const Row &at, int head, int chunk, const SpanUnit &u, uint64_t *come, uint64_t *free, uint32_t unit,
                                             const uint32_t *qkv, uint32_t *parts, SpanAttention<K> &m) {
    constexpr int D = K::D;
    const int tid = team.thread(), warp = tid >> 5, lane = tid & 31, g = lane >> 2, t = lane & 3;
    const int heads = (int)a.shape.heads, kvHeads = (int)a.shape.kvHeads, group = heads / kvHeads, p = at.pos - chunk * CHUNK; // the row's own position in the chunk
    const bool own = p < CHUNK;
    barrier_wait(come, unit & 1);
    const int pair = tid % (D / 2); // the same of every head
    const Angle by = u.by[pair];
    for (int i = tid * 4; i < (group + (own ? 2 : 0)) * D; i += Team::threads * 4) {
        // Queries, then a key, then a value.
        const int skip = i < group * D ? head * group : i < (group + 1) * D ? heads + head - group : heads + kvHeads + head - group - 1;
        const uint4 *from = (const uint4 *)(qkv + skip * D + i);
        *(uint4 *)(m.raw + i) = await_four(from, peek4(from));
    }
    team.together();
#pragma unroll 1
    for (int h = tid / (D / 2); h < group; h += Team::threads / (D / 2))
        turn(m.raw + h * D, pair, a.shape, by, [&](int j, float x) { m.queries[h][j] = __float2half_rn(x); });
    if constexpr (K::rounds) {
        if (own) {
            const int size = (int)a.shape.pageSize;
            const int64_t page = ((int64_t)u.own * kvHeads + head) * size * K::each;
            constexpr int warps = Team::threads / 32;
            const float *key = m.raw + group * D;
            // By the last warps first: the others have queries to turn.
            K::put(m.frags, p, Turned{key, a.shape, u.by}, key + D, (uint8_t *)b.k + page, (uint8_t *)b.v + page, size, u.slot, warps - 1 - warp, warps);
        }
    } else if (int i = tid - (Team::threads - D); own && i >= 0) {
        const int size = (int)a.shape.pageSize;
        const int64_t page = ((int64_t)u.own * kvHeads + head) * size * D;
        __half *frags = (__half *)m.frags;
        if (i < D / 2) turn(m.raw + group * D, pair, a.shape, by, [&](int j, float x) { frags[K::key_at(p, j)] = ((__half *)b.k)[page + u.slot * D + j] = __float2half_rn(x); });
        frags[K::value_at(p, i)] = ((__half *)b.v)[page + i * size + u.slot] = __float2half_rn(m.raw[(group + 1) * D + i]);
    }
    team.together();
    if (warp >= attending) return;
    uint32_t qf[D / 16][4];
    load_queries<K>(qf, m.queries[min(g, group - 1)], nullptr);
    float2(&exchange)[8][32] = m.exchange[unit & 1];
    {
        float sc[1][4];
        chunk_scores<K, 1>(sc, qf, m.frags, warp);
        exchange[warp][lane] = make_float2(sc[0][0], sc[0][1]);
    }
    team.scored();
    float sc[8][4];
#pragma unroll
    for (int x = 0; x < 8; x++) {
        const float2 e = exchange[x][lane];
        sc[x][0] = e.x, sc[x][1] = e.y;
    }
    const int see = min(p, CHUNK - 1), seen[2] = {see, see};
    Weights w;
    chunk_softmax<K, 1>(w, sc, seen, a.scale * 1.44269504088896341f);
    constexpr int tiles = D / 64;
    float out[tiles][4];
    chunk_values<K, tiles>(out, w, m.frags, tiles * warp);
    if (g < group) {
        uint32_t *part = parts + ((head * group + g) * (int)a.maxChunks + chunk) * (D + partWords);
        if (warp == 0 && t == 0) tell_values(part, w.m[0], w.l[0]);
        uint32_t *o = part + partWords + 8 * tiles * warp + 2 * t;
#pragma unroll
        for (int i = 0; i < tiles; i++) tell_values(o + 8 * i, out[i][0], out[i][1]);
    }
    if (lane == 0) barrier_arrive(free);
}

// again reads a word that is not there yet, again2 two, without a branch.
__device__ __forceinline__ void again(uint32_t &v, const uint32_t *p) {
    asm volatile("{\n.reg .pred p;\nsetp.eq.u32 p, %0, %2;\n@p ld.relaxed.gpu.global.u32 %0, [%1];\n}" : "+r"(v) : "l"(p), "n"(empty) : "memory");
}

__device__ __forceinline__ void again2(uint32_t &v, uint32_t &w, const uint32_t *p) {
    asm volatile("{\n.reg .pred p;\n.reg .u32 m;\nmax.u32 m, %0, %1;\nsetp.eq.u32 p, m, %3;\n@p ld.relaxed.gpu.global.v2.u32 {%0,%1}, [%2];\n}" : "+r"(v), "+r"(w) : "l"(p), "n"(empty) : "memory");
}

constexpr int sliceDims = 32; // of a head that a warp folds: one a lane

// fold_slice folds the chunks of sliceDims dimensions of query head h, by a warp: of the parts of the head into att.
template <int D> __device__ __forceinline__ void fold_slice(int h, int slice, int chunks, const uint32_t *part, uint32_t *att) {
    const uint32_t full = 0xffffffffu;
    constexpr int words = D + partWords, each = 16;
    const int lane = fresh_thread() & 31, d = sliceDims * slice + lane;
    float top = -INFINITY, sum = 0, x = 0;
#pragma unroll 1
    for (int first = 0; first < chunks; first += each, part += each * words) {
        const int n = min(each, chunks - first);
        // A lane looks for maximum and sum of a chunk, all for the values of all.
        const uint32_t *values = part + partWords + d;
        uint32_t v[each], most = lane < n ? empty : 0xff800000u, l = 0, late;
#pragma unroll
        for (int k = 0; k < each; k++) v[k] = k < n ? empty : 0;
        Patience patience;
        do {
            patience.lose();
            again2(most, l, part + lane * words);
            late = max(most, l);
#pragma unroll
            for (int k = 0; k < each; k++) again(v[k], values + k * words);
#pragma unroll
            for (int k = 0; k < each; k += 2) late = __vimax3_u32(late, v[k], v[k + 1]);
        } while (late == empty);
        __syncwarp();
        float a, b;
        fold_factors<each>(lane, top, __uint_as_float(most), a, b);
#pragma unroll
        for (int k = 0; k < each; k++) {
            if (k >= n) break;
            const float ak = __shfl_sync(full, a, k), bk = __shfl_sync(full, b, k), lk = __uint_as_float(__shfl_sync(full, l, k));
            sum = fold(sum, lk, ak, bk), x = fold(x, __uint_as_float(v[k]), ak, bk);
        }
    }
    tell_value(att + h * D + d, __fdiv_rn(x, sum));
}

// fold_head folds the query heads of one KV head: every by-th slice, from the first on.
template <int D> __device__ __forceinline__ void fold_head(const Span &a, int head, int first, int by, int chunks, const uint32_t *parts, uint32_t *att) {
    constexpr int slices = D / sliceDims;
    const int group = (int)a.shape.heads / (int)a.shape.kvHeads;
#pragma unroll 1
    for (int i = first; i < group * slices; i += by) {
        const int h = head * group + i / slices;
        fold_slice<D>(h, i % slices, chunks, parts + h * (int)a.maxChunks * (D + partWords), att);
    }
}
