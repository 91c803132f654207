// The copy of a head and what it is multiplied with, for exact screening on the
// GPU: which logits can be among the k largest, so that only these need the
// exact product. quantkern.Screen describes the method.
//
// # The bound
//
// A row w of n weights is kept as codes q in ±127 of a scale s, a float32 of 16
// significant bits. The six, seven or eight upper bits of the codes make a ŵ:
// what is left out counts as the middle of what it can be, so
//
//	ŵ = s/2·(2·(q & −4) + 3),  s/2·(2·(q & −2) + 1)  or  s/2·2q
//
// each with its own E ≥ ‖w−ŵ‖ and N ≥ ‖ŵ‖. Activations x are kept as x̂ = t·y, y
// in ±32639, whose Σ|y| is so small that the dot D = 2ŵ/s·y, of factors up to 255, is
// an exact int32. Everything is as in quantkern.Screen except for the longest way to an
// exact product d, which here is that of dense_dot: a lane adds at most 8·⌈n/256⌉ products
// to one sum, an FMA and so one rounding each, and five levels of a tree follow. With
//
//	m = 8·⌈n/256⌉ + 5,  γ = mu/(1−mu),  u = 2^-24
//
// |d − w·x| ≤ γ·Σ|wᵢxᵢ| + n·2^-149 (an FMA whose result is denormal loses up to
// 2^-150), and from there on with the same α and β
//
//	lower ≤ d/t ≤ upper,  upper = fl(fl(D)·s/2) + e,  lower = upper − 2e,  e = E·α + N·β
//
// Let L be at most the k-th largest lower bound, or d/t of one row where one is
// wanted. At least k products are L·t or more, so a row with upper < L is not among
// the k largest, ties included.
//
// # Layouts
//
//	codes  three planes of six, one and one bits, one behind the other:
//	       [unit of 256 rows][chunk of 64 values][tile of 16 rows][lane]. As in mma_s8 lane
//	       4g + t has rows g and g + 8, of which values 16t…16t+15 of the chunk:
//	       words Q of values 16t + 4Q…16t + 4Q+3, a byte each. An operand of a
//	       tensor-core product may have its inner index in any order if both
//	       operands have the same. A tile of six bits is 512 bytes of upper nibbles (a
//	       uint4 a lane: words 0 1 and 2 3 of row g, then of row g + 8, the even ones in the upper
//	       nibble) and 256 of the pairs below (a uint2 a lane: a row each, word Q in bits 2Q);
//	       of one bit, 128 (word Q of row g in bit Q of each byte, of row g + 8 in bit 4 + Q)
//	acts   [chunk][plane][eight rows][word][row] of 16 bytes: the same values of
//	       activation rows, those of t at 4t, y = 256·(plane 0) + (plane 1), both signed
//	coefs  [six, seven, eight bits] a float4 a row: s/2, E, N, 0; rows past the last one are zeros
//	tops   [activation row][tile of 16 rows]: the largest upper and the largest lower bound
//	uppers [activation row][row]: of the tiles that are not below the floor
//	floors [activation row]: where one row is wanted, the largest lower bound so far, as order_of,
//	       and below it its row
#pragma once
#include "dense_tile.cuh"

constexpr int screenTile = 16, screenChunk = 64, screenBlock = 64, screenUnit = 256;
constexpr int sixBytes = 768, bitBytes = 128, unitTiles = screenUnit / screenTile; // of a tile's chunk

// tiles_of counts the tiles of n rows: those of whole blocks.
__host__ __device__ __forceinline__ int tiles_of(int64_t n) { return (int)((n + screenBlock - 1) / screenBlock) * (screenBlock / screenTile); }

// Planes are the codes of a head.
struct Planes {
    const uint8_t *six, *seventh, *eighth;
    __device__ __forceinline__ Planes(const void *codes, int64_t n, int64_t chunks) {
        const int64_t all = (n + screenUnit - 1) / screenUnit * chunks * unitTiles;
        six = (const uint8_t *)codes, seventh = six + all * sixBytes, eighth = seventh + all * bitBytes;
    }
};

// Raw is a lane's part of a chunk of a tile.
struct Raw {
    uint4 nibbles;
    uint2 pairs;
    uint32_t seventh, eighth;
};

// codes_of gives the codes that the BITS upper bits make, the others zero: word Q of row g and
// of row g + 8 at 2Q.
template <int BITS> __device__ __forceinline__ void codes_of(uint32_t (&a)[8], const Raw &r) {
    const uint32_t nibbles[4] = {r.nibbles.x, r.nibbles.y, r.nibbles.z, r.nibbles.w}, pairs[2] = {r.pairs.x, r.pairs.y};
#pragma unroll
    for (int q = 0; q < 4; q++)
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t x = nibbles[2 * h + q / 2], p = pairs[h];
            uint32_t c = ((q & 1 ? x << 4 : x) & 0xf0f0f0f0u) | ((q == 0 ? p << 2 : p >> (2 * q - 2)) & 0x0c0c0c0cu);
            const int at = 4 * h + q;
            if (BITS >= 7) c |= (at == 0 ? r.seventh << 1 : r.seventh >> (at - 1)) & 0x02020202u;
            if (BITS == 8) c |= r.eighth >> at & 0x01010101u;
            a[2 * q + h] = c;
        }
}

constexpr double floorNorm = 0x1p-50, floorActs = 0x1p-40, ceilNorm = 0x1p60;
constexpr float floorRow = 0x1p-60f;

// Width is what bounds need of an activation row: α, β, Σy and the step t.
struct __align__(16) Width {
    float alpha, beta;
    int32_t sum;
    float step;
};

// width_of is half the distance of the bounds; explicit roundings because the
// bound counts them.
__device__ __forceinline__ float width_of(float4 coef, const Width &w) {
    return __fadd_rn(__fmul_rn(coef.y, w.alpha), __fmul_rn(coef.z, w.beta));
}

// order_of maps floats to integers of the same order, none of them 0 but NaNs;
// both zeros are one.
__device__ __forceinline__ uint32_t order_of(float v) {
    uint32_t b = __float_as_uint(v);
    return v != v ? 0 : v == 0 ? 0x80000000u : b & 0x80000000u ? ~b : b | 0x80000000u;
}

__device__ __forceinline__ float value_of(uint32_t order) {
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

// Bound is the two bounds of a product.
struct Bound {
    float upper, lower;
};

// bound_of is that of a product with the dots of both planes of the codes' BITS upper bits; real
// false: of a row past the last one.
template <int BITS> __device__ __forceinline__ Bound bound_of(int32_t high, int32_t low, float4 coef, const Width &width, bool real) {
    constexpr uint32_t middle = BITS == 6 ? 3 : BITS == 7 ? 1 : 0;
    const int d = (int)(2 * (((uint32_t)high << 8) + (uint32_t)low) + middle * (uint32_t)width.sum);
    const float e = width_of(coef, width), u = __fadd_rn(__fmul_rn(__int2float_rn(d), coef.x), e);
    return real ? Bound{u, __fsub_rn(u, 2.f * e)} : Bound{-INFINITY, -INFINITY};
}
