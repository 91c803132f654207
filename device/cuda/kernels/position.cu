// build: compute_80 sm_90a
// What comes between the projections and attention: QK-norm, rotary positions, and
// keys and values into their pages. A warp does one head of one row.
#include "kept.cuh"
#include "q8.cuh"

// put_q8 packs 32 values, one a lane, as ggml does: a half for the scale, 32 codes.
__device__ __forceinline__ void put_q8(uint8_t *dst, float v) {
    const int lane = threadIdx.x & 31;
    const Q8 c = q8_of(v);
    dst[2 + lane] = (uint8_t)c.code;
    const unsigned short bits = __half_as_ushort(c.scale);
    if (lane == 0) dst[0] = bits & 255, dst[1] = bits >> 8;
}

// put_bytes stores one head of one position as Bytes (chunk_bytes.cuh) reads it; transposed: values.
__device__ __forceinline__ void put_bytes(uint8_t *part, const float *x, int64_t size, int64_t slot, int64_t dim, bool transposed) {
    const int lane = threadIdx.x & 31;
    __half *scales = (__half *)(part + size * dim);
    for (int64_t i = 0; i < dim / 32; i++) {
        const int64_t d = 32 * i + lane;
        const Q8 c = q8_of(x[d]);
        part[transposed ? d * size + slot : slot * dim + d] = (uint8_t)(c.code + 128);
        if (lane == 0) scales[transposed ? i * size + slot : slot * (dim / 32) + i] = c.scale;
    }
}

// put_row stores one head of one position, in the layout [kvHead][pageSize][dim] or, for
// values that the tensor cores read, [kvHead][dim][pageSize].
__device__ __forceinline__ void put_row(uint8_t *pages, const float *x, const Shape &a, int64_t page, int64_t head, int64_t slot, int64_t dim, bool transposed) {
    int lane = threadIdx.x & 31;
    int64_t first = (page * a.kvHeads + head) * a.pageSize * dim;
    if (a.kept == KEPT_BYTES) return put_bytes(pages + first / 32 * 34, x, a.pageSize, slot, dim, transposed);
    if (a.kept == KEPT_Q8) {
        uint8_t *dst = pages + (first + slot * dim) / 32 * 34;
        for (int64_t i = 0; i < dim; i += 32) put_q8(dst + i / 32 * 34, x[i + lane]);
        return;
    }
    for (int64_t i = lane; i < dim; i += 32) {
        int64_t at = first + (transposed ? i * a.pageSize + slot : slot * dim + i);
        if (a.kept == KEPT_F32)
            ((float *)pages)[at] = x[i];
        else
            ((__half *)pages)[at] = __float2half_rn(x[i]);
    }
}

// place_rows: grid (heads + 2*kvHeads in warps of four a block, rows). qkv is [rows][all
// heads]; queries go to q, as halves for the tensor cores, else as float32.
extern "C" __global__ void __launch_bounds__(128)
    place_rows(float *qkv, const Row *rows, const int32_t *table, const float *cosines, const float *sines, const float *qNorm,
               const float *kNorm, float qEps, float kEps, void *q, uint8_t *k, uint8_t *v, Shape a) {
    extern __shared__ float memory[];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int64_t head = blockIdx.x * 4 + warp;
    Row at = rows[blockIdx.y];
    pdl_release();
    pdl_wait();
    if (at.seq < 0 || head >= a.heads + 2 * a.kvHeads) return;
    bool query = head < a.heads, key = !query && head < a.heads + a.kvHeads;
    int64_t width = a.heads * a.keyDim + a.kvHeads * (a.keyDim + a.valueDim);
    const float *from = qkv + blockIdx.y * width;
    int64_t dim = query || key ? a.keyDim : a.valueDim;
    float *x = memory + warp * max(a.keyDim, a.valueDim);
    from += query || key ? head * a.keyDim : (a.heads + a.kvHeads) * a.keyDim + (head - a.heads - a.kvHeads) * a.valueDim;
    for (int64_t i = lane; i < dim; i += 32) x[i] = from[i];
    __syncwarp();
    if (query || key) {
        const float *w = query ? qNorm : kNorm;
        if (w) {
            double squares = 0;
            for (int64_t i = lane; i < dim; i += 32) squares += (double)__fmul_rn(x[i], x[i]);
            squares = warp_sum(squares);
            float mean = (float)(squares / (double)dim);
            float scale = __fdiv_rn(1.f, __fsqrt_rn(mean + (query ? qEps : kEps)));
            for (int64_t i = lane; i < dim; i += 32) x[i] = __fmul_rn(__fmul_rn(x[i], scale), w[i]);
            __syncwarp();
        }
        if (a.kind != 0) {
            int64_t half = a.dims / 2;
            const float *cs = cosines + at.pos * half, *sn = sines + at.pos * half;
            for (int64_t i = lane; i < half; i += 32) {
                int64_t one = a.kind == 1 ? i : 2 * i, two = a.kind == 1 ? i + half : 2 * i + 1;
                float p = x[one], r = x[two], c = cs[i], s = sn[i];
                x[one] = __fsub_rn(__fmul_rn(p, c), __fmul_rn(r, s));
                x[two] = __fadd_rn(__fmul_rn(p, s), __fmul_rn(r, c));
            }
            __syncwarp();
        }
    }
    if (query) {
        int64_t to = (blockIdx.y * a.heads + head) * dim;
        for (int64_t i = lane; i < dim; i += 32) {
            if (tensor_kept(a.kept))
                ((__half *)q)[to + i] = __float2half_rn(x[i]);
            else
                ((float *)q)[to + i] = a.kept == KEPT_F16 ? __half2float(__float2half_rn(x[i])) : x[i];
        }
        return;
    }
    int64_t page = table[at.pages + at.pos / a.pageSize], slot = at.pos % a.pageSize;
    if (key)
        put_row(k, x, a, page, head - a.heads, slot, a.keyDim, false);
    else
        put_row(v, x, a, page, head - a.heads - a.kvHeads, slot, a.valueDim, tensor_kept(a.kept));
}
