// build: compute_80 sm_90a
// Ternary linear layers for up to 64 activation rows: bound by reading the weights.
// A block owns MT tiles of 16 outputs; its eight warps share the inputs among
// them, chunk by chunk, and have the first weights in registers before the kernel
// that makes the activations has ended.
#include "ternary.cuh"

constexpr int warpsOf = 8;

template <int NT, int MT, int PF, int EPI>
__device__ __forceinline__ void few(const uint4 *__restrict__ weights, const int8_t *q, const float *s, const int32_t *sum,
                                    int64_t rows, int64_t chunks, const Out &o) {
    // Sums of the warps: side by side where there is room, else added up in place.
    constexpr int apart = MT * NT <= 2 ? warpsOf : 1;
    __shared__ __align__(16) int red[apart][MT * NT * 128];
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
    if (apart == 1)
        for (int i = threadIdx.x; i < MT * NT * 128; i += blockDim.x) red[0][i] = 0;
    Finish f; // this thread's outputs are g and g + 8 of each tile
    if (MT == 1) f.prepare(o, (int)tile0, g);
    const int8_t *rowq = q + g * (int)chunks * 128 + 32 * t;
    const int group = 8 * (int)chunks * 128; // bytes of eight rows
    __syncthreads();
    pdl_wait();

    int acc[MT][NT][4] = {};
    for (int64_t base = 0; warp + warpsOf * base < chunks; base += PF) {
#pragma unroll
        for (int i = 0; i < PF; i++) {
            int64_t c = warp + warpsOf * (base + i);
            if (c >= chunks) break;
            uint4 x[MT];
#pragma unroll
            for (int m = 0; m < MT; m++) {
                x[m] = w[m][i];
                if (base > 0) x[m] = stream_load(mine + (m * chunks + c) * 32);
            }
            // Half a chunk at a time, so that not too much is in registers at once.
#pragma unroll
            for (int half = 0; half < 2; half++) {
                Codes codes[MT];
#pragma unroll
                for (int m = 0; m < MT; m++) codes[m].unpack(half ? x[m].z : x[m].x, half ? x[m].w : x[m].y);
                uint4 b[NT];
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    b[n] = make_uint4(0, 0, 0, 0);
                    if (8 * n + g < rows) b[n] = *(const uint4 *)(rowq + n * group + (int)c * 128 + 16 * half);
                }
#pragma unroll
                for (int n = 0; n < NT; n++) {
#pragma unroll
                    for (int m = 0; m < MT; m++) {
                        mma_u8s8(acc[m][n], codes[m].a[0][0], codes[m].a[0][1], codes[m].a[0][2], codes[m].a[0][3], b[n].x, b[n].y);
                        mma_u8s8(acc[m][n], codes[m].a[1][0], codes[m].a[1][1], codes[m].a[1][2], codes[m].a[1][3], b[n].z, b[n].w);
                    }
                }
            }
        }
    }
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < NT; n++)
#pragma unroll
            for (int c = 0; c < 4; c++) {
                int *to = &red[apart == 1 ? 0 : warp][((m * NT + n) * 4 + c) * 32 + lane];
                // A column beyond the rows is of no interest.
                if (apart > 1)
                    *to = acc[m][n][c];
                else if (8 * n + 2 * t + (c & 1) < rows)
                    atomicAdd(to, acc[m][n][c]);
            }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < MT; m++) {
        if (MT > 1) f.prepare(o, (int)tile0 + m, g);
        for (int e = threadIdx.x; e < NT * 64; e += blockDim.x) {
            int c = e >> 5 & 1, n = e / 64, row = 8 * n + 2 * t + c;
            if (row >= rows) continue;
            int total = sum[row], lo = 0, hi = 0;
            f.fetch<EPI>(o, row);
#pragma unroll
            for (int w = 0; w < apart; w++) {
                const int *r = red[w] + (m * NT + n) * 128 + c * 32 + lane;
                lo += r[0], hi += r[64];
            }
            f.done<EPI>(o, row, lo - total, (hi >> 2) - total, s[row]);
        }
    }
}

#define FEW(name, NT, MT, PF, BLOCKS)                                                                                                        \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) name(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum,   \
                                                           int64_t rows, int64_t chunks, int64_t epilogue, Out o) {                    \
        if (epilogue == GATED)                                                                                                         \
            few<NT, MT, PF, GATED>(weights, q, s, sum, rows, chunks, o);                                                               \
        else if (epilogue == RESIDUAL)                                                                                                 \
            few<NT, MT, PF, RESIDUAL>(weights, q, s, sum, rows, chunks, o);                                                            \
        else                                                                                                                           \
            few<NT, MT, PF, STORE>(weights, q, s, sum, rows, chunks, o);                                                               \
    }

FEW(ternary_few8, 1, 1, 8, 2)
FEW(ternary_short8, 1, 1, 3, 4) // for up to 24 chunks: all weights in registers at once
FEW(ternary_few16, 2, 1, 8, 2)
FEW(ternary_short16, 2, 1, 3, 3)
FEW(ternary_few32, 4, 2, 4, 1)
FEW(ternary_few64, 8, 2, 2, 1)
FEW(ternary_full64, 8, 2, 1, 2)
