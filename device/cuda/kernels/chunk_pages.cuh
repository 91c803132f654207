// Where the keys and values of a sequence lie.
#pragma once
#include "combine.cuh"

// Pages is one KV head of one sequence.
struct Pages {
    const void *k, *v;
    const int32_t *table;
    int heads, head, size, last; // last: position beyond which nothing is read
};

// trim_eight zeroes all but the first of eight halves.
__device__ __forceinline__ void trim_eight(uint4 &eight, int keep) {
    uint32_t *w = (uint32_t *)&eight;
#pragma unroll
    for (int i = 0; i < 4; i++) w[i] &= 2 * i + 1 < keep ? 0xffffffffu : 2 * i < keep ? 0xffffu : 0u;
}
