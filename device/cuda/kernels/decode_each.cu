// build: sm_90a
// Attention of many decoding rows: a block goes through all positions of a KV head of a row, in
// chunks, and writes the finished heads. The bits are those of attn_decode and its fold.
//
//	pages ──bulk copies, by a warp of their own──▶ stages in shared memory ──▶ scores ──▶ softmax ──▶ values ──▶ fold
//
// A stage holds the keys of a chunk as [64][D] and its values as the pages have them. The row's own keys
// and values come from the projections; what earlier steps left is on its way before these are there.
#include "bulk.cuh"
#include "chunk.cuh"
#include "turn.cuh"

constexpr int mostStages = 8, eachWarps = 4; // those that compute

// meet waits for the warps that compute.
__device__ __forceinline__ void meet() { asm volatile("bar.sync 1, 128;" ::: "memory"); }

// Stages are the buffers, whose keys and values come and go apart.
struct Stages {
    uint64_t keysIn[mostStages], valuesIn[mostStages], keysRead[mostStages], valuesRead[mostStages];
};

// attn_bring lets a warp bring all pages of a row's KV head. A page has a divisor of 64 positions.
template <int D> __device__ __forceinline__ void attn_bring(uint8_t *room, Stages &st, int stages, const Pages &kv) {
    const int lane = threadIdx.x & 31, pages = (kv.last + kv.size) / kv.size, each = CHUNK / kv.size, bytes = kv.size * D * 2;
    int stage = 0, phase = 1;
    int page = lane < min(each, pages) ? kv.table[lane] : 0;
    for (int first = 0; first < pages; first += each) {
        const int here = min(each, pages - first);
        const int64_t from = ((int64_t)page * kv.heads + kv.head) * kv.size * D;
        uint8_t *to = room + stage * (CHUNK * D * 4) + lane * bytes;
        page = first + each + lane < pages && lane < each ? kv.table[first + each + lane] : 0;
        barrier_await(&st.keysRead[stage], phase);
        if (lane == 0) barrier_expect(&st.keysIn[stage], here * bytes);
        __syncwarp();
        if (lane < here) bulk_copy(to, kv.k + from, bytes, &st.keysIn[stage]);
        barrier_await(&st.valuesRead[stage], phase);
        if (lane == 0) barrier_expect(&st.valuesIn[stage], here * bytes);
        __syncwarp();
        if (lane < here) bulk_copy(to + CHUNK * D * 2, kv.v + from, bytes, &st.valuesIn[stage]);
        if (++stage == stages) stage = 0, phase ^= 1;
    }
}

