// The 8-bit copy of a head and what it is multiplied with, for exact screening
// on the GPU: which logits can be among the k largest, so that only these need
// the exact product. quantkern.Screen describes the method.
//
// # The bound
//
// A row w of n weights is kept as ŵ = s·q, q in ±127, s a float32 of 16
// significant bits, with E ≥ ‖w−ŵ‖ and N ≥ ‖ŵ‖; activations x as x̂ = t·y, y in
// ±32639. The dot D = q·y is an exact int32. Everything is as in
// quantkern.Screen except for the longest way to an exact product d, which here
// is that of dense_dot: a lane adds at most 8·⌈n/256⌉ products to one sum, an
// FMA and so one rounding each, and five levels of a tree follow. With
//
//	m = 8·⌈n/256⌉ + 5,  γ = mu/(1−mu),  u = 2^-24
//
// |d − w·x| ≤ γ·Σ|wᵢxᵢ| + n·2^-149 (an FMA whose result is denormal loses up to
// 2^-150), and from there on with the same α and β
//
//	lower ≤ d/t ≤ upper,  upper = fl(fl(D)·s) + e,  lower = upper − 2e,  e = E·α + N·β
//
// Let L be at most the k-th largest lower bound. At least k products are L·t or
// more, so a row with upper < L is not among the k largest, ties included.
//
// # Layouts
//
//	codes  [block of 64 rows][chunk of 64 values][eight rows][quarter][row] of 16 bytes:
//	       quarter t has values 16t…16t+15 of the chunk. Eight times 16 bytes are what a
//	       wgmma reads at a time, so that blocks come to shared memory as they lie. An operand
//	       of a tensor-core product may have its inner index in any order if both
//	       operands have the same.
//	acts   [chunk][plane][eight rows][quarter][row] of 16 bytes: the same values of
//	       activation rows, y = 256·(plane 0) + (plane 1), both signed
//	coefs  a float4 a row: s, E, N, 0; rows past the last one are zeros
//	tops   [activation row][tile of 16 rows]: the largest upper and the largest lower bound
//	uppers [activation row][row]: of the tiles that are not below the floor
//	floors [activation row]: where one row is wanted, the largest lower bound so far, as order_of
#pragma once
#include "dense_tile.cuh"

constexpr int screenTile = 16, screenChunk = 64, screenBlock = 64;

// tiles_of counts the tiles of n rows: those of whole blocks.
__host__ __device__ __forceinline__ int tiles_of(int64_t n) { return (int)((n + screenBlock - 1) / screenBlock) * (screenBlock / screenTile); }

constexpr double floorNorm = 0x1p-50, floorActs = 0x1p-40, ceilNorm = 0x1p60;
constexpr float floorRow = 0x1p-60f;

// Width is half the distance of the bounds; explicit roundings because the
// bound counts them.
__device__ __forceinline__ float width_of(float4 coef, float2 width) {
    return __fadd_rn(__fmul_rn(coef.y, width.x), __fmul_rn(coef.z, width.y));
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

// bound_of is that of a product with the dots of both planes; real false: of a row past the last one.
__device__ __forceinline__ Bound bound_of(int32_t high, int32_t low, float4 coef, float2 width, bool real) {
    const int d = (int)(((uint32_t)high << 8) + (uint32_t)low);
    const float e = width_of(coef, width), u = __fadd_rn(__fmul_rn(__int2float_rn(d), coef.x), e);
    return real ? Bound{u, __fsub_rn(u, 2.f * e)} : Bound{-INFINITY, -INFINITY};
}
