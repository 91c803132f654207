// Attention of 16 query rows over one chunk of 64 positions on tensor cores.
//
//	global pages --copy16--> fragments in shared memory --> scores --> softmax --> values
//
// K says how keys and values are kept: Halves (chunk_halves.cuh) or Bytes (chunk_bytes.cuh), in whose order sums run
// over dimensions and positions.
#pragma once
#include "chunk_bytes.cuh"
#include "chunk_halves.cuh"

// load_queries reads rows g (first) and g+8 (second) of 16 queries; null: zeros.
template <typename K> __device__ __forceinline__ void load_queries(uint32_t (&q)[K::D / 16][4], const __half *first, const __half *second) {
    int t = threadIdx.x & 3;
#pragma unroll
    for (int s = 0; s < K::D / 32; s++) {
        uint4 a = make_uint4(0, 0, 0, 0), b = a;
        if (first) a = *(const uint4 *)(first + K::query_at(s, t));
        if (second) b = *(const uint4 *)(second + K::query_at(s, t));
        q[2 * s][0] = a.x, q[2 * s][1] = b.x, q[2 * s][2] = a.y, q[2 * s][3] = b.y;
        q[2 * s + 1][0] = a.z, q[2 * s + 1][1] = b.z, q[2 * s + 1][2] = a.w, q[2 * s + 1][3] = b.w;
    }
}

// chunk_scores computes N tiles of q·k, the first of which is tile x.
template <typename K, int N> __device__ __forceinline__ void chunk_scores(float (*scores)[4], const uint32_t (&q)[K::D / 16][4], const uint4 *frags, int x) {
    const uint4 *at = K::tile(frags, x);
#pragma unroll
    for (int i = 0; i < N; i++) scores[i][0] = scores[i][1] = scores[i][2] = scores[i][3] = 0;
#pragma unroll
    for (int s = 0; s < K::keyParts; s++) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            uint32_t k[2 * K::keyMmas];
            K::key(k, at, frags, x, i, s);
#pragma unroll
            for (int m = 0; m < K::keyMmas; m++) mma_f16(scores[i], q[K::keyMmas * s + m], k[2 * m], k[2 * m + 1]);
        }
    }
}

// Weights are the 16 rows' probabilities of a chunk as two halves each, hi + lo,
// and what folding needs. Everything is times 2^15, which the division by l
// takes out again, so that small ones do not fall below the halves' range.
struct Weights {
    uint32_t hi[4][4], lo[4][4];
    float m[2], l[2]; // of rows g and g+8: maximum in units of log 2, sum
    bool on[2];       // whether the row sees anything of the chunk
};

