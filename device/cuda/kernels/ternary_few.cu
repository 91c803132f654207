// build: compute_80 sm_90a
// Ternary linear layers for up to 64 activation rows: bound by reading the weights.
// A block owns MT tiles of 16 outputs; its eight warps share the inputs among
// them, chunk by chunk, and have the first weights in registers before the kernel
// that makes the activations has ended.
#include "ternary.cuh"

constexpr int warpsOf = 8;

// Sums are what the warps add up to: side by side where there is room, else in place.
template <int NT, int MT> struct Sums {
    static constexpr int apart = NT <= 2 ? warpsOf : 1;
    int of[apart][MT * NT * 128];
};

// PF is how many chunks of a tile a warp has in registers at once, HF of how many half chunks it asks for the activations at once:
// each time costs the way to the L2 cache and back. Codes of up to 16 rows lie in the order of the lanes (Coded of norm.cuh),
// those of more one row behind the other.
template <int NT, int MT, int PF, int HF, int EPI>
__device__ __forceinline__ void few(Sums<NT, MT> &sums, const uint4 *__restrict__ weights, const int8_t *q, const float *s, const int32_t *sum,
                                    int rows, int chunks, const Out &o) {
    constexpr bool inLanes = NT <= 2;
    constexpr int apart = Sums<NT, MT>::apart;
    auto &red = sums.of;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int64_t tile0 = (int64_t)blockIdx.x * MT;
    const uint4 *mine = weights + (tile0 * chunks) * 32 + lane;

    uint4 w[MT][PF];
#pragma unroll
    for (int i = 0; i < PF; i++) {
        const int c = warp + warpsOf * i;
#pragma unroll
        for (int m = 0; m < MT; m++)
            if (c < chunks) w[m][i] = stream_load(mine + (m * chunks + c) * 32);
    }
    pdl_release();
    if (apart == 1)
        for (int i = threadIdx.x; i < MT * NT * 128; i += blockDim.x) red[0][i] = 0;
    // Two warps end eight rows of a tile, and always the same tile: outputs g and g + 8 of it.
    constexpr int pairs = warpsOf / 2;
    const int m = warp / 2 % MT, c = warp & 1;
    Finish f;
    constexpr bool ahead = NT <= 2; // else it would take registers that are wanted
    if (ahead) f.prepare(o, (int)tile0 + m, g);
    const int8_t *rowq = inLanes ? q + lane * 16 + warp * NT * 1024 : q + g * chunks * 128 + 32 * t + warp * 128;
    const int group = 8 * chunks * 128; // bytes of eight rows
    __syncthreads();
    pdl_wait();

    int acc[MT][NT][4] = {};
    for (int base = 0; warp + warpsOf * base < chunks; base += PF) {
        if (base > 0) {
#pragma unroll
            for (int i = 0; i < PF; i++) {
                const int c = warp + warpsOf * (base + i);
#pragma unroll
                for (int m = 0; m < MT; m++)
                    if (c < chunks) w[m][i] = stream_load(mine + (m * chunks + c) * 32);
            }
        }
#pragma unroll
        for (int first = 0; first < 2 * PF; first += HF) {
            uint4 b[HF][NT];
#pragma unroll
            for (int i = 0; i < HF && first + i < 2 * PF; i++) {
                const int at = base + (first + i) / 2, half = (first + i) % 2;
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    b[i][n] = make_uint4(0, 0, 0, 0);
                    if (warp + warpsOf * at < chunks && 8 * n + g < rows)
                        b[i][n] = *(const uint4 *)(inLanes ? rowq + (warpsOf * at * NT + n) * 1024 + half * 512 : rowq + n * group + warpsOf * at * 128 + half * 16);
                }
            }
#pragma unroll
            for (int i = 0; i < HF && first + i < 2 * PF; i++) {
                const int at = (first + i) / 2, half = (first + i) % 2;
                if (warp + warpsOf * (base + at) >= chunks) break;
                Codes codes[MT];
#pragma unroll
                for (int m = 0; m < MT; m++) codes[m].unpack(half ? w[m][at].z : w[m][at].x, half ? w[m][at].w : w[m][at].y);
#pragma unroll
                for (int n = 0; n < NT; n++) {
#pragma unroll
                    for (int m = 0; m < MT; m++) {
                        mma_u8s8(acc[m][n], codes[m].a[0][0], codes[m].a[0][1], codes[m].a[0][2], codes[m].a[0][3], b[i][n].x, b[i][n].y);
                        mma_u8s8(acc[m][n], codes[m].a[1][0], codes[m].a[1][1], codes[m].a[1][2], codes[m].a[1][3], b[i][n].z, b[i][n].w);
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
    if (!ahead) f.prepare(o, (int)tile0 + m, g);
    for (int n = warp / 2 / MT; n < NT; n += pairs / MT) {
        const int row = 8 * n + 2 * t + c;
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

#define FEW(name, NT, MT, PF, HF, BLOCKS)                                                                                              \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) name(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum,   \
                                                           int64_t rows, int64_t chunks, int64_t epilogue, Out o) {                    \
        __shared__ Sums<NT, MT> sums;                                                                                                  \
        if (epilogue == GATED)                                                                                                         \
            few<NT, MT, PF, HF, GATED>(sums, weights, q, s, sum, (int)rows, (int)chunks, o);                                           \
        else if (epilogue == RESIDUAL)                                                                                                 \
            few<NT, MT, PF, HF, RESIDUAL>(sums, weights, q, s, sum, (int)rows, (int)chunks, o);                                        \
        else                                                                                                                           \
            few<NT, MT, PF, HF, STORE>(sums, weights, q, s, sum, (int)rows, (int)chunks, o);                                           \
    }

FEW(ternary_short8, 1, 1, 3, 6, 3) // for up to 24 chunks: all weights in registers at once
FEW(ternary_short16, 2, 1, 3, 3, 3)
FEW(ternary_two8, 1, 2, 3, 6, 2) // the same for layers with many tiles
FEW(ternary_two16, 2, 2, 3, 6, 2)
FEW(ternary_four8, 1, 4, 3, 6, 2)
FEW(ternary_four16, 2, 4, 3, 2, 2)
FEW(ternary_few8, 1, 1, 7, 14, 2)
FEW(ternary_few16, 2, 1, 7, 7, 2)
FEW(ternary_pair16, 2, 2, 7, 14, 1)
FEW(ternary_few32, 4, 2, 4, 1, 1)
FEW(ternary_few64, 8, 2, 2, 1, 1)
FEW(ternary_full64, 8, 2, 1, 1, 2)
