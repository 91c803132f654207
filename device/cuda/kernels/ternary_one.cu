// build: compute_80 sm_90a
// Ternary linear layers for one activation row: bound by reading the weights, which are on
// their way to shared memory before the kernel that makes the row has ended. The row is
// normalized and quantized here, by every block for itself, unless it comes quantized. Few
// registers are used, so that blocks of the kernel that follows find room.
#include "norm.cuh"
#include "ptx.cuh"
#include "ternary.cuh"

constexpr int warpsOf = 8;

// One is the row: x with its norm, or q, s and sum where x is nullptr.
struct One {
    const float *x, *norm;
    int64_t cols;
    const int8_t *q;
    const float *s;
    const int32_t *sum;
    float eps;
};

// fetch_row copies floats to shared memory, 16 bytes at a time.
__device__ __forceinline__ void fetch_row(float *dst, const float *src, int cols) {
    for (int i = threadIdx.x * 4; i < cols; i += normLanes * 4) copy16(dst + i, src + i, 16);
}

// quantize_row is norm_row for a row of whole quads in shared memory. It ends with all threads
// together.
__device__ __forceinline__ void quantize_row(float4 *x, const float4 *w, double inverse, float eps, int cols, uint32_t *q, int stride,
                                             NormScratch &scratch, float &s, int32_t &sum) {
    constexpr int most = 32 / 4; // of a lane
    const int fours = cols / 4;
    uint32_t top = 0;
    if (w) {
        float squares[most];
#pragma unroll
        for (int i = 0; i < most; i++) {
            int at = threadIdx.x + i * normLanes;
            squares[i] = at < fours ? square_of(x[at]) : 0.f;
        }
        float scale = norm_scale(squares_sum<normLanes, most>(squares, scratch.sums), inverse, eps);
#pragma unroll 2
        for (int i = threadIdx.x; i < fours; i += normLanes) {
            float4 v = scaled(x[i], scale, w[i]);
            x[i] = v;
            top = most_of(top, v);
        }
    } else {
        for (int i = threadIdx.x; i < fours; i += normLanes) top = most_of(top, x[i]);
    }
    top = lanes_max<normLanes>(top, scratch.tops);
    s = scale_for(top);
    int32_t total = 0;
#pragma unroll 2
    for (int i = threadIdx.x; i < stride / 4; i += normLanes) {
        uint32_t word = i < fours ? codes_of(x[i], s, top) : 0;
        total = sum_codes(total, word);
        q[i] = word;
    }
    sum = lanes_sum<normLanes>(total, scratch.ints);
}

template <int MT, int EPI>
__device__ __forceinline__ void one(const uint4 *__restrict__ weights, const One &in, int tiles, int chunks, const Out &o) {
    extern __shared__ uint4 shared[]; // weights, norm, row, codes
    __shared__ NormScratch scratch;
    __shared__ int red[warpsOf][MT * 16];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, cols = (int)in.cols;
    const int tile0 = blockIdx.x * MT, here = min(MT, tiles - tile0);
    const uint4 *from = weights + (int64_t)tile0 * chunks * 32;
    for (int i = threadIdx.x; i < here * chunks * 32; i += 256) copy16(shared + i, from + i, 16);
    float *norm = (float *)(shared + MT * chunks * 32), *x = norm + cols;
    int8_t *q = (int8_t *)(x + cols);
    if (in.x && in.norm) fetch_row(norm, in.norm, cols);
    pdl_release();
    // Thread e finishes outputs e%8 and e%8 + 8 of tile e/8.
    const bool finisher = threadIdx.x < here * 8;
    Finish f;
    if (finisher) f.prepare(o, tile0 + (threadIdx.x >> 3), threadIdx.x & 7);
    double inverse = in.x ? 1.0 / (double)cols : 0;
    pdl_wait();
    float s;
    int32_t sum;
    const int8_t *codes = in.q;
    if (in.x) fetch_row(x, in.x, cols);
    if (finisher) f.fetch<EPI>(o, 0);
    if (!in.x) s = *in.s, sum = *in.sum;
    copies_done();
    __syncthreads();
    if (in.x) {
        quantize_row((float4 *)x, in.norm ? (const float4 *)norm : nullptr, inverse, in.eps, cols, (uint32_t *)q, chunks * 128, scratch, s, sum);
        codes = q;
    }
    int acc[MT][1][4] = {};
    for (int c = warp; c < chunks; c += warpsOf) {
        uint4 b[1][2];
        b[0][0] = b[0][1] = make_uint4(0, 0, 0, 0);
        if (g == 0) {
            const uint4 *p = (const uint4 *)(codes + c * 128 + 32 * t);
            b[0][0] = p[0], b[0][1] = p[1];
        }
#pragma unroll
        for (int m = 0; m < MT; m++)
            if (m < here) tile_mul<1>(acc[m], shared[(m * chunks + c) * 32 + lane], b);
    }
    if (t == 0) {
#pragma unroll
        for (int m = 0; m < MT; m++) red[warp][16 * m + g] = acc[m][0][0], red[warp][16 * m + g + 8] = acc[m][0][2];
    }
    __syncthreads();
    if (finisher) {
        int lo = 0, hi = 0, at = 16 * (threadIdx.x >> 3) + (threadIdx.x & 7);
#pragma unroll
        for (int i = 0; i < warpsOf; i++) lo += red[i][at], hi += red[i][at + 8];
        f.done<EPI>(o, 0, lo - sum, (hi >> 2) - sum, s);
    }
}

#define ONE(name, MT)                                                                                                                    \
    extern "C" __global__ void __launch_bounds__(256)                                                                                    \
        name(const uint4 *weights, One in, int64_t tiles, int64_t chunks, int64_t epilogue, Out o) {                                      \
        if (epilogue == GATED)                                                                                                           \
            one<MT, GATED>(weights, in, (int)tiles, (int)chunks, o);                                                                     \
        else if (epilogue == RESIDUAL)                                                                                                   \
            one<MT, RESIDUAL>(weights, in, (int)tiles, (int)chunks, o);                                                                  \
        else                                                                                                                             \
            one<MT, STORE>(weights, in, (int)tiles, (int)chunks, o);                                                                     \
    }

ONE(ternary_one1, 1)
ONE(ternary_one2, 2)
ONE(ternary_one4, 4)
