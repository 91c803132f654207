// Products of float32 rows with rows of weights, R × C of them by a warp.
//
// Lane l of a warp takes units l, l+32, … of eight inputs, one FMA after the
// other into one sum; the sums of the 32 lanes meet in the tree of warp_sum. So
// a product has the same bits in every kernel, whatever else the warp computes.
#pragma once
#include "dense_types.cuh"
#include "ptx_int.cuh"

// Real says where products go.
struct Real {
    float *dst;
    int64_t ld, at;      // of a row, first column
    const float *factor; // nullptr or one value
    const float *bias;   // nullptr or by output
    uint32_t *bad;
    int64_t stage;
};

constexpr int log2_of(int n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }

// join_lanes joins each of N values over the lanes that are FROM and more apart, the farthest first, and
// halves the values at each level of the tree while there are several.
template <int FROM, int N, typename F> __device__ __forceinline__ void join_lanes(float (&v)[N], F join) {
    const int lane = threadIdx.x & 31;
    int left = N;
#pragma unroll
    for (int o = 16; o >= FROM; o /= 2) {
        if (left > 1) {
            left /= 2;
            const bool upper = lane & o;
#pragma unroll
            for (int i = 0; i < N / 2; i++) {
                if (i >= left) break;
                const float send = upper ? v[i] : v[i + left], keep = upper ? v[i + left] : v[i];
                v[i] = join(keep, __shfl_xor_sync(0xffffffffu, send, o));
            }
        } else {
            v[0] = join(v[0], __shfl_xor_sync(0xffffffffu, v[0], o));
        }
    }
}

// warp_sums adds each of N values over the warp as warp_sum does, bit for bit. A lane gets
// the sum of value lane/(32/N).
template <int N> __device__ __forceinline__ float warp_sums(float (&v)[N]) {
    static_assert(N <= 32 && (N & (N - 1)) == 0, "a lane has one sum at the end");
    join_lanes<1>(v, [](float a, float b) { return a + b; });
    return v[0];
}

// unit_of reads a unit of a row of activations, zeros past its end.
template <bool VEC> __device__ __forceinline__ void unit_of(float (&y)[kUnit], const float *x, int64_t unit, int64_t k) {
    const float *p = x + unit * kUnit;
    int64_t left = k - unit * kUnit;
    if (VEC) {
        float4 a = make_float4(0, 0, 0, 0), b = a;
        if (left > 0) a = *(const float4 *)p, b = *(const float4 *)(p + 4);
        y[0] = a.x, y[1] = a.y, y[2] = a.z, y[3] = a.w, y[4] = b.x, y[5] = b.y, y[6] = b.z, y[7] = b.w;
    } else {
#pragma unroll
        for (int i = 0; i < kUnit; i++) y[i] = i < left ? p[i] : 0.f;
    }
}

// put_tile stores the products of rows first… and outputs out…, sum[r*C+c].
template <int R, int C> __device__ __forceinline__ void put_tile(float (&sum)[R * C], int64_t first, int64_t rows, int64_t out, int64_t n, int64_t residual, const Real &o) {
    constexpr int share = 32 / (R * C);
    const int lane = threadIdx.x & 31, at = lane / share;
    float y = warp_sums(sum);
    const int64_t row = first + at / C, col = out + at % C;
    if (lane % share != 0 || row >= rows || col >= n) return;
    if (o.factor) y = __fmul_rn(y, *o.factor);
    if (o.bias) y += o.bias[col];
    float *to = o.dst + row * o.ld + o.at + col;
    if (residual) {
        y += *to;
        note_bad(o.bad, (int)row, (int)o.stage, (int)col, y);
    }
    *to = y;
}

// dense_few is for up to R rows, which are small enough to be read again and
// again from the cache. Warps take groups of C outputs in turn; the next
// DEPTH chunks of their weights are always on the way, across groups.
template <int T, bool VEC, int R, int C, int DEPTH>
__device__ __forceinline__ void dense_few(const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, const Real &o) {
    const int lane = threadIdx.x & 31;
    const int64_t first = (int64_t)blockIdx.y * R, bytes = row_bytes<T>(k);
    const int groups = (int)((n + C - 1) / C), chunks = (int)((k + kChunk - 1) / kChunk);
    const int warps = blockDim.x >> 5, stride = gridDim.x * warps;
    int group = blockIdx.x * warps + (threadIdx.x >> 5), chunk = 0;
    int ahead = group, aheadChunk = 0;
    Weights<T> next[DEPTH][C];
    auto fetch = [&](Weights<T>(&to)[C]) {
        if (ahead >= groups) return;
#pragma unroll
        for (int c = 0; c < C; c++) {
            int64_t col = min((int64_t)ahead * C + c, n - 1);
            to[c].template load<VEC>(w + col * bytes, (int64_t)aheadChunk * 32 + lane, k);
        }
        if (++aheadChunk == chunks) aheadChunk = 0, ahead += stride;
    };
#pragma unroll
    for (int d = 0; d < DEPTH; d++) fetch(next[d]);
    pdl_wait();
    pdl_release();
    const float *from[R];
#pragma unroll
    for (int r = 0; r < R; r++) from[r] = x + min(first + r, rows - 1) * k;
    float sum[R * C] = {};
    while (group < groups) {
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            if (group >= groups) break;
            const int64_t unit = (int64_t)chunk * 32 + lane;
            float y[R][kUnit];
#pragma unroll
            for (int r = 0; r < R; r++) unit_of<VEC>(y[r], from[r], unit, k);
#pragma unroll
            for (int c = 0; c < C; c++) {
                float v[kUnit];
                next[d][c].decode(v, unit);
#pragma unroll
                for (int r = 0; r < R; r++)
#pragma unroll
                    for (int i = 0; i < kUnit; i++) sum[r * C + c] = fmaf(y[r][i], v[i], sum[r * C + c]);
            }
            fetch(next[d]);
            if (++chunk < chunks) continue;
            put_tile<R, C>(sum, first, rows, (int64_t)group * C, n, residual, o);
#pragma unroll
            for (int i = 0; i < R * C; i++) sum[i] = 0.f;
            chunk = 0, group += stride;
        }
    }
}

