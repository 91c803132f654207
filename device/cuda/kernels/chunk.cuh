// Attention of 16 query rows over one chunk of 64 positions on tensor cores.
//
//	global pages --copy16--> fragments in shared memory --> scores --> softmax --> values
//
// A fragment is the 16 bytes that each lane of a warp needs next, 512 bytes in
// the order of the lanes, so that nothing is shuffled and no bank is hit twice.
// For that the sums run over dimensions and positions in an order that suits
// the memory. With g = lane/4, t = lane%4:
//
//	keys    fragment x*(D/32)+s, x = 4j+r: position 32j + 8(g/2) + 2r + g%2,
//	        dimensions 32s+8t .. +7; column g of the tile x of scores
//	values  fragment 2n+j: dimension 8n+g, positions 32j+8t .. +7
//
// Columns 2t and 2t+1 of the tiles 4j .. 4j+3 are then the positions 32j+8t ..
// +7: a lane's probabilities are the ones that its values need.
#pragma once
#include "combine.cuh"

template <int D> struct Frags {
    static constexpr int keys = CHUNK * D / 256, all = 2 * keys; // fragments of a chunk
    static constexpr int bytes = all * 512;
};

// key_at and value_at are where a dimension of a position of the chunk lies among the halves
// of the fragments.
template <int D> __device__ __forceinline__ int key_at(int position, int d) {
    int j = position >> 5, in = position & 31, lane = 4 * (2 * (in >> 3) + (in & 1)) + ((d & 31) >> 3);
    return (((4 * j + ((in & 7) >> 1)) * (D / 32) + (d >> 5)) * 32 + lane) * 8 + (d & 7);
}

template <int D> __device__ __forceinline__ int value_at(int position, int d) {
    int j = position >> 5, lane = 4 * (d & 7) + ((position & 31) >> 3);
    return ((Frags<D>::keys + 2 * (d >> 3) + j) * 32 + lane) * 8 + (position & 7);
}

// Pages is one KV head of one sequence.
struct Pages {
    const __half *k, *v;
    const int32_t *table;
    int heads, head, size, last; // last: position beyond which nothing is read
};

// The work of bringing a chunk to shared memory has four parts: keys 0..31 and
// 32..63 (parts 0, 1), values likewise (2, 3). A lane copies within eight
// positions, which lie in one page: part_first is the first of them.
__device__ __forceinline__ int part_first(int part) {
    int lane = threadIdx.x & 31;
    return 32 * (part & 1) + 8 * (part < 2 ? lane >> 3 : lane & 3);
}

// part_page looks up the page of a lane's positions.
__device__ __forceinline__ int part_page(const Pages &kv, int part, int start) {
    int p = start + part_first(part);
    return p <= kv.last ? kv.table[(uint32_t)p / (uint32_t)kv.size] : 0;
}

// copy_part begins to copy a part of the chunk at `start`. Positions beyond the
// last (in eights for values) become zeros.
template <int D> __device__ __forceinline__ void copy_part(uint4 *frags, const Pages &kv, int part, int start, int page) {
    int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, j = part & 1;
    int p = start + part_first(part), slot = (uint32_t)p % (uint32_t)kv.size;
    int64_t head = (int64_t)page * kv.heads + kv.head;
    if (part < 2) {
        const __half *src = kv.k + (head * kv.size + slot + (g & 1)) * D + 8 * t;
        uint4 *dst = frags + 4 * j * (D / 32) * 32 + lane;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            int bytes = p + (g & 1) + 2 * r <= kv.last ? 16 : 0;
#pragma unroll
            for (int s = 0; s < D / 32; s++) copy16(dst + (r * (D / 32) + s) * 32, src + 2 * r * D + 32 * s, bytes);
        }
    } else {
        const __half *src = kv.v + (head * D + g) * kv.size + slot;
        uint4 *dst = frags + (Frags<D>::keys + j) * 32 + lane;
        int bytes = p <= kv.last ? 16 : 0;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            copy16(dst + 2 * n * 32, src, bytes);
            src += 8 * kv.size;
        }
    }
}

