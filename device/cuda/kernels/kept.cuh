// How a block keeps keys and values, for the kernels that write and read them.
#pragma once
#include "common.cuh"

// How keys and values are kept. Halves and codes are what the tensor-core kernels read: values
// transposed within a page, so that positions lie side by side. Codes are Q8_0, scales behind them.
enum Kept { KEPT_HALVES, KEPT_F32, KEPT_F16, KEPT_Q8, KEPT_BYTES };

__device__ __forceinline__ bool tensor_kept(int64_t kept) { return kept == KEPT_HALVES || kept == KEPT_BYTES; }

// Shape is what a block says of its heads.
struct Shape {
    int64_t heads, kvHeads, keyDim, valueDim;
    int64_t kind, dims; // of the rotation: 0 none, 1 pairs (i, i + dims/2), 2 pairs (2i, 2i + 1)
    int64_t kept, pageSize;
};
