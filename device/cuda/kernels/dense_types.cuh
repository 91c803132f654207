// Weights in the layouts of the file: Weights<T> reads eight values of a row at
// a time. A load only moves bytes to registers, so that several can be under
// way; decode gives the float32 values that the codec of the type defines
// (block formats of ggml).
#pragma once
#include "common.cuh"
#include <cuda_bf16.h>

enum WeightType { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K };

constexpr int kUnit = 8;    // values of a lane at a time
constexpr int kChunk = 256; // values of a warp at a time

template <int T> struct Weights;

__device__ __forceinline__ float half_at(uint32_t bits) { return __half2float(__ushort_as_half((unsigned short)bits)); }
__device__ __forceinline__ uint32_t u16_at(const uint8_t *p) { return __ldg((const unsigned short *)p); }
__device__ __forceinline__ uint32_t u32_at(const uint8_t *p) { return __ldg((const unsigned int *)p); }
__device__ __forceinline__ uint32_t pair_at(const uint8_t *p) { return u16_at(p) | u16_at(p + 2) << 16; }
__device__ __forceinline__ uint32_t byte_of(uint2 v, int i) { return (i < 4 ? v.x >> (8 * i) : v.y >> (8 * i - 32)) & 255; }

// The float types: VEC says that whole units can be read with 16-byte loads;
// otherwise the row may end within a unit and begin anywhere.
template <> struct Weights<F32> {
    static constexpr int values = 1, bytes = 4;
    uint4 a, b;
    template <bool VEC> __device__ __forceinline__ void load(const uint8_t *row, int64_t unit, int64_t k) {
        const uint32_t *p = (const uint32_t *)row + unit * kUnit;
        a = b = make_uint4(0, 0, 0, 0);
        int64_t left = k - unit * kUnit;
        if (left <= 0) return;
        if (VEC) {
            a = __ldg((const uint4 *)p);
            b = __ldg((const uint4 *)p + 1);
            return;
        }
        a.x = __ldg(p);
        if (left > 1) a.y = __ldg(p + 1);
        if (left > 2) a.z = __ldg(p + 2);
        if (left > 3) a.w = __ldg(p + 3);
        if (left > 4) b.x = __ldg(p + 4);
        if (left > 5) b.y = __ldg(p + 5);
        if (left > 6) b.z = __ldg(p + 6);
        if (left > 7) b.w = __ldg(p + 7);
    }
    __device__ __forceinline__ void decode(float *w, int64_t) const {
        w[0] = __uint_as_float(a.x), w[1] = __uint_as_float(a.y), w[2] = __uint_as_float(a.z), w[3] = __uint_as_float(a.w);
        w[4] = __uint_as_float(b.x), w[5] = __uint_as_float(b.y), w[6] = __uint_as_float(b.z), w[7] = __uint_as_float(b.w);
    }
};

// Halves are the two 16-bit types.
template <bool BRAIN> struct Halves {
    static constexpr int values = 1, bytes = 2;
    uint4 a;
    template <bool VEC> __device__ __forceinline__ void load(const uint8_t *row, int64_t unit, int64_t k) {
        const uint8_t *p = row + unit * (2 * kUnit);
        a = make_uint4(0, 0, 0, 0);
        int64_t left = k - unit * kUnit;
        if (left <= 0) return;
        if (VEC) {
            a = __ldg((const uint4 *)p);
            return;
        }
        a.x = u16_at(p);
        if (left > 1) a.x |= u16_at(p + 2) << 16;
        if (left > 2) a.y = u16_at(p + 4);
        if (left > 3) a.y |= u16_at(p + 6) << 16;
        if (left > 4) a.z = u16_at(p + 8);
        if (left > 5) a.z |= u16_at(p + 10) << 16;
        if (left > 6) a.w = u16_at(p + 12);
        if (left > 7) a.w |= u16_at(p + 14) << 16;
    }
    __device__ __forceinline__ void decode(float *w, int64_t) const {
        const uint32_t v[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (BRAIN) {
                w[2 * i] = __uint_as_float(v[i] << 16);
                w[2 * i + 1] = __uint_as_float(v[i] & 0xffff0000u);
            } else {
                w[2 * i] = half_at(v[i] & 0xffff);
                w[2 * i + 1] = half_at(v[i] >> 16);
            }
        }
    }
};
template <> struct Weights<F16> : Halves<false> {};
template <> struct Weights<BF16> : Halves<true> {};

template <> struct Weights<Q8_0> {
    static constexpr int values = 32, bytes = 34;
    uint2 q;
    uint32_t d;
    template <bool VEC> __device__ __forceinline__ void load(const uint8_t *row, int64_t unit, int64_t k) {
        q = make_uint2(0, 0), d = 0;
        if (unit * kUnit >= k) return;
        const uint8_t *b = row + (unit >> 2) * bytes, *p = b + 2 + (unit & 3) * kUnit;
        d = u16_at(b);
        q = make_uint2(pair_at(p), pair_at(p + 4));
    }
    __device__ __forceinline__ void decode(float *w, int64_t) const {
        float scale = half_at(d);
#pragma unroll
        for (int i = 0; i < kUnit; i++) w[i] = scale * (float)(int8_t)byte_of(q, i);
    }
};

