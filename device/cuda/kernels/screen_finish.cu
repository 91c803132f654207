// build: compute_80 sm_90a
// The end of a screened row (screen.cu): from bounds to the largest logits. The blocks of a
// row have every so many-th 32 tiles each; who ends last chooses:
//
//	tops ──▶ floor (each block for itself) ──▶ list of a block's rows ──▶ exact ──▶ the largest of all
//
// Where one row is wanted, the exact product of the one with the largest lower bound is the
// floor: only half of the bounds' distance has to separate the others from it.
//
// A row without bounds, or with too many left, has state 1 or 2 at the end: the full
// head has to answer it.
#include "screen.cuh"

constexpr int finishThreads = 256, finishWarps = finishThreads / 32, mostParts = 128, mostHeld = 8192; // the last: values of a row that lie in shared memory

// Best is the largest of exact products: its order above the complement of its row, and itself.
struct Best {
    uint64_t key;
    float value;
    __device__ __forceinline__ void add(uint64_t other, float v) {
        if (other > key) key = other, value = v;
    }
};

// Part is what a block has of a row.
struct __align__(16) Part {
    uint64_t key; // of the best
    float value;
    int32_t count;
};

// Left is what belongs to one row: list and exact have a piece of `share` for each part.
struct Left {
    int32_t *list;
    Part *got;
    float *exact;
    int share, parts;
};

constexpr int nearby = 64; // of a part's list lie in shared memory too

// floor_of is below at least want bounds of rows. The threads share the tiles; the want-th largest of
// their largest lower bounds is below that of all rows only where two of these met in
// one thread, and may stand for it: the list is a little longer then.
__device__ __forceinline__ float floor_of(const float2 *tops, int tiles, int want) {
    __shared__ uint32_t most[finishWarps];
    uint32_t key = 0;
#pragma unroll 8
    for (int i = threadIdx.x; i < tiles; i += finishThreads) key = max(key, order_of(tops[i].y));
    uint32_t least = 0; // the largest that so many keys reach
    if (want == 1) {
        key = __reduce_max_sync(0xffffffffu, key);
        if ((threadIdx.x & 31) == 0) most[threadIdx.x >> 5] = key;
        __syncthreads();
        for (int i = 0; i < finishWarps; i++) least = max(least, most[i]);
    } else {
        for (int b = 31; b >= 0; b--) {
            const uint32_t next = least | 1u << b;
            if (__syncthreads_count(key >= next) >= want) least = next;
        }
    }
    return least == 0 ? -INFINITY : value_of(least);
}

// find lists the rows of a part that reach the floor; the count may exceed the share. The copies
// of the block are there when it ends.
__device__ __forceinline__ int find(const Left &l, int part, const float *uppers, const float2 *tops, int tiles, int64_t n, float floor, int32_t *near) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    constexpr int deep = 8;
    const int step = finishThreads * l.parts;
    for (int base = (part + (threadIdx.x >> 5) * l.parts) * 32 + (threadIdx.x & 31); base < tiles; base += deep * step) {
        float top[deep];
#pragma unroll
        for (int i = 0; i < deep; i++) top[i] = base + i * step < tiles ? tops[base + i * step].x : -INFINITY;
#pragma unroll
        for (int i = 0; i < deep; i++) {
            if (base + i * step >= tiles || !(top[i] >= floor)) continue;
            const int64_t first = (int64_t)(base + i * step) * screenTile;
            float4 quads[screenTile / 4];
#pragma unroll
            for (int q = 0; q < screenTile / 4; q++) quads[q] = ((const float4 *)(uppers + first))[q];
#pragma unroll
            for (int j = 0; j < screenTile; j++) {
                const float4 &q = quads[j / 4];
                const float upper = (j & 3) == 0 ? q.x : (j & 3) == 1 ? q.y : (j & 3) == 2 ? q.z : q.w;
                if (!(upper >= floor) || first + j >= n) continue;
                const int at = atomicAdd(&count, 1);
                if (at < nearby) near[at] = (int32_t)(first + j);
                if (at < l.share) l.list[(int64_t)part * l.share + at] = (int32_t)(first + j);
            }
        }
    }
    copies_done();
    __syncthreads();
    return count;
}

