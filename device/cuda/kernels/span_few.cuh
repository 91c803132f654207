// A few rows of as many sequences that decode through a span of blocks in one kernel: what its parts share.
// The CTAs meet through words in memory as those of one row do (span.cuh), but not all of them normalize:
//
//	workers: tiles of Q, K, V ─▶ attention ─▶ fold ┐      ┌ tiles of the output, x ┐      ┌ tiles of gate and up ┐      ┌ of down, x ┐
//	               ▲                               │      ▲                        │      ▲                      │      ▲            │
//	             codes                            att   codes                      x    codes                  inner  codes          x
//	               │                               ▼      │                        ▼      │                      ▼      │            ▼
//	normalizers: norm ──────────────────────────────▶ norm ─────────────────────────▶ norm ───────────────────────▶ norm ─────────────▶
//
// A normalizer is the CTA of one row and has no tiles: it alone reads what workers tell of the row, and tells codes,
// which are a quarter of the bytes that every worker would have to read of every row. A word of codes that was not written
// has a byte that no code has.
//
// Keys and values lie where codes and weights of the down layer do, whose time is another one; a CTA attends to two
// chunks at a time, half of its threads to each. Products take the tensor cores, eight rows at a time.
#pragma once
#include "span_attend.cuh"

constexpr int fewMost = 4;                  // rows
constexpr int fewAll = spanThreads + 4 * 32; // with warps that let weights come, keys and values of each half, and one that cleans
constexpr uint32_t uncoded = 0x80808080u;   // a word of codes that was not told
// Behind the codes of a row: scale, a word that says that they come soon, nothing (two), sums of the codes of each warp.
constexpr int tailWords = 4 + spanWarps, soonWord = 1;

struct SpanFew {
    Span span;
    int64_t rows;
    uint32_t *codes; // [4 layers][fewMost][codes of a row, tail]
    int64_t wide;    // bytes of shared memory for the down layer's weights and codes, or attention, behind the area of other codes
};

struct FewShared {
    int32_t red[spanTiles * 16 * fewMost]; // sums of products: [tile][output][row]; zero between uses
    float2 was[spanTiles * 8 * fewMost];   // the residual stream at the outputs that each thread finishes
    NormScratch norm;
    SpanUnit unit[2]; // of halves
    Row row[fewMost];
    SpanBlock block[2];
    Way way[4];
    uint32_t *codes[4]; // of layers, in the room
    int at[4];          // of codes in shared memory, in bytes
    int4 share[4][spanWarps];
    uint64_t posted, cleaned, keysFree[2], keysCome[2], attended;
    uint64_t piece[mostPieces], arrived[4], used[4];
    float2 scales[2][4][spanTiles], factors[2][4][spanTiles];
    int16_t columns[4][spanTiles * 16];
};

// code_words are the words of a row of codes with its tail.
__device__ __forceinline__ int code_words(const Way &w) { return w.stride / 4 + tailWords; }

// Sweeper is the thread that tells a warp that empties words when to begin.
struct Sweeper {
    bool here, waits = false;
    uint32_t jobs = 0;

    // done waits for the last job.
    __device__ __forceinline__ void done(FewShared &sh) {
        if (waits) barrier_wait(&sh.cleaned, jobs + 1 & 1);
        waits = false;
    }

    __device__ __forceinline__ void post(FewShared &sh) {
        if (here) barrier_arrive(&sh.posted), jobs++, waits = true;
    }
};

// sweep does a job when it is posted. A warp of its own.
template <typename Job> __device__ __forceinline__ void sweep(FewShared &sh, int jobs, Job job) {
#pragma unroll 1
    for (int i = 0; i < jobs; i++) {
        barrier_wait(&sh.posted, i & 1);
        job(i);
        fence_gpu();
        __syncwarp();
        if ((threadIdx.x & 31) == 0) barrier_arrive(&sh.cleaned);
    }
}

__device__ __forceinline__ void fill_words(uint32_t *p, int words, uint32_t with) {
    uint4 *to = (uint4 *)p;
#pragma unroll 4
    for (int k = threadIdx.x & 31; k < words / 4; k += 32) tell4(to + k, make_uint4(with, with, with, with));
}
