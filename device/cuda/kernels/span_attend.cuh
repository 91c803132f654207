// Attention of a span: chunks of 64 positions as attn_decode, folded as combine_head does.
#pragma once
#include "span.cuh"
#include "turn.cuh"

// SpanAttention is the shared memory of a chunk.
template <int D> struct SpanAttention {
    uint4 frags[Frags<D>::all * 32];
    float4 exchange[8][32];
    __half queries[8][D];
    float raw[10 * D]; // queries of up to eight heads, key, value
};

// key_place and value_place say where dimension d of position p of a chunk stands among the
// fragments (chunk.cuh), in halves.
template <int D> __device__ __forceinline__ int key_place(int p, int d) {
    int x = 4 * (p >> 5) + (p >> 1 & 3), g = 2 * (p >> 3 & 3) + (p & 1);
    return ((x * (D / 32) + (d >> 5)) * 32 + 4 * g + (d >> 3 & 3)) * 8 + (d & 7);
}

template <int D> __device__ __forceinline__ int value_place(int p, int d) {
    return ((Frags<D>::keys + 2 * (d >> 3) + (p >> 5)) * 32 + 4 * (d & 7) + (p >> 3 & 3)) * 8 + (p & 7);
}

// pages_of is a KV head of a row in one block.
__device__ __forceinline__ Pages pages_of(const Span &a, const __half *k, const __half *v, const Row &at, int head) {
    return {k, v, a.table + at.pages, (int)a.shape.kvHeads, head, (int)a.shape.pageSize, at.pos - 1};
}

// bring_keys is the work of a warp of its own: for each unit of a CTA in each block, keys and values
// of earlier steps and what else is known before the queries are. The memory must be free.
template <int D, typename Each> __device__ __forceinline__ void bring_keys(SpanShared &sh, const Span &a, SpanAttention<D> &m, Each each) {
    const int lane = threadIdx.x & 31, size = (int)a.shape.pageSize;
    uint32_t unit = 0;
#pragma unroll 1
    for (int block = 0; block < (int)a.count; block++) {
        const __half *k = a.blocks[block].k, *v = a.blocks[block].v;
        each([&](int head, int chunk) {
            const Row &at = sh.row;
            const Pages kv = pages_of(a, k, v, at, head);
            const int start = chunk * CHUNK;
            barrier_wait(&sh.keysFree, unit++ & 1);
#pragma unroll 1
            for (int part = 0; part < 4; part++) copy_part<D>(m.frags, kv, part, start, part_page(kv, part, start));
            for (int i = lane; i < D / 2; i += 32) sh.unit.by[i] = angle_of(a.cosines, a.sines, at.pos, i, a.shape);
            if (lane == 0) sh.unit.own = a.table[at.pages + at.pos / size], sh.unit.slot = at.pos % size;
            copies_done();
            for (int part = 2; part < 4; part++) trim_part<D>(m.frags, kv, part, start);
            __syncwarp();
            if (lane == 0) barrier_arrive(&sh.keysCome);
        });
    }
}

// attend_chunk computes a unit of the row, whose keys and values of earlier steps come by the phase of that
// parity, into parts.
template <int D>
__device__ __forceinline__ void attend_chunk(const Span &a, const SpanBlock &b, int head, int chunk, SpanShared &sh, uint32_t parity, const uint32_t *qkv, uint32_t *parts,
                                             SpanAttention<D> &m) {
    const Shape &s = a.shape;
    const Row &at = sh.row;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    const int start = chunk * CHUNK, heads = (int)s.heads, kvHeads = (int)s.kvHeads, group = heads / kvHeads, size = (int)s.pageSize;
    const bool own = at.pos - start < CHUNK; // the row's own position is among these
    const int pair = threadIdx.x % (D / 2); // the same of every head
    if (int i = threadIdx.x * 4; i < (group + (own ? 2 : 0)) * D) {
        // Queries, then a key, then a value.
        int skip = i < group * D ? head * group : i < (group + 1) * D ? heads + head - group : heads + kvHeads + head - group - 1;
        const uint4 *from = (const uint4 *)(qkv + skip * D + i);
        *(uint4 *)(m.raw + i) = await_four(from, peek4(from));
    }
    meet();
    barrier_wait(&sh.keysCome, parity);
    const SpanUnit &u = sh.unit;
#pragma unroll 1
    for (int i = threadIdx.x; i < group * (D / 2); i += spanThreads) {
        int h = i / (D / 2);
        turn(m.raw + h * D, pair, s, u.by[pair], [&](int j, float x) { m.queries[h][j] = __float2half_rn(x); });
    }
    if (int i = (int)threadIdx.x - (spanThreads - D); own && i >= 0) {
        int slot = u.slot, p = at.pos - start;
        int64_t page = ((int64_t)u.own * kvHeads + head) * size * D;
        __half *frags = (__half *)m.frags;
        if (i < D / 2) turn(m.raw + group * D, pair, s, u.by[pair], [&](int j, float x) { frags[key_place<D>(p, j)] = b.k[page + slot * D + j] = __float2half_rn(x); });
        frags[value_place<D>(p, i)] = b.v[page + i * size + slot] = __float2half_rn(m.raw[(group + 1) * D + i]);
    }
    meet();
    // Eight warps have a tile of scores each, and D/64 tiles of values.
    constexpr int tiles = D / 64;
    uint32_t qf[D / 16][4];
    if (warp < 8) {
        load_queries<D>(qf, g < group ? m.queries[g] : nullptr, nullptr);
        float sc[1][4];
        chunk_scores<D, 1>(sc, qf, m.frags, warp);
        m.exchange[warp][lane] = make_float4(sc[0][0], sc[0][1], sc[0][2], sc[0][3]);
    }
    meet();
    if (warp < 8) {
        float sc[8][4];
#pragma unroll
        for (int x = 0; x < 8; x++) {
            float4 e = m.exchange[x][lane];
            sc[x][0] = e.x, sc[x][1] = e.y, sc[x][2] = e.z, sc[x][3] = e.w;
        }
        int see = min(at.pos - start, CHUNK - 1);
        int seen[2] = {see, see};
        Weights w;
        chunk_softmax<1>(w, sc, seen, a.scale * 1.44269504088896341f);
        float out[tiles][4];
        chunk_values<D, tiles>(out, w, m.frags, tiles * warp);
        if (g < group) {
            uint32_t *part = parts + ((head * group + g) * (int)a.maxChunks + chunk) * (D + partWords);
            if (warp == 0 && t == 0) tell_values(part, w.m[0], w.l[0]);
#pragma unroll
            for (int i = 0; i < tiles; i++) {
                uint32_t *o = part + partWords + 8 * (tiles * warp + i) + 2 * t;
                tell_values(o, out[i][0], out[i][1]);
            }
        }
    }
    meet();
}

