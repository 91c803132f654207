// A whole span of transformer blocks in one kernel, for a row that decodes: what its parts share.
// A CTA stays on each multiprocessor and does its part of every block:
//
//	every CTA                                       CTAs of a head
//	x ───▶ norm ─▶ codes ─▶ its tiles of Q, K, V ──▶ chunks of attention ─▶ fold ─┐
//	┌─────────────────────────────────────────────────────────────────────────────┘
//	└─ att ─▶ norm ─▶ codes ─▶ its tiles of the output layer, x ─┐
//	┌────────────────────────────────────────────────────────────┘
//	└─ x ───▶ norm ─▶ codes ─▶ its tiles of gate and up ──▶ norm ─▶ codes ─▶ its tiles of down, x
//
// CTAs meet only through words in global memory (the room of the span). A word that was not
// written holds a value that is never written (empty), so that readers wait for the data itself: no
// barrier, no fence, one way through the L2 cache. Who alone reads a word, or knows that all have
// read it, makes it empty again; the next writer depends on something that he tells after that and
// a fence, or writes the other half of a pair (parts).
//
// The row is normalized by every CTA for itself, which saves telling the codes. All CTAs read all of it,
// which the L2 cache gives none of them soon while many ask in vain: a CTA looks for one word that comes late.
//
// Weights of a layer lie in shared memory, those of the same layer of the next block come when
// they are used: memory is read all the time. Warps of their own let weights come, in small pieces and few at a
// time since a long queue at the memory would hold up the words, let keys and values come, and empty words.
//
// The bits are those of the kernels that do one thing each.
#pragma once
#include "bulk.cuh"
#include "chunk.cuh"
#include "kept.cuh"
#include "norm.cuh"
#include "ternary.cuh"
#include "turn.cuh"

constexpr int spanThreads = 512, spanWarps = spanThreads / 32;
constexpr int spanAll = spanThreads + 96; // with warps that let weights come, keys and values, and one that cleans
constexpr int partWords = 4; // before the values of a chunk of attention: maximum, sum, nothing, nothing

// empty is a NaN that no value is told as.
constexpr uint32_t empty = 0xffffffffu;

// SpanLayer is a ternary layer: the words of Go's spanLayer.
struct SpanLayer {
    const uint4 *weights;
    const int32_t *map;
    const float *scale, *factor;
    int64_t tiles, chunks;
};

// SpanNorm has weight nullptr where nothing is normalized.
struct SpanNorm {
    const float *weight;
    float eps, unused;
};

struct SpanBlock {
    SpanLayer layer[4]; // queries, keys and values; output; gate and up; down
    SpanNorm norm[4];   // of their inputs
    void *k, *v;        // pages
};

struct Span {
    const SpanBlock *blocks;
    int64_t count, stage; // blocks, and what note_bad calls the first
    const Row *row;
    const int32_t *table;
    const float *cosines, *sines;
    float *x; // [hidden], the residual stream
    uint32_t *bad, *room;
    int64_t hidden, ffn, act, maxChunks;
    int64_t area; // bytes of shared memory for codes, then attention
    float scale, unused;
    Shape shape;
};

// fresh_thread is the number of the thread, of which the compiler does not know that it stays the same:
// what it would keep in registers from step to step is worth less than what it would put into memory for it.
__device__ __forceinline__ int fresh_thread() {
    int t;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(t));
    return t;
}

// meet waits for all threads but those of the warps that let things come and clean.
__device__ __forceinline__ void meet() { asm volatile("bar.sync 1, %0;" ::"n"(spanThreads) : "memory"); }

__device__ __forceinline__ uint32_t peek(const uint32_t *p) {
    uint32_t v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}