template <int D, int ROWS>
__device__ __forceinline__ void attn_each(uint8_t *room, Stages &st, int stages, const float *qkv, __half *k, __half *v, const Row *rows, const int32_t *table,
                                          const float *cosines, const float *sines, float *att, float scale, const Shape &a) {
    constexpr int tiles = D / 32, stageBytes = CHUNK * D * 4, pairs = D / 2, apart = 128 / pairs, turns = 8 * ROWS / apart;
    const int row = blockIdx.y, group = (int)(a.heads / a.kvHeads), size = (int)a.pageSize, log = __ffs(size) - 1;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    float4 *const exchange = (float4 *)(room + stages * stageBytes);  // 4 KB
    __half *const queries = (__half *)(exchange + 8 * 32);            // [8 * ROWS][D]
    const Row at = rows[row];
    pdl_release();
    if (at.seq < 0) {
        pdl_wait(); // a grid may not end before the one before it
        return;
    }
    const Pages kv = {k, v, table + at.pages, (int)a.kvHeads, (int)blockIdx.x, size, at.pos - 1};
    if (threadIdx.x < stages) {
        barrier_init(&st.keysIn[threadIdx.x]), barrier_init(&st.valuesIn[threadIdx.x]);
        barrier_init(&st.keysRead[threadIdx.x], eachWarps), barrier_init(&st.valuesRead[threadIdx.x], eachWarps);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    __syncthreads();
    if (warp == eachWarps) {
        attn_bring<D>(room, st, stages, kv);
        return;
    }
    const Pair pair(threadIdx.x % pairs, a);
    const Angle by = angle_of(cosines, sines, at.pos, threadIdx.x % pairs, a);
    const int slot = at.pos & (size - 1);
    const int64_t page = ((int64_t)kv.table[at.pos >> log] * kv.heads + kv.head) * size * D;
    const float *all = qkv + (int64_t)row * (a.heads + 2 * a.kvHeads) * D, *mine = all + (int64_t)(kv.head * group) * D;
    const float *key = all + (a.heads + kv.head) * D, *value = key + a.kvHeads * D;
    pdl_wait();
    // All that the projections give is asked for at once.
    float one[turns], two[turns], own = 0, ownOne = 0, ownTwo = 0;
#pragma unroll
    for (int i = 0; i < turns; i++)
        if (int h = threadIdx.x / pairs + i * apart; h < group) one[i] = mine[h * D + pair.one], two[i] = mine[h * D + pair.two];
    if (threadIdx.x < pairs) ownOne = key[pair.one], ownTwo = key[pair.two];
    if (threadIdx.x < D) own = value[threadIdx.x];
#pragma unroll
    for (int i = 0; i < turns; i++)
        if (int h = threadIdx.x / pairs + i * apart; h < group) pair.put(make_float2(one[i], two[i]), by, [&](int j, float x) { queries[h * D + j] = __float2half_rn(x); });
    meet();
    uint32_t qf[D / 16][4];
    load_queries<D>(qf, g < group ? queries + g * D : nullptr, ROWS == 2 && g + 8 < group ? queries + (g + 8) * D : nullptr);
    float out[tiles][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
    const float factor = scale * 1.44269504088896341f;
    const int keyAt = ((warp >> 1) * 32 + 8 * (g >> 1) + 4 * (warp & 1) + (g & 1)) * D + 8 * t; // of tile 2·warp
    int valueAt[2];
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const int p = 32 * j + 8 * t;
        valueAt[j] = ((p >> log) * D + 8 * tiles * warp + g) * size + (p & (size - 1));
    }
    int stage = 0, phase = 0;
    for (int start = 0; start <= at.pos; start += CHUNK) {
        __half *const keys = (__half *)(room + stage * stageBytes), *const values = keys + CHUNK * D;
        const int in = at.pos - start;
        if (start < at.pos) barrier_await(&st.keysIn[stage], phase);
        if (in < CHUNK) {
            // The row's own, and zeros behind it: 0 times anything is not always 0.
            if (start < at.pos) barrier_await(&st.valuesIn[stage], phase);
            if (threadIdx.x < pairs) pair.put(make_float2(ownOne, ownTwo), by, [&](int j, float x) { keys[in * D + j] = k[page + slot * D + j] = __float2half_rn(x); });
            if (threadIdx.x < D) {
                auto to = [&](int p) { return values + ((p >> log) * D + (int)threadIdx.x) * size + (p & (size - 1)); };
                *to(in) = v[page + (int)threadIdx.x * size + slot] = __float2half_rn(own);
                int p = in + 1;
                for (; p & 7; p++) *to(p) = __float2half_rn(0.f);
                for (; p < CHUNK; p += 8) *(uint4 *)to(p) = make_uint4(0, 0, 0, 0);
            }
            meet();
        } else if (ROWS == 2) {
            meet(); // the scores before these have been read
        }
        float s[8][4];
        scores_of<D, 2>(s, qf, [&](int i, int x) { return *(const uint4 *)(keys + keyAt + 2 * i * D + 32 * x); });
        float2 *const firsts = (float2 *)exchange + (start / CHUNK & 1) * 256; // where rows g + 8 are nobody's
#pragma unroll
        for (int i = 0; i < 2; i++) {
            if (ROWS == 1) firsts[(2 * warp + i) * 32 + lane] = make_float2(s[i][0], s[i][1]);
            else exchange[(2 * warp + i) * 32 + lane] = make_float4(s[i][0], s[i][1], s[i][2], s[i][3]);
        }
        meet();
        if (lane == 0) barrier_arrive(&st.keysRead[stage]);
#pragma unroll
        for (int x = 0; x < 8; x++) {
            if (ROWS == 1) {
                float2 e = firsts[x * 32 + lane];
                s[x][0] = e.x, s[x][1] = e.y;
            } else {
                float4 e = exchange[x * 32 + lane];
                s[x][0] = e.x, s[x][1] = e.y, s[x][2] = e.z, s[x][3] = e.w;
            }
        }
        Weights w;
        const int seen[2] = {min(in, CHUNK - 1), min(in, CHUNK - 1)};
        chunk_softmax<ROWS>(w, s, seen, factor);
        if (in >= CHUNK) barrier_await(&st.valuesIn[stage], phase);
        float part[tiles][4], x[2], y[2];
        values_of(part, w, [&](int i, int j) { return *(const uint4 *)(values + valueAt[j] + 8 * i * size); });
        __syncwarp();
        if (lane == 0) barrier_arrive(&st.valuesRead[stage]);
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
        if (++stage == stages) stage = 0, phase ^= 1;
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

#define EACH(D)                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(32 * (eachWarps + 1), 3)                                                         \
        attn_each_##D(const float *qkv, __half *k, __half *v, const Row *rows, const int32_t *table, const float *cosines,        \
                      const float *sines, float *att, int64_t stages, float scale, Shape a) {                                     \
        extern __shared__ __align__(128) uint8_t room[]; /* stages; scores; queries */                                            \
        __shared__ Stages st;                                                                                                     \
        if (a.heads <= 8 * a.kvHeads)                                                                                             \
            attn_each<D, 1>(room, st, (int)stages, qkv, k, v, rows, table, cosines, sines, att, scale, a);                        \
        else                                                                                                                      \
            attn_each<D, 2>(room, st, (int)stages, qkv, k, v, rows, table, cosines, sines, att, scale, a);                        \
    }

EACH(64)
EACH(128)
