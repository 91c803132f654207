// The rotation of one pair of values of a head, for kernels that place a row themselves.
#pragma once
#include "kept.cuh"

// Angle is a cosine and a sine.
struct Angle {
    float c, s;
};

// angle_of is the angle of pair i at a position; pairs that are not rotated have none.
__device__ __forceinline__ Angle angle_of(const float *cosines, const float *sines, int pos, int i, const Shape &a) {
    int half = (int)a.dims / 2;
    if (a.kind == 0 || i >= half) return {1, 0};
    return {cosines[pos * half + i], sines[pos * half + i]};
}

// turn writes pair i of a head, rotated, to two places through put. Values that are not
// rotated stand behind the pairs, two by two.
template <typename Put> __device__ __forceinline__ void turn(const float *x, int i, const Shape &a, Angle by, Put put) {
    int half = (int)a.dims / 2;
    bool turned = a.kind != 0 && i < half;
    int one = turned && a.kind == 1 ? i : 2 * i, two = turned && a.kind == 1 ? i + half : 2 * i + 1;
    float p = x[one], r = x[two];
    put(one, turned ? __fsub_rn(__fmul_rn(p, by.c), __fmul_rn(r, by.s)) : p);
    put(two, turned ? __fadd_rn(__fmul_rn(p, by.s), __fmul_rn(r, by.c)) : r);
}
