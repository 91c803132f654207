// build: compute_80 sm_90a
// Ternary linear layers for one activation row: bound by reading the weights, which are on
// their way to registers before the kernel that makes the row has ended. The row is
// normalized and quantized here, by every block for itself, unless it comes quantized.
#include "norm.cuh"
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

template <int MT, int PF, int V, int EPI>
__device__ __forceinline__ void one(const uint4 *__restrict__ weights, const One &in, int64_t chunks, const Out &o) {
    extern __shared__ int8_t quantized[];
    __shared__ NormScratch scratch;
    __shared__ int red[warpsOf][MT * 16];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int64_t tile0 = (int64_t)blockIdx.x * MT;
    const uint4 *mine = weights + (tile0 * chunks) * 32 + lane;
    uint4 w[MT][PF];
#pragma unroll
    for (int i = 0; i < PF; i++) {
        int64_t c = warp + warpsOf * i;
#pragma unroll
        for (int m = 0; m < MT; m++)
            if (c < chunks) w[m][i] = stream_load(mine + (m * chunks + c) * 32);
    }
    pdl_release();
    // Thread e finishes outputs e%8 and e%8 + 8 of tile e/8.
    const bool finisher = threadIdx.x < MT * 8;
    Finish f;
    if (finisher) f.prepare(o, (int)tile0 + (threadIdx.x >> 3), threadIdx.x & 7);
    float nw[V];
    if (in.x && in.norm) load_row<V>(nw, in.norm, in.cols);
    pdl_wait();
    float s;
    int32_t sum;
    const int8_t *q = in.q;
    if (finisher) f.fetch<EPI>(o, 0);
    if (in.x) {
        float v[V];
        load_row<V>(v, in.x, in.cols);
        norm_row<V>(v, in.norm != nullptr, nw, in.eps, in.cols, nullptr, quantized, chunks * 128, scratch, s, sum);
        q = quantized; // the sums in norm_row have brought all threads together
    } else {
        s = *in.s, sum = *in.sum;
    }
    int acc[MT][1][4] = {};
    for (int64_t base = 0; warp + warpsOf * base < chunks; base += PF) {
        uint4 b[PF][1][2];
#pragma unroll
        for (int i = 0; i < PF; i++) {
            int64_t c = warp + warpsOf * (base + i);
            b[i][0][0] = b[i][0][1] = make_uint4(0, 0, 0, 0);
            if (g == 0 && c < chunks) {
                const uint4 *p = (const uint4 *)(q + c * 128 + 32 * t);
                b[i][0][0] = p[0], b[i][0][1] = p[1];
            }
        }
#pragma unroll
        for (int i = 0; i < PF; i++) {
            int64_t c = warp + warpsOf * (base + i);
            if (c >= chunks) break;
#pragma unroll
            for (int m = 0; m < MT; m++) tile_mul<1>(acc[m], base == 0 ? w[m][i] : stream_load(mine + (m * chunks + c) * 32), b[i]);
        }
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

#define ONE(name, MT, PF, V)                                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) name(const uint4 *weights, One in, int64_t chunks, int64_t epilogue, Out o) {       \
        if (epilogue == GATED)                                                                                                           \
            one<MT, PF, V, GATED>(weights, in, chunks, o);                                                                               \
        else if (epilogue == RESIDUAL)                                                                                                   \
            one<MT, PF, V, RESIDUAL>(weights, in, chunks, o);                                                                            \
        else                                                                                                                             \
            one<MT, PF, V, STORE>(weights, in, chunks, o);                                                                               \
    }

ONE(ternary_one1, 1, 7, 32)
ONE(ternary_one2, 2, 3, 12)
ONE(ternary_one4, 4, 3, 12)
