// The rotation of a head's values, by pairs or one by one, for kernels that place a row themselves.
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

// Pair is where pair i of a head stands. Values that are not rotated stand behind the pairs, two by two.
struct Pair {
    int one, two;
    bool turned;

    __device__ __forceinline__ Pair(int i, const Shape &a) {
        const int half = (int)a.dims / 2;
        turned = a.kind != 0 && i < half;
        one = turned && a.kind == 1 ? i : 2 * i, two = turned && a.kind == 1 ? i + half : 2 * i + 1;
    }

    __device__ __forceinline__ float2 of(const float *x) const { return make_float2(x[one], x[two]); }

    // put writes the pair, rotated, to its two places.
    template <typename Put> __device__ __forceinline__ void put(float2 x, Angle by, Put put) const {
        put(one, turned ? __fsub_rn(__fmul_rn(x.x, by.c), __fmul_rn(x.y, by.s)) : x.x);
        put(two, turned ? __fadd_rn(__fmul_rn(x.x, by.s), __fmul_rn(x.y, by.c)) : x.y);
    }
};

// turn writes pair i of a head, rotated, to two places through put.
template <typename Put> __device__ __forceinline__ void turn(const float *x, int i, const Shape &a, Angle by, Put put) {
    const Pair pair(i, a);
    pair.put(pair.of(x), by, put);
}

// Turned is a head of which each value is rotated when it is asked for; by are the angles of its pairs.
struct Turned {
    const float *x;
    const Shape &shape;
    const Angle *by;

    __device__ __forceinline__ float operator[](int d) const {
        const int half = (int)shape.dims / 2, i = shape.kind == 1 && d < 2 * half ? d < half ? d : d - half : d / 2;
        float v;
        turn(x, i, shape, by[i], [&](int j, float to) { if (j == d) v = to; });
        return v;
    }
};