// fold_head folds the chunks of the query heads of one KV head, each warp 32
// dimensions of one. The parts may be emptied when it returns.
template <int D> __device__ __forceinline__ void fold_head(const Span &a, int head, int chunks, uint32_t *parts, uint32_t *att) {
    const uint32_t full = 0xffffffffu;
    constexpr int slices = D / 32, words = D + partWords;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, heads = (int)a.shape.heads, group = heads / (int)a.shape.kvHeads;
    const int first_head = head * group;
#pragma unroll 1
    for (int job = warp; job < group * slices; job += spanWarps) {
        int h = first_head + job / slices, d = 32 * (job % slices) + lane;
        const uint32_t *part = parts + h * (int)a.maxChunks * words;
        float top = -INFINITY, sum = 0, out = 0;
#pragma unroll 1
        for (int first = 0; first < chunks; first += 32, part += 32 * words) {
            int n = min(32, chunks - first);
            // The first values are asked for together with their weights.
            uint32_t raw[8], m0 = lane < n ? empty : 0xff800000u, l0 = lane < n ? empty : 0;
#pragma unroll
            for (int k = 0; k < 8; k++) raw[k] = k < n ? empty : 0;
            const uint32_t *at = part + lane * words;
            Patience patience;
            for (bool all = false; !all; patience.lose()) {
                uint32_t seen[8], m1 = m0, l1 = l0;
                if (m0 == empty) m1 = peek(at);
                if (l0 == empty) l1 = peek(at + 1);
#pragma unroll
                for (int k = 0; k < 8; k++) seen[k] = raw[k] == empty ? peek(part + k * words + partWords + d) : raw[k];
                m0 = m1, l0 = l1, all = m0 != empty && l0 != empty;
#pragma unroll
                for (int k = 0; k < 8; k++) raw[k] = seen[k], all = all && raw[k] != empty;
            }
            const float mine = __uint_as_float(m0), weight = __uint_as_float(l0);
            __syncwarp();
            float run = mine;
#pragma unroll
            for (int k = 1; k < 32; k *= 2) {
                float below = __shfl_up_sync(full, run, k);
                if (lane >= k) run = fmaxf(run, below);
            }
            run = fmaxf(run, top);
            float before = __shfl_up_sync(full, run, 1);
            if (lane == 0) before = top;
            float fa, fb;
            fold_weights(before, mine, fa, fb);
            top = __shfl_sync(full, run, 31);
#pragma unroll 1
            for (int i = 0; i < n; i += 8) {
                const uint32_t *from = part + i * words + partWords + d;
                Patience patience;
                for (bool all = false; !all;) {
                    all = true;
#pragma unroll
                    for (int k = 0; k < 8; k++)
                        if (raw[k] == empty) raw[k] = peek(from + k * words), all = false;
                    if (!all) patience.lose();
                }
                __syncwarp();
#pragma unroll
                for (int k = 0; k < 8; k++) {
                    const float ai = __shfl_sync(full, fa, i + k), bi = __shfl_sync(full, fb, i + k), li = __shfl_sync(full, weight, i + k);
                    if (i + k < n) sum = fold(sum, li, ai, bi), out = fold(out, __uint_as_float(raw[k]), ai, bi);
                }
#pragma unroll
                for (int k = 0; k < 8; k++) raw[k] = i + 8 + k < n ? peek(from + (8 + k) * words) : 0;
            }
        }
        tell_value(att + h * D + d, __fdiv_rn(out, sum));
    }
    meet();
}