// rescore computes rows exactly; each warp gets the best of its own.
template <int T>
__device__ __forceinline__ Best rescore(const uint8_t *w, const float *x, int64_t k, const int32_t *list, const int32_t *near, int count, float *exact) {
    const bool whole = whole_units<T>(w, k);
    Best best = {};
    for (int i = threadIdx.x >> 5; i < count; i += finishWarps) {
        const int32_t id = i < nearby ? near[i] : list[i];
        const uint8_t *from = w + id * row_bytes<T>(k);
        float d = whole ? dense_dot<T, true, T == F16 || T == BF16 ? 10 : 4>(from, x, k) : dense_dot<T, Weights<T>::values != 1>(from, x, k);
        if ((threadIdx.x & 31) == 0) exact[i] = d;
        best.add((uint64_t)order_of(d) << 32 | (0xffffffffu - (uint32_t)id), d);
    }
    return best;
}

__device__ __forceinline__ Best rescore_as(int64_t type, const uint8_t *w, const float *x, int64_t k, const int32_t *list, const int32_t *near, int count, float *exact) {
    switch (type) {
    case F32: return rescore<F32>(w, x, k, list, near, count, exact);
    case F16: return rescore<F16>(w, x, k, list, near, count, exact);
    case BF16: return rescore<BF16>(w, x, k, list, near, count, exact);
    case Q8_0: return rescore<Q8_0>(w, x, k, list, near, count, exact);
    case Q4_0: return rescore<Q4_0>(w, x, k, list, near, count, exact);
    case Q4_1: return rescore<Q4_1>(w, x, k, list, near, count, exact);
    case Q5_0: return rescore<Q5_0>(w, x, k, list, near, count, exact);
    case Q5_1: return rescore<Q5_1>(w, x, k, list, near, count, exact);
    case Q4_K: return rescore<Q4_K>(w, x, k, list, near, count, exact);
    case Q5_K: return rescore<Q5_K>(w, x, k, list, near, count, exact);
    default: return rescore<Q6_K>(w, x, k, list, near, count, exact);
    }
}

// choose puts the want largest of the lists into ids and best in descending order, the lower
// id first among equals. starts[p] is where part p's rows begin among all.
__device__ __forceinline__ void choose(const Left &l, const int *starts, int want, int32_t *ids, float *best) {
    __shared__ uint64_t keys[2 * finishThreads]; // the largest so far, then new ones
    const int count = starts[l.parts];
    auto place = [&](int at) {
        int part = 0;
        for (int step = mostParts / 2; step > 0; step /= 2)
            if (part + step < l.parts && at >= starts[part + step]) part += step;
        return (int64_t)part * l.share + at - starts[part];
    };
    auto key_of = [&](int at) {
        const int64_t i = place(at);
        return (uint64_t)order_of(__ldcg(l.exact + i)) << 32 | (0xffffffffu - (uint32_t)__ldcg(l.list + i));
    };
    want = min(want, count);
    int kept = 0, size = 64; // a power of two that holds them
    for (int from = 0; from < count; kept = finishThreads, from += size - (from == 0 ? 0 : finishThreads)) {
        while (size < 2 * finishThreads && size < count) size *= 2;
        for (int i = kept + threadIdx.x; i < size; i += finishThreads) keys[i] = from + i - kept < count ? key_of(from + i - kept) : 0;
        for (int run = 2; run <= size; run *= 2)
            for (int step = run / 2; step > 0; step /= 2) {
                __syncthreads();
                const int i = 2 * (int)threadIdx.x - ((int)threadIdx.x & (step - 1)), j = i + step;
                if (j >= size) continue;
                const uint64_t a = keys[i], b = keys[j];
                if ((i & run) == 0 ? a < b : a > b) keys[i] = b, keys[j] = a;
            }
        __syncthreads();
    }
    __syncthreads();
    for (int i = threadIdx.x; i < want; i += finishThreads) {
        const uint32_t order = (uint32_t)(keys[i] >> 32), id = 0xffffffffu - (uint32_t)keys[i];
        float v = value_of(order);
        if (v == 0 || order == 0) // which zero, which NaN
            for (int j = 0; j < count; j++)
                if ((uint32_t)__ldcg(l.list + place(j)) == id) v = __ldcg(l.exact + place(j));
        ids[i] = (int32_t)id, best[i] = v;
    }
}

