// build: compute_80 sm_90a
// The largest logits of whole rows, in descending order, the lower id first among
// equals, NaN below everything else.
#include "common.cuh"

constexpr int threads = 1024, mostWanted = 1024;

// A key orders as its logit does and, among equals, against the id; keys are unique.
__device__ __forceinline__ uint64_t key_of(float v, uint32_t id) {
    uint32_t b = __float_as_uint(v);
    b = v != v ? 0 : v == 0 ? 0x80000000u : b & 0x80000000u ? ~b : b | 0x80000000u;
    return (uint64_t)b << 32 | (0xffffffffu - id);
}

__device__ __forceinline__ void bitonic(uint64_t *keys, int n) {
    for (int size = 2; size <= n; size *= 2)
        for (int step = size / 2; step > 0; step /= 2) {
            __syncthreads();
            int i = threadIdx.x, j = i ^ step;
            if (i < n && j > i) {
                bool down = (i & size) == 0;
                uint64_t a = keys[i], b = keys[j];
                if (down ? a < b : a > b) keys[i] = b, keys[j] = a;
            }
        }
    __syncthreads();
}

// largest: a block a row. wanted[row] of the largest go to ids and logits [rows][most];
// what is not finite is noted as of the head.
extern "C" __global__ void __launch_bounds__(threads)
    largest(const float *logits, int64_t vocab, const int32_t *wanted, int64_t most, int32_t *ids, float *best, uint32_t *noted) {
    __shared__ uint64_t keys[mostWanted];
    __shared__ uint32_t count[256];
    __shared__ uint64_t prefix;
    __shared__ int left, taken;
    __shared__ uint32_t least;
    const float *x = logits + blockIdx.x * vocab;
    pdl_wait();
    if (threadIdx.x == 0) least = 0xffffffffu, prefix = 0, left = min((int64_t)wanted[blockIdx.x], vocab), taken = 0;
    __syncthreads();
    const int want = left;
    uint32_t mine = 0xffffffffu;
    uint64_t top = 0;
    for (int64_t i = threadIdx.x; i < vocab; i += threads) {
        float v = x[i];
        if (!(fabsf(v) <= 3.402823466e38f)) mine = min(mine, 1023u << 21 | (uint32_t)i << 1 | (v == v ? 1u : 0u));
        uint64_t k = key_of(v, (uint32_t)i);
        top = k > top ? k : top;
    }
    if (mine != 0xffffffffu) atomicMin(&least, mine);
    __syncthreads(); // all have looked, also where none is wanted
    if (want == 1) {
        top = warp_max(top);
        if ((threadIdx.x & 31) == 0) keys[threadIdx.x >> 5] = top;
        __syncthreads();
        if (threadIdx.x < 32) {
            top = warp_max(keys[threadIdx.x]);
            if (threadIdx.x == 0) keys[0] = top;
        }
        __syncthreads();
    } else if (want > 1) {
        // Find the smallest wanted key, eight bits at a time.
        for (int shift = 56;; shift -= 8) {
            if (threadIdx.x < 256) count[threadIdx.x] = 0;
            __syncthreads();
            uint64_t above = prefix;
            for (int64_t i = threadIdx.x; i < vocab; i += threads) {
                uint64_t k = key_of(x[i], (uint32_t)i);
                if (shift == 56 || k >> (shift + 8) == above >> (shift + 8)) atomicAdd(&count[k >> shift & 255], 1u);
            }
            __syncthreads();
            if (threadIdx.x == 0) {
                int bin = 255, need = left;
                while ((int)count[bin] < need) need -= count[bin--];
                prefix = above | (uint64_t)bin << shift;
                left = (int)count[bin] == need ? 0 : need; // 0: the whole bin is wanted
            }
            __syncthreads();
            if (left == 0 || shift == 0) break;
        }
        for (int64_t i = threadIdx.x; i < vocab; i += threads) {
            uint64_t k = key_of(x[i], (uint32_t)i);
            if (k >= prefix) {
                int at = atomicAdd(&taken, 1);
                if (at < mostWanted) keys[at] = k;
            }
        }
        int n = 2;
        while (n < want) n *= 2;
        __syncthreads();
        for (int i = want + threadIdx.x; i < n; i += threads) keys[i] = 0;
        bitonic(keys, n);
    }
    for (int i = threadIdx.x; i < want; i += threads) {
        uint32_t id = 0xffffffffu - (uint32_t)keys[i];
        ids[blockIdx.x * most + i] = (int32_t)id;
        best[blockIdx.x * most + i] = x[id];
    }
    if (threadIdx.x == 0 && noted[blockIdx.x] == 0xffffffffu) noted[blockIdx.x] = least;
}
