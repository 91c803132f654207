// build: compute_80 sm_90a
// Ternary linear layers for many activation rows where ternary_wide.cu has no code: bound by the int8
// tensor cores. A block computes 128 outputs for 64 rows, each of its four warps 32 of
// the outputs; the activations pass through shared memory in stages, the
// weights through registers.
#include "ternary.cuh"

constexpr int tokens = 64, stages = 4, stride = 144; // bytes of a row of a stage: 128 and 16 against bank conflicts
constexpr int stageBytes = tokens * stride;

__device__ __forceinline__ void copy_async(void *dst, const void *src, bool there) {
    uint32_t d = (uint32_t)__cvta_generic_to_shared(dst);
    int bytes = there ? 16 : 0; // the rest is filled with zeros
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(d), "l"(src), "r"(bytes));
}

template <int EPI>
__device__ __forceinline__ void many(const uint4 *__restrict__ weights, const int8_t *q, const float *s, const int32_t *sum,
                                     int64_t rows, int64_t chunks, int64_t tiles, const Out &o, uint8_t *shared) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    const int64_t row0 = (int64_t)blockIdx.x * tokens;
    const int64_t tile0 = (int64_t)blockIdx.y * 8 + 2 * warp;
    const uint4 *w0 = weights + (min(tile0, tiles - 1) * chunks) * 32 + lane;
    const uint4 *w1 = weights + (min(tile0 + 1, tiles - 1) * chunks) * 32 + lane;
    uint4 next[2] = {__ldg(w0), __ldg(w1)};
    pdl_release();
    pdl_wait();

    // Each thread copies four pieces of 16 bytes a stage.
    auto fetch = [&](int64_t c) {
        if (c < chunks) {
            uint8_t *to = shared + (c % stages) * stageBytes;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int piece = threadIdx.x + 128 * i, r = piece >> 3, part = piece & 7;
                int64_t row = row0 + r;
                bool there = row < rows;
                copy_async(to + r * stride + 16 * part, q + ((there ? row : 0) * chunks + c) * 128 + 16 * part, there);
            }
        }
        asm volatile("cp.async.commit_group;");
    };
#pragma unroll
    for (int i = 0; i < stages - 1; i++) fetch(i);

    int acc[2][8][4] = {};
    for (int64_t c = 0; c < chunks; c++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(stages - 2));
        __syncthreads();
        fetch(c + stages - 1);
        uint4 w[2] = {next[0], next[1]};
        if (c + 1 < chunks) next[0] = __ldg(w0 + (c + 1) * 32), next[1] = __ldg(w1 + (c + 1) * 32);
        const uint8_t *from = shared + (c % stages) * stageBytes + g * stride + 32 * t;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Codes a[2];
            a[0].unpack(half ? w[0].z : w[0].x, half ? w[0].w : w[0].y);
            a[1].unpack(half ? w[1].z : w[1].x, half ? w[1].w : w[1].y);
#pragma unroll
            for (int n = 0; n < 8; n++) {
                uint4 b = *(const uint4 *)(from + n * 8 * stride + 16 * half);
#pragma unroll
                for (int m = 0; m < 2; m++) {
                    mma_u8s8(acc[m][n], a[m].a[0][0], a[m].a[0][1], a[m].a[0][2], a[m].a[0][3], b.x, b.y);
                    mma_u8s8(acc[m][n], a[m].a[1][0], a[m].a[1][1], a[m].a[1][2], a[m].a[1][3], b.z, b.w);
                }
            }
        }
    }
#pragma unroll
    for (int m = 0; m < 2; m++) {
        if (tile0 + m >= tiles) break;
        Finish f;
        f.prepare(o, (int)tile0 + m, g);
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                int64_t row = row0 + 8 * n + 2 * t + c;
                if (row >= rows) continue;
                int total = sum[row];
                f.fetch<EPI>(o, row);
                f.end<EPI>(o, row, __fdiv_rn((float)(acc[m][n][c] - total), s[row]), __fdiv_rn((float)((acc[m][n][c + 2] >> 2) - total), s[row]));
            }
    }
}

extern "C" __global__ void __launch_bounds__(128, 3) ternary_many(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum,
                                                                  int64_t rows, int64_t chunks, int64_t tiles, int64_t epilogue, Out o) {
    __shared__ __align__(128) uint8_t shared[stages * stageBytes];
    if (epilogue == GATED)
        many<GATED>(weights, q, s, sum, rows, chunks, tiles, o, shared);
    else if (epilogue == RESIDUAL)
        many<RESIDUAL>(weights, q, s, sum, rows, chunks, tiles, o, shared);
    else
        many<STORE>(weights, q, s, sum, rows, chunks, tiles, o, shared);
}