// dense_many is for many rows: the warps of a block share `sides` times eight
// rows, chunk by chunk in shared memory (three buffers, one barrier a chunk);
// each computes 8 × 4 products.
constexpr int manyRows = 8, manyCols = 4, manyThreads = 512, manySides = 2;

// Staged are the buffers: [row][first or second half of a unit][lane] of four values.
typedef float4 Staged[manySides * manyRows][2][32];

template <int T, bool VEC>
__device__ __forceinline__ void dense_many(Staged *held, const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, const Real &o) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, sides = rows > manyRows ? manySides : 1;
    const int side = warp % sides, across = manyThreads / 32 / sides; // groups of outputs of a block
    const int64_t top = (int64_t)blockIdx.x * sides * manyRows, first = top + side * manyRows, bytes = row_bytes<T>(k);
    const int groups = (int)((n + manyCols - 1) / manyCols), chunks = (int)((k + kChunk - 1) / kChunk);
    const int stride = gridDim.y * across, base = blockIdx.y * across; // of the block
    if (base >= groups) return;
    const int steps = ((groups - base + stride - 1) / stride) * chunks;
    int group = base + warp / sides, chunk = 0;
    int ahead = group, aheadChunk = 0, stageChunk = 0;
    Weights<T> next[manyCols];
    auto fetch = [&]() {
#pragma unroll
        for (int c = 0; c < manyCols; c++) {
            int64_t col = min((int64_t)ahead * manyCols + c, n - 1);
            next[c].template load<VEC>(w + col * bytes, (int64_t)aheadChunk * 32 + lane, k);
        }
        if (++aheadChunk == chunks) aheadChunk = 0, ahead += stride;
    };
    auto stage = [&](int step) {
        if (step < steps) {
            for (int i = threadIdx.x; i < sides * manyRows * 64; i += manyThreads) {
                const int row = i / 64, quad = i % 64;
                float4 *to = &held[step % 3][row][quad & 1][quad >> 1];
                const float *from = x + min(top + row, rows - 1) * k;
                const int64_t at = (int64_t)stageChunk * kChunk + quad * 4;
                if (VEC) {
                    copy16(to, at < k ? from + at : from, at < k ? 16 : 0);
                } else {
                    float4 v;
                    v.x = at < k ? from[at] : 0.f, v.y = at + 1 < k ? from[at + 1] : 0.f;
                    v.z = at + 2 < k ? from[at + 2] : 0.f, v.w = at + 3 < k ? from[at + 3] : 0.f;
                    *to = v;
                }
            }
            if (++stageChunk == chunks) stageChunk = 0;
        }
        copies_group();
    };
    fetch();
    pdl_wait();
    pdl_release();
    stage(0);
    stage(1);
    float sum[manyRows * manyCols] = {};
    for (int step = 0; step < steps; step++) {
        copies_left<1>();
        __syncthreads();
        stage(step + 2);
        const int64_t unit = (int64_t)chunk * 32 + lane;
        float v[manyCols][kUnit];
#pragma unroll
        for (int c = 0; c < manyCols; c++) next[c].decode(v[c], unit);
        if (step + 1 < steps) fetch();
#pragma unroll
        for (int r = 0; r < manyRows; r++) {
            float4 a = held[step % 3][side * manyRows + r][0][lane], b = held[step % 3][side * manyRows + r][1][lane];
            const float y[kUnit] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
            for (int c = 0; c < manyCols; c++)
#pragma unroll
                for (int i = 0; i < kUnit; i++) sum[r * manyCols + c] = fmaf(y[i], v[c][i], sum[r * manyCols + c]);
        }
        if (++chunk < chunks) continue;
        put_tile<manyRows, manyCols>(sum, first, rows, (int64_t)group * manyCols, n, residual, o);
#pragma unroll
        for (int i = 0; i < manyRows * manyCols; i++) sum[i] = 0.f;
        chunk = 0, group += stride;
    }
}

// dense_dot is one product, for lists of single outputs; so many units of a lane are under way.
template <int T, bool VEC, int deep = 4> __device__ __forceinline__ float dense_dot(const uint8_t *row, const float *x, int64_t k) {
    const int lane = threadIdx.x & 31, units = (int)((k + kUnit - 1) / kUnit);
    float sum = 0.f;
    for (int u = lane; u < units; u += 32 * deep) {
        Weights<T> at[deep];
#pragma unroll
        for (int i = 0; i < deep; i++) at[i].template load<VEC>(row, u + 32 * i, k);
#pragma unroll
        for (int i = 0; i < deep; i++) {
            if (u - lane + 32 * i >= units) break; // for the whole warp, as in the tiles
            float v[kUnit], y[kUnit];
            at[i].decode(v, u + 32 * i);
            unit_of<VEC>(y, x, u + 32 * i, k);
#pragma unroll
            for (int j = 0; j < kUnit; j++) sum = fmaf(y[j], v[j], sum);
        }
    }
    return warp_sum(sum);
}
