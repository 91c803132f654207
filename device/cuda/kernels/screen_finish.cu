// build: compute_80 sm_90a
// The end of a screened row (screen.cu): from bounds to the largest logits. The blocks of a
// row have every so many-th 32 tiles each; who ends last chooses:
//
//	tops ──▶ floor (each block for itself) ──▶ list of a block's rows ──▶ exact ──▶ the largest of all
//
// Where one row is wanted, the exact product of the one with the largest lower bound is the
// floor: only half of the bounds' distance has to separate the others from it. While a warp
// computes it, the others look who reaches the lower bound.
//
// A row without bounds, or with too many left, has state 1 or 2 at the end: the full
// head has to answer it.
#include "screen_left.cuh"

// floor_of is below at least want bounds of rows. The threads share the tiles; the want-th largest of
// their largest lower bounds is below that of all rows only where two of these met in
// one thread, and may stand for it: the list is a little longer then.
__device__ __forceinline__ float floor_of(const float2 *tops, int tiles, int want) {
    uint32_t key = 0;
#pragma unroll 8
    for (int i = threadIdx.x; i < tiles; i += finishThreads) key = max(key, order_of(tops[i].y));
    uint32_t least = 0; // the largest that so many keys reach
    if (want == 1) {
        __shared__ uint32_t most[finishWarps];
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

// choose puts the want largest of the lists into ids and best in descending order, the lower
// id first among equals. starts[p] is where part p's rows begin among all; keys is for the largest so
// far and, behind them, new ones.
__device__ __forceinline__ void choose(const Left &l, const int *starts, int want, int32_t *ids, float *best, uint64_t (&keys)[2 * finishThreads]) {
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

// Answers are what is told of rows: words from `from` on, and on the host (unless nullptr) as many from `to` on.
struct Answers {
    int32_t *from, *to;
    __device__ __forceinline__ void put(void *at, int32_t word) const {
        *(int32_t *)at = word;
        if (to) to[(int32_t *)at - from] = word;
    }
};

// screen_finish: grid (up to 128, rows); wanted[row] of the largest, up to 256, go to ids and
// values [rows][most]. parts [rows][128] and done [rows], zeros, are its own; list and exact have `room` a row.
// Where one of each row is wanted, told is the host's memory for what stands from noted on, or nullptr.
// What screen_acts writes is read before the bounds are there: who computes these lets this kernel
// begin when it has waited for that.
extern "C" __global__ void __launch_bounds__(finishThreads, 3)
    screen_finish(const float *uppers, const float2 *tops, const unsigned long long *floors, const Width *widths, const int32_t *able, const int32_t *wanted, const uint8_t *w, int64_t type, const float *x, int64_t n, int64_t k,
                  int64_t room, int64_t most, int32_t *list, float *exact, Part *parts, uint32_t *done, int32_t *noted, int32_t *told, int32_t *counts, int32_t *states, int32_t *ids, float *values) {
    __shared__ int starts[mostParts + 1];
    __shared__ bool last;
    __shared__ float known;
    __shared__ int32_t near[nearby];
    __shared__ Best bests[finishWarps];
    __shared__ int seen, count;
    __shared__ uint64_t keys[2 * finishThreads]; // at first rows that may reach the floor, below their upper bounds
    extern __shared__ float4 held[]; // of the row
    const int64_t row = blockIdx.y;
    const int part = blockIdx.x, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    const Left l = {list + row * room, parts + row * mostParts, exact + row * room, (int)(room / gridDim.x), (int)gridDim.x};
    const Bounds b = {uppers + row * tiles_of(n) * screenTile, tops + row * tiles_of(n), tiles_of(n), n};
    const Answers answers = {noted, told};
    int32_t *const mine = l.list + (int64_t)part * l.share;
    pdl_release();
    const int want = __ldcg(wanted + row), bounded = __ldcg(able + row);
    const int64_t bytes = row_bytes_as(type, k);
    const bool ahead = ((bytes | (uint64_t)w) & 15) == 0;
    x += row * k;
    if (k % 4 == 0 && k <= mostHeld) {
        for (int i = threadIdx.x; i < k / 4; i += finishThreads) copy16(held + i, (const float4 *)x + i, 16);
        x = (const float *)held;
        copies_done();
    }
    if (threadIdx.x == 0) near[0] = 0, seen = count = 0;
    __syncthreads();
    if (!bounded || want < 1) {
        pdl_wait();
        if (threadIdx.x == 0 && part == 0) {
            answers.put(counts + row, 0), answers.put(states + row, 1);
            if (told) told[row] = __ldcg(noted + row), answers.put(ids + row * most, __ldcg(ids + row * most));
        }
        return;
    }
    enum { Warm, Floor, All };
    float floor = 0.f;
    int rows = 1, found = 0; // INT32_MAX: nobody has looked
    Best best;
    // Code comes slowly the first time: any row, before the bounds are there, then the one that is the
    // floor, then all that reach it.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
    int stage = Floor; // nothing begins early
#else
    int stage = Warm;
#endif
#pragma unroll 1
    for (;; stage++) {
        auto listed = [&](int32_t id, float upper) {
            if (stage == Floor) {
                const int at = atomicAdd(&seen, 1);
                if (at < 2 * finishThreads) keys[at] = (uint64_t)__float_as_uint(upper) << 32 | (uint32_t)id;
                return;
            }
            const int at = atomicAdd(&count, 1);
            if (at < nearby) near[at] = id;
            if (at < l.share) mine[at] = id;
            if (ahead) fetch_l2(w + id * bytes, (int)bytes);
        };
        if (stage == Floor) {
            pdl_wait();
            const unsigned long long highest = floors[row];
            if (highest != 0) {
                floor = value_of((uint32_t)(highest >> 32));
                if (threadIdx.x == 0) near[0] = (int32_t)highest;
                __syncwarp();
            } else {
                floor = floor_of(b.tops, b.tiles, want);
                stage = All, found = INT32_MAX;
            }
        }
        const bool looks = stage == Floor ? warp > 0 : stage == All && found > 2 * finishThreads;
        if (looks) {
            reaching(b, l, part, floor, stage == Floor, listed);
        } else if (stage == All) {
            for (int i = threadIdx.x; i < found; i += finishThreads)
                if (const float upper = __uint_as_float((uint32_t)(keys[i] >> 32)); upper >= floor) listed((int32_t)keys[i], upper);
        }
        if (stage == All) {
            __syncthreads();
            rows = count;
        }
        best = {};
        if (rows <= l.share) best = rescore_as(type, w, x, k, mine, near, rows, stage == All ? l.exact + (int64_t)part * l.share : &known);
        if (stage == All) break;
        __syncthreads();
        if (stage == Floor) floor = fmaxf(floor, __fdiv_rd(known, widths[row].step)), found = seen;
    }
    if (lane == 0) bests[warp] = best;
    __syncthreads();
    if (warp == 0) {
        bool ends = false;
        if (lane == 0) {
            for (int i = 1; i < finishWarps; i++) best.add(bests[i].key, bests[i].value);
            l.got[part] = {best.key, best.value, rows};
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
        if (ends && lane == 31) answers.put(counts + row, fits ? before : 0), answers.put(states + row, fits ? 0 : 2);
        before -= sum;
#pragma unroll
        for (int i = 0; i < share; i++) starts[share * lane + i] = before, before += each[i];
        if (lane == 0) last = ends && fits && want > 1;
        if (ends && want == 1 && best.key == warp_max(best.key)) {
            answers.put(ids + row * most, (int32_t)(0xffffffffu - (uint32_t)best.key)), answers.put(values + row * most, __float_as_int(best.value));
            if (told) told[row] = __ldcg(noted + row);
        }
    }
    __syncthreads();
    if (last) choose(l, starts, want, ids + row * most, values + row * most, keys);
}
