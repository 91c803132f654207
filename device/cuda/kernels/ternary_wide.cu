// build: sm_90a
// Ternary linear layers for many activation rows: bound by the int8 tensor cores. A block computes
// four quads of tiles (256 outputs; half as many where those would be too few blocks) for 128 rows,
// a warpgroup a quad. Warps in turn let activations, in units (norm.cuh), come to a ring of stages in
// shared memory, a chunk of 128 inputs each; weights go to registers, two chunks ahead. Sums go
// through the same memory, so that a warp ends neighbouring outputs of one row.
#include "bulk.cuh"
#include "ternary_chunk.cuh"

constexpr int tokens = 128, groups = tokens / 8, chunkBytes = tokens * 128, mostStages = 12;
constexpr int behind = 2; // chunks that warps may be behind the one that lets the next come, without its waiting
constexpr int together = 4; // rows that are ended

// WideRow is what a row's sums are ended with; inverse is 0 where only a division will do.
struct alignas(16) WideRow {
    float scale, inverse;
    int32_t sum, unused;

    // divide is quotient (ternary.cuh) where there is an inverse.
    __device__ __forceinline__ float divide(int a) const {
        float v = (float)a, q = __fmul_rn(v, inverse);
        q = __fmaf_rn(__fmaf_rn(-q, scale, v), inverse, q);
        return __fmaf_rn(__fmaf_rn(-q, scale, v), inverse, q);
    }
};

__device__ __forceinline__ WideRow wide_row(float scale, int32_t sum) {
    const bool usual = scale > 1e-18f && scale < 1e18f;
    return {scale, usual ? __frcp_rn(scale) : 0.f, sum, 0};
}

// WideShared is what a block has beside the stages.
struct WideShared {
    WideRow of[tokens];
    uint64_t full[mostStages], empty[mostStages];
};

// WideEnd ends an output, or a gate with its up (neither has a bias), for one row after the other.
template <int EPI> struct WideEnd {
    const Out &o;
    int column;
    float scale0, scale1, factor0, factor1, bias;

    // at is the number of the output or the gate, in tile order.
    __device__ __forceinline__ WideEnd(const Out &o, int at) : o(o), factor0(1), factor1(1), bias(0) {
        const int half = EPI == GATED ? 2 * (at >> 3) : at >> 3, first = EPI == GATED ? 16 * (at >> 3) + (at & 7) : at;
        column = o.map[first], scale0 = o.scale[half];
        scale1 = EPI == GATED ? o.scale[half + 1] : 0;
        if (o.factor) factor0 = o.factor[half], factor1 = EPI == GATED ? o.factor[half + 1] : 1;
        if (o.bias && column >= 0) bias = o.bias[column];
    }

    // end takes `together` rows, first of which is `row`, and n of which there are; sums lie `down` ints apart,
    // those of ups `across` further. Rows do not wait for each other.
    __device__ __forceinline__ void end(const int32_t *sums, int down, int across, const WideRow *of, int row, int n) const {
        float *to = o.dst + (int64_t)row * o.ld + column;
        float was[together], y[together], up[together];
        if (EPI == RESIDUAL) {
#pragma unroll
            for (int i = 0; i < together; i++) was[i] = i < n ? to[i * o.ld] : 0;
        }
        bool usual = true;
#pragma unroll
        for (int i = 0; i < together; i++) {
            const WideRow r = of[i];
            y[i] = r.divide(sums[i * down] - r.sum);
            if (EPI == GATED) up[i] = r.divide(sums[i * down + across] - r.sum);
            usual = usual && r.inverse != 0;
        }
        if (!usual) {
#pragma unroll
            for (int i = 0; i < together; i++) {
                y[i] = __fdiv_rn((float)(sums[i * down] - of[i].sum), of[i].scale);
                if (EPI == GATED) up[i] = __fdiv_rn((float)(sums[i * down + across] - of[i].sum), of[i].scale);
            }
        }
        bool bad = false;
#pragma unroll
        for (int i = 0; i < together; i++) {
            y[i] = __fmul_rn(__fmul_rn(y[i], scale0), factor0);
            if (EPI == GATED) y[i] = gate_of(y[i], __fmul_rn(__fmul_rn(up[i], scale1), factor1), o.act);
            if (EPI != GATED && o.bias) y[i] += bias;
            if (EPI == RESIDUAL) y[i] += was[i], bad = bad || !(fabsf(y[i]) <= 3.402823466e38f);
            if (i < n) to[i * o.ld] = y[i];
        }
        if (EPI == RESIDUAL && bad) {
#pragma unroll
            for (int i = 0; i < together; i++)
                if (i < n) note_bad(o.bad, row + i, (int)o.stage, column, y[i]);
        }
    }
};