// Nibbles are the types of 32 values with one scale: FIFTH a fifth bit of the
// codes, MIN a minimum; without one the codes have a zero in their middle.
template <bool FIFTH, bool MIN> struct Nibbles {
    static constexpr int values = 32, bytes = 18 + 4 * FIFTH + 2 * MIN;
    uint2 q;
    uint32_t d, high;
    template <bool VEC> __device__ __forceinline__ void load(const uint8_t *row, int64_t unit, int64_t k) {
        q = make_uint2(0, 0), d = 0, high = 0;
        if (unit * kUnit >= k) return;
        const uint8_t *b = row + (unit >> 2) * bytes, *p = b + bytes - 16 + (unit & 1) * kUnit;
        d = MIN ? u32_at(b) : u16_at(b); // with a minimum blocks are whole words
        if (FIFTH) high = MIN ? u32_at(b + 4) : pair_at(b + 2);
        q = MIN ? make_uint2(u32_at(p), u32_at(p + 4)) : make_uint2(pair_at(p), pair_at(p + 4));
    }
    __device__ __forceinline__ void decode(float *w, int64_t unit) const {
        const int part = unit & 3, shift = part >> 1 << 2;
        float scale = half_at(d & 0xffff), low = MIN ? half_at(d >> 16) : 0.0f;
        uint32_t fifth = high >> (8 * part);
#pragma unroll
        for (int i = 0; i < kUnit; i++) {
            int code = byte_of(q, i) >> shift & 15;
            if (FIFTH) code |= (fifth >> i & 1) << 4;
            w[i] = MIN ? scale * (float)code + low : scale * (float)(code - (FIFTH ? 16 : 8));
        }
    }
};
template <> struct Weights<Q4_0> : Nibbles<false, false> {};
template <> struct Weights<Q4_1> : Nibbles<false, true> {};
template <> struct Weights<Q5_0> : Nibbles<true, false> {};
template <> struct Weights<Q5_1> : Nibbles<true, true> {};

// SuperNibbles are Q4_K and Q5_K: 256 values in eight parts with 6-bit scales
// and minima of their own; blocks are multiples of 16 bytes.
template <bool FIFTH> struct SuperNibbles {
    static constexpr int values = 256, bytes = 144 + 32 * FIFTH;
    uint4 head;
    uint2 q, high;
    template <bool VEC> __device__ __forceinline__ void load(const uint8_t *row, int64_t unit, int64_t k) {
        head = make_uint4(0, 0, 0, 0), q = high = make_uint2(0, 0);
        if (unit * kUnit >= k) return;
        const uint8_t *b = row + (unit >> 5) * bytes;
        const int part = (unit & 31) >> 2, at = (unit & 3) * kUnit;
        head = __ldg((const uint4 *)b);
        q = __ldg((const uint2 *)(b + bytes - 128 + part / 2 * 32 + at));
        if (FIFTH) high = __ldg((const uint2 *)(b + 16 + at));
    }
    __device__ __forceinline__ void decode(float *w, int64_t unit) const {
        const int part = (unit & 31) >> 2, shift = (part & 1) * 4, s = 8 * (part & 3);
        uint32_t sc, m; // of the twelve bytes in y, z, w
        if (part < 4) {
            sc = head.y >> s & 63, m = head.z >> s & 63;
        } else {
            sc = (head.w >> s & 15) | (head.y >> (s + 6) & 3) << 4;
            m = (head.w >> (s + 4) & 15) | (head.z >> (s + 6) & 3) << 4;
        }
        float scale = half_at(head.x & 0xffff) * (float)sc, offset = half_at(head.x >> 16) * (float)m;
#pragma unroll
        for (int i = 0; i < kUnit; i++) {
            int code = byte_of(q, i) >> shift & 15;
            if (FIFTH) code |= (byte_of(high, i) >> part & 1) << 4;
            w[i] = scale * (float)code - offset;
        }
    }
};
template <> struct Weights<Q4_K> : SuperNibbles<false> {};
template <> struct Weights<Q5_K> : SuperNibbles<true> {};

template <> struct Weights<Q6_K> {
    static constexpr int values = 256, bytes = 210;
    uint2 low, high;
    uint32_t d, sc;
    template <bool VEC> __device__ __forceinline__ void load(const uint8_t *row, int64_t unit, int64_t k) {
        low = high = make_uint2(0, 0), d = sc = 0;
        if (unit * kUnit >= k) return;
        const uint8_t *b = row + (unit >> 5) * bytes;
        const int u = unit & 31, half = u >> 4, quarter = u >> 2 & 3, l = (u & 3) * kUnit;
        const uint8_t *lo = b + 64 * half + l + 32 * (quarter & 1), *hi = b + 128 + 32 * half + l;
        low = make_uint2(pair_at(lo), pair_at(lo + 4));
        high = make_uint2(pair_at(hi), pair_at(hi + 4));
        sc = __ldg(b + 192 + (u >> 1));
        d = u16_at(b + 208);
    }
    __device__ __forceinline__ void decode(float *w, int64_t unit) const {
        const int quarter = (int)(unit >> 2) & 3, ls = quarter >> 1 << 2, hs = 2 * quarter;
        float scale = half_at(d) * (float)(int8_t)sc;
#pragma unroll
        for (int i = 0; i < kUnit; i++) {
            int code = (byte_of(low, i) >> ls & 15) | (byte_of(high, i) >> hs & 3) << 4;
            w[i] = scale * (float)(code - 32);
        }
    }
};

template <int T> __device__ __forceinline__ int64_t row_bytes(int64_t k) { return k / Weights<T>::values * Weights<T>::bytes; }

// whole_units says that rows of k values at p consist of whole units that
// 16-byte loads can read. Block types always do.
template <int T> __device__ __forceinline__ bool whole_units(const void *p, int64_t k) {
    return Weights<T>::values > 1 || (k % kUnit == 0 && (uintptr_t)p % 16 == 0);
}
