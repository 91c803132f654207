// Blocks of 32 values as ggml's Q8_0: a half that scales, 32 codes.
#pragma once
#include "common.cuh"

constexpr int q8Values = 32;

// Q8 is a value's code and its block's scale.
struct Q8 {
    int8_t code;
    __half scale;
};

// q8_of rounds a block, of which every lane of a warp has a value. A block that holds no numbers, or too large ones,
// becomes NaN as a whole.
__device__ __forceinline__ Q8 q8_of(float v) {
    float top = fabsf(v);
    bool bad = !(top <= 3.402823466e38f);
    top = __uint_as_float(__reduce_max_sync(0xffffffffu, bad ? 0 : __float_as_uint(top))); // the bits order like magnitudes
    bad = __any_sync(0xffffffffu, bad);
    float d = __fdiv_rn(top, 127.f);
    float inverse = d != 0.f ? __fdiv_rn(1.f, d) : 0.f;
    __half h = __float2half_rn(d);
    if (__hisinf(h)) bad = true;
    float scaled = __fmul_rn(v, inverse);
    return {(int8_t)(bad ? 0 : (int)roundf(scaled)), bad ? __ushort_as_half(0x7e00) : h};
}
