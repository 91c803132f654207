// build: compute_80 sm_90a
// Linear layers with weights that are not ternary, float32 activations: a kernel for
// each type and number of rows, all with the same bits (dense_tile.cuh).
//
//	dense_1_T   one row;        grid (up to ⌈⌈n/4⌉/8⌉, rows), 256 threads
//	dense_4_T   up to a few;    grid (the same, ⌈rows/4⌉), 256 threads
//	dense_16_T  from five rows; grid (⌈rows/16⌉, up to ⌈n/32⌉), 512 threads
//	            (up to eight rows: (1, up to ⌈n/64⌉))
//
// x is [rows][k], w in the layout of the file, both at multiples of 16 bytes. With
// residual not 0 products are added to what dst holds.
#include "dense_tile.cuh"

// FEW is how many chunks of the weights of four outputs fit registers at once.
#define DENSE(T, FEW)                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 3)                                                                               \
        dense_1_##T(const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, Real o) {                  \
        if (whole_units<T>(w, k))                                                                                                      \
            dense_few<T, true, 1, 4, FEW>(w, x, rows, n, k, residual, o);                                                              \
        else                                                                                                                           \
            dense_few<T, Weights<T>::values != 1, 1, 4, FEW>(w, x, rows, n, k, residual, o);                                           \
    }                                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 2)                                                                               \
        dense_4_##T(const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, Real o) {                  \
        if (whole_units<T>(w, k))                                                                                                      \
            dense_few<T, true, 4, 4, 1>(w, x, rows, n, k, residual, o);                                                                \
        else                                                                                                                           \
            dense_few<T, Weights<T>::values != 1, 4, 4, 1>(w, x, rows, n, k, residual, o);                                             \
    }                                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(manyThreads, 1)                                                                       \
        dense_16_##T(const uint8_t *w, const float *x, int64_t rows, int64_t n, int64_t k, int64_t residual, Real o) {                 \
        __shared__ Staged held[3];                                                                                                     \
        if (whole_units<T>(w, k))                                                                                                      \
            dense_many<T, true>(held, w, x, rows, n, k, residual, o);                                                                  \
        else                                                                                                                           \
            dense_many<T, Weights<T>::values != 1>(held, w, x, rows, n, k, residual, o);                                               \
    }

DENSE(F32, 1)
DENSE(F16, 2)
DENSE(BF16, 2)
DENSE(Q8_0, 2)
DENSE(Q4_0, 2)
DENSE(Q4_1, 2)
DENSE(Q5_0, 1)
DENSE(Q5_1, 1)
DENSE(Q4_K, 1)
DENSE(Q5_K, 1)
DENSE(Q6_K, 1)