// screen_finish: grid (up to 128, rows); wanted[row] of the largest, up to 256, go to ids and
// values [rows][most]. parts [rows][128] and done [rows], zeros, are its own; list and exact have `room` a row.
extern "C" __global__ void __launch_bounds__(finishThreads, 3)
    screen_finish(const float *uppers, const float2 *tops, const unsigned long long *floors, const Width *widths, const int32_t *able, const int32_t *wanted, const uint8_t *w, int64_t type, const float *x, int64_t n, int64_t k,
                  int64_t room, int64_t most, int32_t *list, float *exact, Part *parts, uint32_t *done, int32_t *counts, int32_t *states, int32_t *ids, float *values) {
    __shared__ int starts[mostParts + 1];
    __shared__ bool last;
    __shared__ float known;
    __shared__ int32_t near[nearby];
    __shared__ Best bests[finishWarps];
    extern __shared__ float4 held[]; // of the row
    const int64_t row = blockIdx.y;
    const int tiles = tiles_of(n), part = blockIdx.x;
    const Left l = {list + row * room, parts + row * mostParts, exact + row * room, (int)(room / gridDim.x), (int)gridDim.x};
    pdl_release();
    pdl_wait();
    const int want = wanted[row];
    const unsigned long long highest = floors[row];
    if (!able[row] || want < 1) {
        if (threadIdx.x == 0 && part == 0) counts[row] = 0, states[row] = 1;
        return;
    }
    uppers += row * tiles * screenTile, tops += row * tiles, x += row * k;
    if (k % 4 == 0 && k <= mostHeld) {
        for (int i = threadIdx.x; i < k / 4; i += finishThreads) copy16(held + i, (const float4 *)x + i, 16);
        x = (const float *)held;
    }
    float floor = highest != 0 ? value_of((uint32_t)(highest >> 32)) : floor_of(tops, tiles, want);
    int count = 1;
    Best best;
    bool knows = highest != 0;
    if (knows && threadIdx.x == 0) near[0] = (int32_t)highest;
    // Code comes slowly the first time: once for the row that is the floor, then for all that reach it.
#pragma unroll 1
    for (;; knows = false) {
        if (!knows) {
            count = find(l, part, uppers, tops, tiles, n, floor, near);
        } else {
            copies_done();
            __syncthreads();
        }
        best = {};
        if (count <= l.share) best = rescore_as(type, w, x, k, l.list + (int64_t)part * l.share, near, count, knows ? &known : l.exact + (int64_t)part * l.share);
        if (!knows) break;
        __syncthreads();
        floor = fmaxf(floor, __fdiv_rd(known, widths[row].step));
    }
    const int lane = threadIdx.x & 31;
    if (lane == 0) bests[threadIdx.x >> 5] = best;
    __syncthreads();
    if (threadIdx.x < 32) {
        bool ends = false;
        if (lane == 0) {
            for (int i = 1; i < finishWarps; i++) best.add(bests[i].key, bests[i].value);
            l.got[part] = {best.key, best.value, count};
            __threadfence();
            ends = atomicAdd(done + row, 1u) == l.parts - 1;
            __threadfence();
        }
        ends = __shfl_sync(0xffffffffu, ends, 0);
        constexpr int share = mostParts / 32;
        int each[share], sum = 0;
        bool fits = true;
        best = {};
#pragma unroll
        for (int i = 0; i < share; i++) {
            each[i] = 0;
            if (const int p = share * lane + i; ends && p < l.parts) {
                const int4 got = __ldcg((const int4 *)(l.got + p));
                best.add((uint64_t)(uint32_t)got.y << 32 | (uint32_t)got.x, __int_as_float(got.z)), each[i] = got.w;
            }
            fits = fits && each[i] <= l.share, sum += each[i];
        }
        fits = __all_sync(0xffffffffu, fits);
        int before = sum;
#pragma unroll
        for (int o = 1; o < 32; o *= 2) {
            const int below = __shfl_up_sync(0xffffffffu, before, o);
            if (lane >= o) before += below;
        }
        if (lane == 31) starts[mostParts] = before;
        if (ends && lane == 31) counts[row] = fits ? before : 0, states[row] = fits ? 0 : 2;
        before -= sum;
#pragma unroll
        for (int i = 0; i < share; i++) starts[share * lane + i] = before, before += each[i];
        if (lane == 0) last = ends && fits && want > 1;
        if (ends && want == 1 && best.key == warp_max(best.key)) ids[row * most] = (int32_t)(0xffffffffu - (uint32_t)best.key), values[row * most] = best.value;
    }
    __syncthreads();
    if (last) choose(l, starts, want, ids + row * most, values + row * most);
}