template <int EPI>
__device__ __forceinline__ void wide(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum, int rows, int chunks, int tiles, int stages,
                                     const Out &o, WideShared &sh) {
    extern __shared__ __align__(128) uint8_t room[]; // stages, then sums
    uint64_t *const full = sh.full, *const empty = sh.empty;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3, warps = blockDim.x >> 5;
    const int row0 = blockIdx.x * tokens, tile0 = blockIdx.y * warps, tile = tile0 + warp;
    const int8_t *rowsAt = q + (int64_t)blockIdx.x * chunks * chunkBytes;
    if (threadIdx.x < stages) {
        barrier_init(&full[threadIdx.x]);
        barrier_init(&empty[threadIdx.x], warps);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    __syncthreads();
    const int ahead = stages - behind;
    auto bring = [&](int c) {
        if ((c & warps - 1) != warp || c >= chunks) return;
        const int stage = c % stages;
        if (c >= stages) barrier_await(&empty[stage], (c / stages - 1) & 1);
        if (lane > 0) return;
        barrier_expect(&full[stage], chunkBytes);
        bulk_copy(room + stage * chunkBytes, rowsAt + (int64_t)c * chunkBytes, chunkBytes, &full[stage]);
    };
    const int4 *codes = (const int4 *)weights + (int64_t)min(tile, tiles - 1) * chunks * 32 + lane;
    auto weights_of = [&](int c) { return __ldg(codes + min(c, chunks - 1) * 32); };
    int4 even = weights_of(0), odd = weights_of(1);
#pragma unroll 1
    for (int c = warp; c < ahead; c += warps) bring(c);
    if (int i = threadIdx.x; i < tokens) {
        const bool there = row0 + i < rows;
        sh.of[i] = there ? wide_row(s[row0 + i], sum[row0 + i]) : WideRow{1, 1, 0, 0};
    }
    int acc[tokens / 2] = {};
    uint32_t a[2][2][4];
    auto multiply = [&](int c, int4 &x) {
        const int stage = c % stages;
        const uint8_t *from = room + stage * chunkBytes;
        barrier_await(&full[stage], c / stages & 1);
        chunk_products<tokens>(acc, a, x, from);
        x = weights_of(c + 2);
        // With the first products of this chunk those of the one before have ended.
        if (c > 0 && lane == 0) barrier_arrive(&empty[(c - 1) % stages]);
        __syncwarp();
        bring(c + ahead);
    };
    int c = 0; // a loop that might not run at all would make each product wait for the one before
#pragma unroll 1
    do {
        multiply(c, even);
        if (++c == chunks) break;
        multiply(c, odd);
    } while (++c < chunks);
    products_left<0>();
    pdl_release();
    __syncthreads();
    // A row of sums is so long that eight outputs of four pairs of rows are in different banks.
    // Ups stand behind all gates.
    const int width = warps * 16, down = width + 4, across = EPI == GATED ? width / 2 : 8;
    int32_t *const mine = (int32_t *)room + 2 * t * down + (EPI == GATED ? 8 : 16) * warp + g;
#pragma unroll
    for (int k = 0; k < groups; k++) {
        int32_t *to = mine + 8 * k * down;
        to[0] = acc[4 * k], to[down] = acc[4 * k + 1];
        to[across] = acc[4 * k + 2] >> 2, to[down + across] = acc[4 * k + 3] >> 2;
    }
    __syncthreads();
    const int columns = (EPI == GATED ? width / 2 : width) / 32, each = tokens * columns / warps; // of rows
    const int at = warp % columns * 32 + lane, from = warp / columns * each;
    const int number = (EPI == GATED ? 8 : 16) * tile0 + at;
    if (number >= (EPI == GATED ? 8 : 16) * tiles) return;
    const WideEnd<EPI> end(o, number);
    if (end.column < 0) return;
#pragma unroll 1
    for (int r = from; r < from + each && row0 + r < rows; r += together)
        end.end((const int32_t *)room + r * down + at, down, across, sh.of + r, row0 + r, rows - row0 - r);
}

extern "C" __global__ void __launch_bounds__(512, 1) ternary_wide(const uint4 *weights, const int8_t *q, const float *s, const int32_t *sum, int64_t rows,
                                                                  int64_t chunks, int64_t tiles, int64_t stages, int64_t epilogue, Out o) {
    __shared__ WideShared sh;
    if (epilogue == GATED)
        wide<GATED>(weights, q, s, sum, (int)rows, (int)chunks, (int)tiles, (int)stages, o, sh);
    else if (epilogue == RESIDUAL)
        wide<RESIDUAL>(weights, q, s, sum, (int)rows, (int)chunks, (int)tiles, (int)stages, o, sh);
    else
        wide<STORE>(weights, q, s, sum, (int)rows, (int)chunks, (int)tiles, (int)stages, o, sh);
}