// peek4 reads four words, AT quads behind p: in the instruction, where it takes no register.
template <int AT = 0> __device__ __forceinline__ uint4 peek4(const uint4 *p) {
    uint4 v;
    asm volatile("ld.relaxed.gpu.global.v4.u32 {%0,%1,%2,%3}, [%4+%5];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p), "n"(16 * AT) : "memory");
    return v;
}

__device__ __forceinline__ void tell(uint32_t *p, uint32_t v) { asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }

__device__ __forceinline__ void tell4(uint4 *p, uint4 v) {
    asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1,%2,%3,%4};" ::"l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// word_of is a float as it is told: the one NaN that means empty becomes another.
__device__ __forceinline__ uint32_t word_of(float v) { return __float_as_uint(v) == empty ? 0x7fffffffu : __float_as_uint(v); }

__device__ __forceinline__ void tell_value(uint32_t *p, float v) { tell(p, word_of(v)); }

__device__ __forceinline__ void tell_values(uint32_t *p, float v, float w) {
    asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1,%2};" ::"l"(p), "r"(word_of(v)), "r"(word_of(w)) : "memory");
}

// Patience ends a kernel that waits for something that does not come, within seconds.
struct Patience {
    uint32_t tries = 0;
    __device__ __forceinline__ void lose() {
        if (++tries == 1u << 24) __trap();
    }
};

// await_first waits until something is at p. One lane of a warp looks: more would only keep
// the cache busy.
__device__ __forceinline__ void await_first(const void *p) {
    if ((threadIdx.x & 31) == 0) {
        Patience patience;
        while (peek((const uint32_t *)p) == empty) patience.lose();
    }
    __syncwarp();
}

// any_empty: no other word is as large.
__device__ __forceinline__ bool any_empty(uint4 v) { return max(__vimax3_u32(v.x, v.y, v.z), v.w) == empty; }

template <int AT = 0> __device__ __forceinline__ uint4 await_four(const uint4 *p, uint4 had) {
    Patience patience;
    while (any_empty(had)) {
        patience.lose();
        had = peek4<AT>(p);
    }
    return had;
}

// fence_gpu lets what this thread has told be seen before what it tells next.
__device__ __forceinline__ void fence_gpu() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }

__device__ __forceinline__ void barrier_wait(uint64_t *bar, uint32_t parity) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(bar), done = 0;
    Patience patience;
    while (!done) {
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}" : "=r"(done) : "r"(at), "r"(parity) : "memory");
        if (!done) patience.lose();
    }
}

// copy8 begins to copy eight bytes to shared memory; copies_done waits for it.
__device__ __forceinline__ void copy8(void *dst, const void *src) {
    uint32_t to = (uint32_t)__cvta_generic_to_shared(dst);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to), "l"(src) : "memory");
}

constexpr int spanTiles = 7; // of a layer that a CTA may have
constexpr int mostPieces = 4; // of weights that may be under way

// Way is what a CTA does for one of the four layers of every block.
struct Way {
    const uint32_t *src; // the row that becomes its codes, [cols] in the room
    uint32_t *dst;       // where results are told, in the room
    uint4 *weights;      // its tiles in shared memory, one after the other
    double inverse;      // 1/cols
    int cols, stride, out, chunks;
    int offset;   // of its weights in shared memory, in bytes
    int first, n; // its tiles: first, first + CTAs, ...
};

// SpanUnit is what a chunk of attention needs beside keys and values.
struct SpanUnit {
    Angle by[64];  // of pairs
    int own, slot; // page of the row's own position, and where in it
};

// SpanShared is what a CTA has beside weights, codes and attention.
struct SpanShared {
    int32_t red[spanTiles * 16]; // sums of products: [tile][output]; zero between uses
    float2 was[spanTiles * 8];   // the residual stream at the outputs that each thread finishes
    NormScratch norm;
    SpanUnit unit;
    Row row;
    SpanBlock block[2];
    Way way[4];
    int4 share[4][spanWarps]; // of a warp in a layer's products: how many chunks of tiles, tile and chunk of the first, its number
    uint64_t posted, cleaned, keysFree, keysCome;
    uint64_t piece[mostPieces], arrived[4], used[4]; // weights that have come: pieces, layers; layers whose memory is free again
    float2 scales[2][4][spanTiles], factors[2][4][spanTiles]; // of even and odd blocks
    int16_t columns[4][spanTiles * 16];
};
