// build: compute_80 sm_90a
// Weights into the layout of ternary.cuh.
#include "ternary.cuh"

// pack_trits packs outputs from int8 trits [.][cols]. map names the row of src that
// becomes each output (-1: none, all zeros); a thread makes one word.
extern "C" __global__ void pack_trits(const int8_t *src, int64_t cols, const int32_t *map, uint32_t *dst, int64_t tiles, int64_t chunks) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= tiles * chunks * 128) return;
    int word = i & 3, lane = i >> 2 & 31, g = lane >> 2, t = lane & 3;
    int64_t chunk = i / 128 % chunks, tile = i / 128 / chunks;
    int64_t k0 = chunk * 128 + 32 * t + 16 * (word >> 1) + 4 * (word & 1);
    uint32_t w = 0;
    for (int half = 0; half < 2; half++) {
        int32_t row = map[tile * 16 + g + 8 * half];
        for (int high = 0; high < 2; high++)
            for (int b = 0; b < 4; b++) {
                int64_t k = k0 + 8 * high + b;
                uint32_t code = row >= 0 && k < cols ? (uint32_t)(src[row * cols + k] + 1) & 3 : 1;
                w |= code << (8 * b + 4 * high + 2 * half);
            }
    }
    dst[i] = w;
}
