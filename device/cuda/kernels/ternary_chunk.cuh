// A chunk of a warpgroup's four tiles times N activation rows (capability 9.0).
#pragma once
#include "ternary.cuh"
#include "wgmma.cuh"

// chunk_products adds products to acc and leaves them running: x is the lane's part of its warp's tile (ternary.cuh), rows
// the units of the activations (norm.cuh). a holds codes while products read them.
template <int N> __device__ __forceinline__ void chunk_products(int (&acc)[N / 2], uint32_t (&a)[2][2][4], const int4 &x, const uint8_t *rows) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        products_left<1>(); // those that read a[half]
        Codes u;
        u.unpack(half ? x.z : x.x, half ? x.w : x.y);
#pragma unroll
        for (int k = 0; k < 2; k++)
#pragma unroll
            for (int r = 0; r < 4; r++) a[half][k][r] = u.a[k][r];
        products_begin();
#pragma unroll
        for (int k = 0; k < 2; k++) wgmma_u8s8<N>(acc, a[half][k], rows_at<N>(rows + (2 * half + k) * N * 32));
        products_end();
    }
}
