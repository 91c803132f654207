// build: compute_80 sm_90a
// The copy of the head that screen.cuh describes.
#include "screen.cuh"

// Kept is what a row's codes of one precision are off by, so far.
struct Kept {
    double miss;
    long long squares; // Σ(2ŵ/s)²
    __device__ __forceinline__ void add(double value, double half, int twice) {
        const double d = value - half * (double)twice; // the product is exact
        miss += d * d, squares += (long long)twice * twice;
    }
};

// build_rows copies the rows of a tile that are eight apart, from which a warp's lanes make words together.
template <int T, bool VEC>
__device__ __forceinline__ void build_rows(const uint8_t *w, int64_t row, int64_t n, int64_t k, int64_t chunks, void *codes, float4 *coefs, uint32_t *unable) {
    const int lane = threadIdx.x & 31, g = (int)row & 7;
    const int64_t units = (k + kUnit - 1) / kUnit, tile = row / screenTile, all = (int64_t)tiles_of(n) * screenTile;
    const Planes to(codes, n, chunks);
    Weights<T> at;
    float v[kUnit], scale[2], inverse[2];
    bool able[2];
    for (int h = 0; h < 2; h++) {
        const uint8_t *from = w + (row + 8 * h) * row_bytes<T>(k);
        uint32_t most = 0; // bits of the largest magnitude; NaN orders above infinity
        for (int64_t u = lane; row + 8 * h < n && u < units; u += 32) {
            at.template load<VEC>(from, u, k);
            at.decode(v, u);
#pragma unroll
            for (int i = 0; i < kUnit; i++) most = max(most, __float_as_uint(v[i]) & 0x7fffffffu);
        }
        most = warp_max(most);
        able[h] = most <= __float_as_uint((float)ceilNorm);
        const float top = __uint_as_float(most);
        scale[h] = inverse[h] = 0.f;
        if (able[h] && top >= floorRow) {
            scale[h] = __uint_as_float((__float_as_uint(__double2float_ru((double)top / 127)) + 0xff) & ~0xffu);
            inverse[h] = __fdiv_rn(1.f, scale[h]);
        }
    }
    Kept kept[2][3] = {};
    for (int64_t q = lane; q < chunks * 4; q += 32) { // a lane of the tile has 16 values of a chunk
        uint32_t nibbles[4] = {}, pairs[2] = {}, seventh = 0, eighth = 0;
#pragma unroll
        for (int h = 0; h < 2; h++) {
            if (row + 8 * h >= n || !able[h]) continue;
            const uint8_t *from = w + (row + 8 * h) * row_bytes<T>(k);
            const double half = (double)scale[h] / 2;
#pragma unroll
            for (int u = 0; u < 2; u++) {
                at.template load<VEC>(from, 2 * q + u, k);
                at.decode(v, 2 * q + u);
#pragma unroll
                for (int i = 0; i < kUnit; i++) {
                    // Past the end of the row blocks decode to what they like.
                    const bool real = (2 * q + u) * kUnit + i < k;
                    const int code = __float2int_rn(__fmul_rn(real ? v[i] : 0.f, inverse[h])), word = 2 * u + i / 4, byte = 8 * (i & 3);
                    if (real) {
                        kept[h][0].add(v[i], half, 2 * (code & -4) + 3);
                        kept[h][1].add(v[i], half, 2 * (code & -2) + 1);
                        kept[h][2].add(v[i], half, 2 * code);
                    }
                    nibbles[2 * h + word / 2] |= (code >> 4 & 15u) << (byte + (word & 1 ? 0 : 4));
                    pairs[h] |= (code >> 2 & 3u) << (byte + 2 * word);
                    seventh |= (code >> 1 & 1u) << (byte + 4 * h + word), eighth |= (code & 1u) << (byte + 4 * h + word);
                }
            }
        }
        const int64_t place = (tile / unitTiles * chunks + (q >> 2)) * unitTiles + tile % unitTiles, mine = 4 * g + (q & 3);
        uint8_t *six = (uint8_t *)to.six + place * sixBytes;
        ((uint4 *)six)[mine] = make_uint4(nibbles[0], nibbles[1], nibbles[2], nibbles[3]);
        ((uint2 *)(six + 512))[mine] = make_uint2(pairs[0], pairs[1]);
        ((uint32_t *)(to.seventh + place * bitBytes))[mine] = seventh, ((uint32_t *)(to.eighth + place * bitBytes))[mine] = eighth;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const bool real = row + 8 * h < n;
#pragma unroll
        for (int i = 0; i < 3; i++) {
            const double miss = warp_sum(kept[h][i].miss), half = (double)scale[h] / 2;
            const long long squares = warp_sum(kept[h][i].squares);
            if (lane != 0) continue;
            const double e = sqrt(miss) * (1 + 0x1p-22), norm = sqrt((double)squares) * half * (1 + 0x1p-40);
            if (real && !(able[h] && e + norm <= ceilNorm)) atomicMin(unable, (uint32_t)(row + 8 * h));
            coefs[i * all + row + 8 * h] = real ? make_float4((float)half, __double2float_ru(fmax(e, floorNorm)), __double2float_ru(fmax(norm, floorNorm)), 0.f)
                                                : make_float4(0.f, 0.f, 0.f, 0.f);
        }
    }
}

template <int T>
__device__ __forceinline__ void build(const uint8_t *w, int64_t row, int64_t n, int64_t k, int64_t chunks, void *codes, float4 *coefs, uint32_t *unable) {
    if (whole_units<T>(w, k))
        build_rows<T, true>(w, row, n, k, chunks, codes, coefs, unable);
    else
        build_rows<T, Weights<T>::values != 1>(w, row, n, k, chunks, codes, coefs, unable);
}

// screen_build: a tile a block, grid 4·⌈n/64⌉ blocks of 256 threads. unable, 0xffffffff before,
// becomes the lowest row that has values which are not finite or beyond 2^60: such a head has no copy.
extern "C" __global__ void __launch_bounds__(256)
    screen_build(const uint8_t *w, int64_t type, int64_t n, int64_t k, int64_t chunks, void *codes, float4 *coefs, uint32_t *unable) {
    const int64_t row = (int64_t)blockIdx.x * screenTile + (threadIdx.x >> 5);
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