// chunk_softmax turns scores into weights. seen[i] is the last position of the
// chunk (0..63; negative: none) that row g+8i sees; factor is the attention
// scale (above 0) times log2 e. ROWS 1: rows g+8 are nobody's.
template <typename K, int ROWS = 2> __device__ __forceinline__ void chunk_softmax(Weights &w, float (&scores)[8][4], const int (&seen)[2], float factor) {
    const uint32_t all = 0xffffffffu;
    int t = threadIdx.x & 3;
    if (ROWS == 1) {
#pragma unroll
        for (int i = 0; i < 4; i++) w.hi[i][1] = w.hi[i][3] = w.lo[i][1] = w.lo[i][3] = 0;
    }
    if (__any_sync(all, seen[0] < CHUNK - 1 || (ROWS == 2 && seen[1] < CHUNK - 1))) {
#pragma unroll
        for (int x = 0; x < 8; x++) {
#pragma unroll
            for (int i = 0; i < 2 * ROWS; i++) {
                int p = K::first(x, t) + (i & 1);
                if (p > seen[i >> 1]) scores[x][i] = -INFINITY;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float top = -INFINITY;
#pragma unroll
        for (int x = 0; x < 8; x++) top = fmaxf(top, fmaxf(scores[x][2 * r], scores[x][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(all, top, 1));
        top = fmaxf(top, __shfl_xor_sync(all, top, 2));
        w.on[r] = seen[r] >= 0;
        w.m[r] = __fmul_rn(top, factor);
        float base = w.on[r] ? -w.m[r] : 0;
        float sum = 0;
#pragma unroll
        for (int x = 0; x < 8; x++) {
            float p = __fmul_rn(exp2_fast(__fmaf_rn(scores[x][2 * r], factor, base)), 32768.f);
            float q = __fmul_rn(exp2_fast(__fmaf_rn(scores[x][2 * r + 1], factor, base)), 32768.f);
            sum = __fadd_rn(sum, __fadd_rn(p, q));
            __half2 hi = __floats2half2_rn(p, q);
            float2 back = __half22float2(hi);
            __half2 lo = __floats2half2_rn(__fsub_rn(p, back.x), __fsub_rn(q, back.y));
            w.hi[x >> 1][2 * (x & 1) + r] = *(uint32_t *)&hi;
            w.lo[x >> 1][2 * (x & 1) + r] = *(uint32_t *)&lo;
        }
        sum = __fadd_rn(sum, __shfl_xor_sync(all, sum, 1));
        w.l[r] = __fadd_rn(sum, __shfl_xor_sync(all, sum, 2));
    }
}

// chunk_weights is chunk_scores and chunk_softmax by a CTA of four warps, each of which
// computes two tiles of scores and gets all of them; every row sees the positions up to `see`.
// ROWS as in chunk_softmax. Each warp calls before() when it has read its keys, after() when all have.
struct Nothing {
    __device__ void operator()() const {}
};
template <typename K, int ROWS = 2, typename Before = Nothing, typename After = Nothing>
__device__ __forceinline__ void chunk_weights(Weights &w, const uint32_t (&q)[K::D / 16][4], const uint4 *frags, float4 (&exchange)[8][32], int see, float factor,
                                              Before before = {}, After after = {}) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    float2 *firsts = (float2 *)exchange; // where rows g + 8 are nobody's
    float s[8][4];
    chunk_scores<K, 2>(s, q, frags, 2 * warp);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (ROWS == 1) firsts[(2 * warp + i) * 32 + lane] = make_float2(s[i][0], s[i][1]);
        else exchange[2 * warp + i][lane] = make_float4(s[i][0], s[i][1], s[i][2], s[i][3]);
    }
    before();
    __syncthreads();
    after();
#pragma unroll
    for (int x = 0; x < 8; x++) {
        if (ROWS == 1) {
            float2 e = firsts[x * 32 + lane];
            s[x][0] = e.x, s[x][1] = e.y;
        } else {
            float4 e = exchange[x][lane];
            s[x][0] = e.x, s[x][1] = e.y, s[x][2] = e.z, s[x][3] = e.w;
        }
    }
    int seen[2] = {see, see};
    chunk_softmax<K, ROWS>(w, s, seen, factor);
}

// chunk_values computes weights · values for N tiles of eight dimensions, the
// first of which is tile n.
template <typename K, int N> __device__ __forceinline__ void chunk_values(float (&out)[N][4], const Weights &w, const uint4 *frags, int n) {
#pragma unroll
    for (int i = 0; i < N; i++) out[i][0] = out[i][1] = out[i][2] = out[i][3] = 0;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        uint4 v[N];
        K::template values<N>(v, frags, n, j);
#pragma unroll
        for (int i = 0; i < N; i++) mma_f16(out[i], w.hi[2 * j], v[i].x, v[i].y);
#pragma unroll
        for (int i = 0; i < N; i++) mma_f16(out[i], w.lo[2 * j], v[i].x, v[i].y);
#pragma unroll
        for (int i = 0; i < N; i++) mma_f16(out[i], w.hi[2 * j + 1], v[i].z, v[i].w);
#pragma unroll
        for (int i = 0; i < N; i++) mma_f16(out[i], w.lo[2 * j + 1], v[i].z, v[i].w);
    }
}
