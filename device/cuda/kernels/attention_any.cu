// build: compute_80 sm_90a
// Attention over pages of any type, size and head dimension in float32: for models and
// caches that the tensor-core kernels do not take. A block does one head of one row;
// its order of operations depends on the position alone.
#include "kept.cuh"

__device__ __forceinline__ float kept_at(const uint8_t *pages, int64_t kept, int64_t i) {
    if (kept == KEPT_F32) return ((const float *)pages)[i];
    if (kept == KEPT_F16) return __half2float(((const __half *)pages)[i]);
    const uint8_t *b = pages + i / 32 * 34;
    unsigned short d = b[0] | b[1] << 8;
    return __fmul_rn(__half2float(__ushort_as_half(d)), (float)(int8_t)b[2 + i % 32]);
}

// attend_any: grid (heads, rows), 128 threads. Scores are worked on in pieces of 128
// positions: a thread a position for the scores, a thread a dimension for the values.
extern "C" __global__ void __launch_bounds__(128)
    attend_any(const float *q, const uint8_t *k, const uint8_t *v, const Row *rows, const int32_t *table, float *att, float scale, Shape a) {
    extern __shared__ float query[]; // keyDim values, then valueDim sums
    __shared__ float p[128];
    __shared__ float scratch[33];
    __shared__ double sums[33];
    Row at = rows[blockIdx.y];
    pdl_release();
    pdl_wait();
    if (at.seq < 0) return;
    int64_t head = blockIdx.x, kvHead = head / (a.heads / a.kvHeads);
    const int32_t *pages = table + at.pages;
    float *out = query + a.keyDim;
    for (int64_t i = threadIdx.x; i < a.keyDim; i += 128) query[i] = q[(blockIdx.y * a.heads + head) * a.keyDim + i];
    for (int64_t i = threadIdx.x; i < a.valueDim; i += 128) out[i] = 0;
    __syncthreads();
    float top = -INFINITY;
    double total = 0;
    for (int64_t first = 0; first <= at.pos; first += 128) {
        int64_t pos = first + threadIdx.x;
        float s = -INFINITY;
        if (pos <= at.pos) {
            int64_t from = ((pages[pos / a.pageSize] * a.kvHeads + kvHead) * a.pageSize + pos % a.pageSize) * a.keyDim;
            float d[4] = {};
            for (int64_t i = 0; i < a.keyDim; i++) d[i & 3] = fmaf(query[i], kept_at(k, a.kept, from + i), d[i & 3]);
            s = __fmul_rn((d[0] + d[1]) + (d[2] + d[3]), scale);
        }
        // NaN must not be lost in a maximum.
        bool odd = pos <= at.pos && s != s;
        float m = warp_max(s == s ? s : -INFINITY);
        int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        if (lane == 0) scratch[warp] = m;
        odd = __syncthreads_or(odd);
        m = fmaxf(fmaxf(scratch[0], scratch[1]), fmaxf(scratch[2], scratch[3]));
        float next = odd ? NAN : fmaxf(top, m);
        float keep = top == -INFINITY ? 0.f : expf(top - next);
        float e = pos <= at.pos ? expf(s - next) : 0.f;
        p[threadIdx.x] = e;
        total = total * (double)keep + block_sum((double)e, sums);
        top = next;
        int64_t n = min((int64_t)128, at.pos + 1 - first);
        for (int64_t i = threadIdx.x; i < a.valueDim; i += 128) {
            float o = out[i] * keep;
            for (int64_t j = 0; j < n; j++) {
                int64_t pj = first + j;
                int64_t from = ((pages[pj / a.pageSize] * a.kvHeads + kvHead) * a.pageSize + pj % a.pageSize) * a.valueDim;
                o = fmaf(p[j], kept_at(v, a.kept, from + i), o);
            }
            out[i] = o;
        }
        __syncthreads();
    }
    float inverse = (float)(1.0 / total);
    for (int64_t i = threadIdx.x; i < a.valueDim; i += 128) att[(blockIdx.y * a.heads + head) * a.valueDim + i] = out[i] * inverse;
}
