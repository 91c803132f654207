// build: compute_80 sm_90a
// RMSNorm and the quantization of activations, a row a block, in the roundings of
// the CPU (quantkern.RMSNorm, quantkern.QuantizeRow); only the order of the
// float64 sum of squares is another.
#include "norm.cuh"

template <int V>
__device__ __forceinline__ void norm_block(const float *x, int64_t ld, const float *weights, float eps, float *out, int8_t *q, float *s,
                                           int32_t *sum, int64_t cols, int64_t stride) {
    __shared__ NormScratch scratch;
    float w[V], v[V];
    pdl_release();
    if (weights) load_row<V>(w, weights, cols);
    pdl_wait();
    load_row<V>(v, x + (int64_t)blockIdx.x * ld, cols);
    float scale;
    int32_t total;
    norm_row<V>(v, weights != nullptr, w, eps, cols, out ? out + (int64_t)blockIdx.x * cols : nullptr,
                q ? q + (int64_t)blockIdx.x * stride : nullptr, stride, scratch, scale, total);
    if (q && threadIdx.x == 0) s[blockIdx.x] = scale, sum[blockIdx.x] = total;
}

#define NORM(name, V)                                                                                                                   \
    extern "C" __global__ void __launch_bounds__(normLanes) name(const float *x, int64_t ld, const float *w, float eps, float *out,      \
                                                                 int8_t *q, float *s, int32_t *sum, int64_t cols, int64_t stride) {     \
        norm_block<V>(x, ld, w, eps, out, q, s, sum, cols, stride);                                                                     \
    }

NORM(norm12, 12)
NORM(norm32, 32)
NORM(norm128, 128)
