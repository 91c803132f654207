// build: compute_80 sm_90a
// Rows of the embedding, and what the head's inputs are taken from.
#include "common.cuh"
#include <cuda_bf16.h>

// first_bad notes in bad what is not finite among the values that the block's threads hold.
__device__ __forceinline__ void first_bad(uint32_t mine, uint32_t *bad) {
    __shared__ uint32_t least;
    if (threadIdx.x == 0) least = 0xffffffffu;
    __syncthreads();
    if (mine != 0xffffffffu) atomicMin(&least, mine);
    __syncthreads();
    if (threadIdx.x == 0) *bad = least;
}

__device__ __forceinline__ uint32_t word_of(int64_t i, float v) {
    return fabsf(v) <= 3.402823466e38f ? 0xffffffffu : (uint32_t)i << 1 | (v == v ? 1u : 0u);
}

__device__ __forceinline__ void embed_row(const Row &at, const void *table, int64_t type, float *x, uint32_t *bad, int64_t hidden) {
    uint32_t mine = 0xffffffffu;
    for (int64_t i = threadIdx.x; i < hidden; i += blockDim.x) {
        float v = 0;
        if (at.seq >= 0) {
            int64_t from = (int64_t)at.token * hidden + i;
            v = type == 0   ? ((const float *)table)[from]
                : type == 1 ? __half2float(((const __half *)table)[from])
                            : __bfloat162float(((const __nv_bfloat16 *)table)[from]);
            mine = min(mine, word_of(i, v));
        }
        x[blockIdx.x * hidden + i] = v;
    }
    first_bad(mine, bad + blockIdx.x);
}

// embed_rows: a block a row; type as in dense_types.cuh (F32, F16, BF16).
extern "C" __global__ void embed_rows(const Row *rows, const void *table, int64_t type, float *x, uint32_t *bad, int64_t hidden) {
    embed_row(rows[blockIdx.x], table, type, x, bad, hidden);
}

// embed_few is the same for rows that come with the launch: nothing has to be copied before it.
// With ids, a row's token is an index into these, the answers of the step before; an answer that
// is no token gives zeros. On the way the blocks bring n words, the step's tables, from the host's memory, or, where
// there are few, from the launch (from is nullptr then).
struct FewRows {
    Row rows[64];
    int32_t words[512];
};
extern "C" __global__ void embed_few(__grid_constant__ const FewRows rows, const int32_t *ids, int64_t vocab, const int32_t *from, int32_t *to, int64_t n,
                                     const void *table, int64_t type, float *x, uint32_t *bad, int64_t hidden) {
    pdl_release();
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) to[i] = from ? from[i] : rows.words[i];
    Row at = rows.rows[blockIdx.x];
    if (ids) {
        at.token = ids[at.token];
        if (at.token < 0 || at.token >= vocab) at.seq = -1;
    }
    embed_row(at, table, type, x, bad, hidden);
}

// check_rows does the rest for rows that the host looked up.
extern "C" __global__ void check_rows(const Row *rows, const float *x, uint32_t *bad, int64_t hidden) {
    Row at = rows[blockIdx.x];
    uint32_t mine = 0xffffffffu;
    if (at.seq >= 0)
        for (int64_t i = threadIdx.x; i < hidden; i += blockDim.x) mine = min(mine, word_of(i, x[blockIdx.x * hidden + i]));
    first_bad(mine, bad + blockIdx.x);
}

// take_rows copies the rows that are to be answered, and what was noted of them.
extern "C" __global__ void take_rows(const int32_t *list, const float *x, const uint32_t *bad, float *to, uint32_t *noted, int64_t hidden) {
    pdl_release();
    int64_t row = list[blockIdx.x];
    for (int64_t i = threadIdx.x; i < hidden; i += blockDim.x) to[blockIdx.x * hidden + i] = x[row * hidden + i];
    if (threadIdx.x == 0) noted[blockIdx.x] = bad[row];
}

// copy_words copies to or from the host's memory.
extern "C" __global__ void copy_words(const int32_t *from, int32_t *to, int64_t n) {
    pdl_wait();
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) to[i] = from[i];
}
