// build: compute_80 sm_90a
// RMSNorm and the quantization of activations, a row a block, in the roundings of
// the CPU (quantkern.RMSNorm, quantkern.QuantizeRow); only the order of the
// float64 sum of squares is another.
#include "norm.cuh"

#define NORM(name, V, T)                                                                                                          \
    extern "C" __global__ void __launch_bounds__(T) name(const float *x, int64_t ld, const float *w, float eps, float *out, int8_t *q, \
                                                            float *s, int32_t *sum, int64_t cols, int64_t stride) {               \
        pdl_release();                                                                                                            \
        pdl_wait();                                                                                                               \
        float v[V];                                                                                                               \
        const float *from = x + (int64_t)blockIdx.x * ld;                                                                         \
        _Pragma("unroll") for (int i = 0; i < V; i++) {                                                                           \
            int at = threadIdx.x + i * blockDim.x;                                                                                \
            v[i] = at < cols ? from[at] : 0.f;                                                                                    \
        }                                                                                                                         \
        norm_row<V>(v, w, eps, cols, out ? out + (int64_t)blockIdx.x * cols : nullptr, q ? q + (int64_t)blockIdx.x * stride : nullptr, \
                    s + blockIdx.x, sum + blockIdx.x, stride);                                                                    \
    }

NORM(norm4, 4, 1024)
NORM(norm8, 8, 1024)
NORM(norm32, 32, 1024)
