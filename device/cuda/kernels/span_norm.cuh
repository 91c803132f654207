// How the row becomes codes, as norm_row does it.
#pragma once
#include "span.cuh"

// Index is a number that is a constant where it is used.
template <int N> struct Index {
    __device__ constexpr operator int() const { return N; }
};

// each calls f with 0 .. N-1, constants.
template <int N, typename F> __device__ __forceinline__ void each(F f) {
    if constexpr (N > 0) each<N - 1>(f), f(Index<N - 1>());
}

// read_quads reads the row: until all its words are there, if it is awaited.
template <int V> __device__ __forceinline__ void read_quads(float4 (&v)[V], int tid, int fours, const uint4 *from, bool awaited) {
    uint4 raw[V];
    each<V>([&](auto i) { raw[i] = tid + i * spanThreads < fours ? peek4<i * spanThreads>(from) : make_uint4(0, 0, 0, 0); });
    Patience patience;
    for (bool all = !awaited; !all; patience.lose()) {
        all = true;
        each<V>([&](auto i) {
            if (any_empty(raw[i])) raw[i] = peek4<i * spanThreads>(from), all = false;
        });
    }
#pragma unroll
    for (int i = 0; i < V; i++) v[i] = make_float4(__uint_as_float(raw[i].x), __uint_as_float(raw[i].y), __uint_as_float(raw[i].z), __uint_as_float(raw[i].w));
}

// norm_weights reads the row's weights; zeros where it is not normalized.
template <int V> __device__ __forceinline__ void norm_weights(float4 (&weight)[V], int tid, int fours, const SpanNorm &n) {
#pragma unroll
    for (int i = 0; i < V; i++) weight[i] = n.weight && tid + i * spanThreads < fours ? ((const float4 *)n.weight)[tid + i * spanThreads] : make_float4(0, 0, 0, 0);
}

// norm_quads normalizes the row, if it has weights.
template <int V> __device__ __forceinline__ void norm_quads(float4 (&v)[V], const float4 (&weight)[V], int tid, int fours, NormScratch &scratch, const Way &w, const SpanNorm &n) {
    const int warp = tid >> 5, lane = tid & 31;
    if (n.weight) {
        float squares[V];
#pragma unroll
        for (int i = 0; i < V; i++) squares[i] = square_of(v[i]);
        const Part sum = warp_part(pairs_sum<V>(squares));
        if (lane == 0) scratch.sums[warp] = sum;
        meet();
        const float factor = norm_scale(parts_total<spanWarps>(scratch.sums), w.inverse, n.eps);
#pragma unroll
        for (int i = 0; i < V; i++)
            if (tid + i * spanThreads < fours) v[i] = scaled(v[i], factor, weight[i]);
    }
}

// make_codes normalizes and quantizes the row, which stands in the room (awaited) or is plain
// memory, into codes in shared memory. V quads a thread. Threads do not end together; the sum of the
// codes is still in pieces in sh.norm.ints.
template <int V>
__device__ __forceinline__ void make_codes(const int tid, SpanShared &sh, const Way &w, float &scale, const uint32_t *src, bool awaited, const SpanNorm &n, uint32_t *codes) {
    static_assert(spanThreads == normPlaces, "a thread has a place");
    const int warp = tid >> 5, lane = tid & 31, fours = w.cols / 4, quads = w.stride / 4;
    const uint4 *from = (const uint4 *)src + tid;
    float4 weight[V], v[V];
    norm_weights(weight, tid, fours, n);
    if (awaited) {
        // Tiles that some CTAs have more than others are the last ones.
        if (warp == 0) await_first(src + w.cols - 1 - 16 * (blockIdx.x & 3));
        meet();
    }
    read_quads(v, tid, fours, from, awaited);
    norm_quads(v, weight, tid, fours, sh.norm, w, n);
    uint32_t top = 0;
#pragma unroll
    for (int i = 0; i < V; i++) top = most_of(top, v[i]);
    top = __reduce_max_sync(0xffffffffu, top);
    if (lane == 0) sh.norm.tops[warp] = top;
    meet();
    top = __reduce_max_sync(0xffffffffu, sh.norm.tops[lane & (spanWarps - 1)]);
    scale = scale_for(top);
    int32_t total = 0;
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = tid + i * spanThreads;
        if (at >= quads) break;
        const uint32_t word = codes_of(v[i], scale, top);
        total = sum_codes(total, word);
        codes[at] = word;
    }
    total = __reduce_add_sync(0xffffffffu, total);
    if (lane == 0) sh.norm.ints[warp] = total;
}
