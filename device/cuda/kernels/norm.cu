// build: compute_80 sm_90a
// RMSNorm and the quantization of activations, a row a block, in the roundings of
// the CPU (quantkern.RMSNorm, quantkern.QuantizeRow); only the sum of
// squares has another order.
#include "norm.cuh"

template <int LANES, int V>
__device__ __forceinline__ void norm_block(const float *x, int64_t ld, const float *weights, float eps, float *out, int8_t *q, float *s,
                                           int32_t *sum, int cols, int64_t shape) {
    __shared__ NormScratch scratch;
    float4 w[V], v[V];
    pdl_release();
    if (weights) load_row<LANES, V>(w, weights, cols, by_quads(weights, 0, cols));
    double inverse = 1.0 / (double)cols;
    float scale;
    int32_t total;
    Coded coded(q, shape, blockIdx.x);
    const int count = coded.count;
    // The dry round is with the weights.
#pragma unroll 1
    for (int round = weights && gridDim.x <= dryBlocks ? 0 : 1; round < 2; round++) {
        if (round) pdl_wait();
        load_row<LANES, V>(v, round ? x + (int64_t)blockIdx.x * ld : weights, cols, by_quads(x, ld, cols));
        coded.count = round ? count : 0;
        norm_row<LANES, V>(v, weights != nullptr, w, inverse, eps, cols, out && round ? out + (int64_t)blockIdx.x * cols : nullptr, coded, scratch, scale, total);
    }
    if (q && threadIdx.x == 0) s[blockIdx.x] = scale, sum[blockIdx.x] = total;
}

// VALUES of a lane at most.
#define NORM(name, LANES, VALUES)                                                                                                       \
    extern "C" __global__ void __launch_bounds__(LANES) name(const float *x, int64_t ld, const float *w, float eps, float *out,          \
                                                             int8_t *q, float *s, int32_t *sum, int64_t cols, int64_t shape) {          \
        norm_block<LANES, VALUES / 4>(x, ld, w, eps, out, q, s, sum, (int)cols, shape);                                                 \
    }

NORM(norm12, normLanes, 12)
NORM(norm16, midLanes, 16)
NORM(norm_wide, wideLanes, 32)