// fetch_part brings a part of a chunk into the L2 cache, before pdl_wait.
template <int D> __device__ __forceinline__ void fetch_part(const Pages &kv, int part, int start, int page) {
    int lane = threadIdx.x & 31, base = start + 32 * (part & 1);
    // Pages of the two groups of 16 positions that the part consists of.
    int each = part < 2 ? 16 : 2;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int p = base + 16 * i, slot = (uint32_t)p % (uint32_t)kv.size;
        int64_t head = (int64_t)__shfl_sync(0xffffffffu, page, each * i) * kv.heads + kv.head;
        if (p > kv.last) continue;
        if (part < 2) {
            if (lane < 4) fetch_l2(kv.k + (head * kv.size + slot + 4 * lane) * D, 8 * D);
        } else {
            for (int d = lane; d < D; d += 32) fetch_l2(kv.v + (head * D + d) * kv.size + slot, 32);
        }
    }
}

// trim_part zeroes the values beyond the last position among eight that this
// thread has copied: they may be anything, and 0 times anything is not always 0.
template <int D> __device__ __forceinline__ void trim_part(uint4 *frags, const Pages &kv, int part, int start) {
    int keep = kv.last + 1 - (start + part_first(part)); // of the eight
    if (part < 2 || keep <= 0 || keep >= 8) return;
    uint4 *dst = frags + (Frags<D>::keys + (part & 1)) * 32 + (threadIdx.x & 31);
    for (int n = 0; n < D / 8; n++) {
        uint32_t *w = (uint32_t *)(dst + 2 * n * 32);
#pragma unroll
        for (int i = 0; i < 4; i++) w[i] &= 2 * i + 1 < keep ? 0xffffffffu : 2 * i < keep ? 0xffffu : 0u;
    }
}

// load_queries reads rows g (first) and g+8 (second) of 16 queries; null: zeros.
template <int D> __device__ __forceinline__ void load_queries(uint32_t (&q)[D / 16][4], const __half *first, const __half *second) {
    int t = threadIdx.x & 3;
#pragma unroll
    for (int s = 0; s < D / 32; s++) {
        uint4 a = make_uint4(0, 0, 0, 0), b = a;
        if (first) a = *(const uint4 *)(first + 32 * s + 8 * t);
        if (second) b = *(const uint4 *)(second + 32 * s + 8 * t);
        q[2 * s][0] = a.x, q[2 * s][1] = b.x, q[2 * s][2] = a.y, q[2 * s][3] = b.y;
        q[2 * s + 1][0] = a.z, q[2 * s + 1][1] = b.z, q[2 * s + 1][2] = a.w, q[2 * s + 1][3] = b.w;
    }
}

// chunk_scores computes N tiles of q·k, the first of which is tile x.
template <int D, int N> __device__ __forceinline__ void chunk_scores(float (*scores)[4], const uint32_t (&q)[D / 16][4], const uint4 *frags, int x) {
    frags += x * (D / 32) * 32 + (threadIdx.x & 31);
#pragma unroll
    for (int i = 0; i < N; i++) scores[i][0] = scores[i][1] = scores[i][2] = scores[i][3] = 0;
#pragma unroll
    for (int s = 0; s < D / 32; s++) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            uint4 k = frags[(i * (D / 32) + s) * 32];
            mma_f16(scores[i], q[2 * s], k.x, k.y);
            mma_f16(scores[i], q[2 * s + 1], k.z, k.w);
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
template <int ROWS = 2> __device__ __forceinline__ void chunk_softmax(Weights &w, float (&scores)[8][4], const int (&seen)[2], float factor) {
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
                int p = 32 * (x >> 2) + 8 * t + 2 * (x & 3) + (i & 1);
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
template <int D, int ROWS = 2, typename Before = Nothing, typename After = Nothing>
__device__ __forceinline__ void chunk_weights(Weights &w, const uint32_t (&q)[D / 16][4], const uint4 *frags, float4 (&exchange)[8][32], int see, float factor,
                                              Before before = {}, After after = {}) {
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    float2 *firsts = (float2 *)exchange; // where rows g + 8 are nobody's
    float s[8][4];
    chunk_scores<D, 2>(s, q, frags, 2 * warp);
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
    chunk_softmax<ROWS>(w, s, seen, factor);
}

// chunk_values computes weights · values for N tiles of eight dimensions, the
// first of which is tile n.
template <int D, int N> __device__ __forceinline__ void chunk_values(float (&out)[N][4], const Weights &w, const uint4 *frags, int n) {
    frags += (Frags<D>::keys + 2 * n) * 32 + (threadIdx.x & 31);
#pragma unroll
    for (int i = 0; i < N; i++) out[i][0] = out[i][1] = out[i][2] = out[i][3] = 0;
#pragma unroll
    for (int j = 0; j < 2; j++) {
        uint4 v[N];
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = frags[(2 * i + j) * 32];
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
