// build: compute_80 sm_90a
// The copy of the head that screen.cuh describes.
#include "screen.cuh"

template <int T, bool VEC>
__device__ __forceinline__ void build_row(const uint8_t *w, int64_t row, int64_t n, int64_t k, int64_t chunks, uint4 *codes, float4 *coefs, uint32_t *unable) {
    const int lane = threadIdx.x & 31;
    const uint8_t *from = w + row * row_bytes<T>(k);
    const bool real = row < n;
    Weights<T> at;
    float v[kUnit];
    uint32_t most = 0; // bits of the largest magnitude; NaN orders above infinity
    const int64_t units = (k + kUnit - 1) / kUnit;
    for (int64_t u = lane; real && u < units; u += 32) {
        at.template load<VEC>(from, u, k);
        at.decode(v, u);
#pragma unroll
        for (int i = 0; i < kUnit; i++) most = max(most, __float_as_uint(v[i]) & 0x7fffffffu);
    }
    most = warp_max(most);
    bool able = most <= __float_as_uint((float)ceilNorm);
    const float top = __uint_as_float(most);
    float scale = 0.f, inverse = 0.f;
    if (able && top >= floorRow) {
        scale = __uint_as_float((__float_as_uint(__double2float_ru((double)top / 127)) + 0xff) & ~0xffu);
        inverse = __fdiv_rn(1.f, scale);
    }
    double miss = 0;
    long long squares = 0;
    const int64_t block = row / screenBlock, eight = row >> 3 & 7, g = row & 7;
    for (int64_t q = lane; q < chunks * 4; q += 32) {
        uint32_t words[4] = {};
        for (int h = 0; real && able && h < 2; h++) {
            at.template load<VEC>(from, 2 * q + h, k);
            at.decode(v, 2 * q + h);
#pragma unroll
            for (int i = 0; i < kUnit; i++) {
                // Past the end of the row blocks decode to what they like.
                float value = (2 * q + h) * kUnit + i < k ? v[i] : 0.f;
                int code = __float2int_rn(__fmul_rn(value, inverse));
                double d = (double)value - (double)scale * (double)code;
                miss += d * d;
                squares += code * code;
                uint32_t byte = (uint32_t)(code & 255) << (8 * (i & 3));
                if (h == 0) words[i >> 2] |= byte;
                else words[2 + (i >> 2)] |= byte;
            }
        }
        codes[((block * chunks + (q >> 2)) * 8 + eight) * 32 + (q & 3) * 8 + g] = make_uint4(words[0], words[1], words[2], words[3]);
    }
    miss = warp_sum(miss);
    squares = warp_sum(squares);
    if (lane != 0) return;
    double e = sqrt(miss) * (1 + 0x1p-22), norm = sqrt((double)squares) * (double)scale * (1 + 0x1p-40);
    if (real && !(able && e + norm <= ceilNorm)) atomicMin(unable, (uint32_t)row);
    coefs[row] = real ? make_float4(scale, __double2float_ru(fmax(e, floorNorm)), __double2float_ru(fmax(norm, floorNorm)), 0.f)
                      : make_float4(0.f, 0.f, 0.f, 0.f);
}

template <int T>
__device__ __forceinline__ void build(const uint8_t *w, int64_t row, int64_t n, int64_t k, int64_t chunks, uint4 *codes, float4 *coefs, uint32_t *unable) {
    if (whole_units<T>(w, k))
        build_row<T, true>(w, row, n, k, chunks, codes, coefs, unable);
    else
        build_row<T, Weights<T>::values != 1>(w, row, n, k, chunks, codes, coefs, unable);
}

// screen_build: a warp a row, grid ⌈n/64⌉·8 blocks of 256 threads from row `first`, a
// multiple of 8, on. unable, 0xffffffff before, becomes the lowest row that has values
// which are not finite or beyond 2^60: such a head has no copy.
extern "C" __global__ void __launch_bounds__(256)
    screen_build(const uint8_t *w, int64_t type, int64_t first, int64_t n, int64_t k, int64_t chunks, uint4 *codes, float4 *coefs, uint32_t *unable) {
    const int64_t row = first + (int64_t)blockIdx.x * 8 + (threadIdx.x >> 5);
    if (row >= (int64_t)tiles_of(n) * screenTile) return;
    switch (type) {
    case F32: return build<F32>(w, row, n, k, chunks, codes, coefs, unable);
    case F16: return build<F16>(w, row, n, k, chunks, codes, coefs, unable);
    case BF16: return build<BF16>(w, row, n, k, chunks, codes, coefs, unable);
    case Q8_0: return build<Q8_0>(w, row, n, k, chunks, codes, coefs, unable);
    case Q4_0: return build<Q4_0>(w, row, n, k, chunks, codes, coefs, unable);
    case Q4_1: return build<Q4_1>(w, row, n, k, chunks, codes, coefs, unable);
    case Q5_0: return build<Q5_0>(w, row, n, k, chunks, codes, coefs, unable);
    case Q5_1: return build<Q5_1>(w, row, n, k, chunks, codes, coefs, unable);
    case Q4_K: return build<Q4_K>(w, row, n, k, chunks, codes, coefs, unable);
    case Q5_K: return build<Q5_K>(w, row, n, k, chunks, codes, coefs, unable);
    case Q6_K: return build<Q6_K>(w, row, n, k, chunks, codes, coefs, unable);
    }
}
