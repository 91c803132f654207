// build: compute_80 sm_90a
// Linear layers with weights that are not ternary: float32 activations, weights decoded
// on the way. A warp computes an output for up to eight rows; its lanes take units of
// eight inputs in turn and their sums meet in one tree, so no row's bits depend on others.
#include "dense_types.cuh"

constexpr int rowsAtOnce = 8, outputsOfBlock = 8;

// Real says where products go.
struct Real {
    float *dst;
    int64_t ld, at;      // of a row, first column
    const float *factor; // nullptr or one value
    const float *bias;   // nullptr or by output
    uint32_t *bad;
    int64_t stage;
};

template <int T, bool VEC>
__device__ __forceinline__ void real_rows(const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, const Real &o) {
    int lane = threadIdx.x & 31;
    int64_t out = (int64_t)blockIdx.x * outputsOfBlock + (threadIdx.x >> 5);
    int64_t first = (int64_t)blockIdx.y * rowsAtOnce;
    pdl_release();
    pdl_wait();
    if (out >= n) return;
    const uint8_t *row = w + out * row_bytes<T>(k);
    int count = (int)min((int64_t)rowsAtOnce, rows - first);
    float sum[rowsAtOnce] = {};
    const int64_t units = (k + kUnit - 1) / kUnit;
    constexpr int deep = 4;
    for (int64_t u = lane; u < units; u += 32 * deep) {
        Weights<T> at[deep];
#pragma unroll
        for (int i = 0; i < deep; i++) at[i].template load<VEC>(row, u + 32 * i, k);
#pragma unroll
        for (int i = 0; i < deep; i++) {
            int64_t unit = u + 32 * i;
            if (unit >= units) break;
            float v[kUnit];
            at[i].decode(v, unit);
            const float *from = x + first * k + unit * kUnit;
            if (VEC) {
#pragma unroll
                for (int r = 0; r < rowsAtOnce; r++) {
                    if (r >= count) break;
                    float4 a = *(const float4 *)(from + r * k), b = *(const float4 *)(from + r * k + 4);
                    const float y[kUnit] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
                    for (int j = 0; j < kUnit; j++) sum[r] = fmaf(y[j], v[j], sum[r]);
                }
            } else {
                int left = (int)min((int64_t)kUnit, k - unit * kUnit);
                for (int r = 0; r < count; r++) {
                    float s = sum[r];
                    for (int j = 0; j < left; j++) s = fmaf(from[r * k + j], v[j], s);
                    sum[r] = s;
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < rowsAtOnce; r++) {
        float y = warp_sum(sum[r]);
        if (lane != 0 || r >= count) continue;
        if (o.factor) y = __fmul_rn(y, *o.factor);
        if (o.bias) y += o.bias[out];
        float *to = o.dst + (first + r) * o.ld + o.at + out;
        if (residual) {
            y += *to;
            note_bad(o.bad, (int)(first + r), (int)o.stage, (int)out, y);
        }
        *to = y;
    }
}

template <int T> __device__ __forceinline__ void real_of(const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, const Real &o) {
    if (k % kUnit == 0)
        real_rows<T, true>(w, x, rows, n, k, residual, o);
    else
        real_rows<T, false>(w, x, rows, n, k, residual, o);
}

extern "C" __global__ void __launch_bounds__(256) real_mul(const uint8_t *w, int64_t type, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual,
                                                               Real o) {
    switch (type) {
    case F32: return real_of<F32>(w, x, rows, n, k, residual, o);
    case F16: return real_of<F16>(w, x, rows, n, k, residual, o);
    case BF16: return real_of<BF16>(w, x, rows, n, k, residual, o);
    case Q8_0: return real_of<Q8_0>(w, x, rows, n, k, residual, o);
    case Q4_0: return real_of<Q4_0>(w, x, rows, n, k, residual, o);
    case Q4_1: return real_of<Q4_1>(w, x, rows, n, k, residual, o);
    case Q5_0: return real_of<Q5_0>(w, x, rows, n, k, residual, o);
    case Q5_1: return real_of<Q5_1>(w, x, rows, n, k, residual, o);
    case Q4_K: return real_of<Q4_K>(w, x, rows, n, k, residual, o);
    case Q5_K: return real_of<Q5_K>(w, x, rows, n, k, residual, o);
    case Q6_K: return real_of<Q6_K>(w, x, rows, n, k, residual, o);
    }
}

// gate_rows combines gate and up, which stand side by side: grid (columns/256, rows).
extern "C" __global__ void gate_rows(float *dst, const float *both, int64_t ffn, int64_t act) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    pdl_release();
    pdl_wait();
    if (i >= ffn) return;
    float gate = both[blockIdx.y * 2 * ffn + i], up = both[blockIdx.y * 2 * ffn + ffn + i];
    float y;
    if (act == 1) {
        float r = gate <= 0.f ? 0.f : gate;
        y = __fmul_rn(__fmul_rn(r, r), up);
    } else {
        y = __fmul_rn(__fdiv_rn(gate, 1.f + expf(-gate)), up);
    }
    dst[blockIdx.y * ffn + i] = y;
}
