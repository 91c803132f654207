// build: sm_90a
// screen_bounds (screen.cu) on cards of capability 9.0: bound by memory. A CTA stays on each
// multiprocessor. One thread keeps a ring of shared memory full: codes of 256 rows, a chunk of
// 64 values at a time, of as many bits as are asked for, and the same chunk of all activation
// rows, which come from the L2 cache. Two warp groups multiply, 128 rows each, codes from
// registers with activations as they lie in the ring (of 64 rows so many that the thread's own
// group gives them its registers):
//
//	copy of the head ──bulk copy──▶ ring ──masks──▶ registers ──┐
//	activations      ──bulk copy──▶ ring ───────────────────────┴─wgmma──▶ dots of both planes ──▶ bounds
//
// The codes are on their way before the activations are known.
#include "bulk.cuh"
#include "screen.cuh"
#include "screen_wgmma.cuh"

constexpr int consumerWarps = 8, streamThreads = 32 * consumerWarps + 128;
constexpr int ringBytes = 192 << 10;
constexpr int sixUnit = unitTiles * sixBytes, bitUnit = unitTiles * bitBytes; // of a chunk of a unit

template <int G, int BITS> struct Ring {
    static constexpr int codes = sixUnit + (BITS - 6) * bitUnit, acts = G * 1024, stage = codes + acts, stages = ringBytes / stage;
};

__device__ __forceinline__ void consumers_sync() { asm volatile("bar.sync 1, %0;" ::"n"(32 * consumerWarps) : "memory"); }

// most_over gives each of N values' largest over the lanes with the same t, some to each lane:
// lane 4g+t has value g·N/8 and, if N is 16, the next one.
template <int N> __device__ __forceinline__ void most_over(float (&v)[N]) {
    join_lanes<4>(v, [](float a, float b) { return fmaxf(a, b); });
}

// Task is what the kernel gets.
struct Task {
    const void *codes;
    const float4 *coefs;
    const uint4 *acts;
    const Width *widths;
    const int32_t *wanted;
    int64_t chunks, n, rows;
    float *uppers;
    float2 *tops;
    unsigned long long *floors;
};

// units_of counts the units of a head.
__device__ __forceinline__ int units_of(int64_t n) { return (int)((n + screenUnit - 1) / screenUnit); }

// feed is the thread that fills the ring.
template <int G, int BITS> __device__ __forceinline__ void feed(const Task &j, uint8_t *ring, uint64_t *full, uint64_t *empty) {
    using R = Ring<G, BITS>;
    const int chunks = (int)j.chunks, units = units_of(j.n);
    const int steps = (int)blockIdx.x < units ? (units - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x * chunks : 0;
    const Planes planes(j.codes, j.n, chunks);
    int unit = blockIdx.x, chunk = 0;
    auto codes = [&](int slot) {
        uint8_t *to = ring + slot * R::stage;
        const int64_t place = (int64_t)unit * chunks + chunk;
        barrier_expect(full + slot, R::stage);
        bulk_copy(to, planes.six + place * sixUnit, sixUnit, full + slot);
        if (BITS >= 7) bulk_copy(to + sixUnit, planes.seventh + place * bitUnit, bitUnit, full + slot);
        if (BITS == 8) bulk_copy(to + sixUnit + bitUnit, planes.eighth + place * bitUnit, bitUnit, full + slot);
        if (++chunk == chunks) chunk = 0, unit += gridDim.x;
    };
    auto acts = [&](int slot, int at) { bulk_copy(ring + slot * R::stage + R::codes, (const uint8_t *)j.acts + (int64_t)at * R::acts, R::acts, full + slot); };
    const int first = min(R::stages, steps);
    for (int i = 0; i < first; i++) codes(i);
    pdl_wait();
    for (int i = 0; i < first; i++) acts(i, i % chunks);
    int slot = 0, round = 0;
    for (int i = R::stages; i < steps; i++) {
        barrier_await(empty + slot, round & 1);
        const int at = chunk;
        codes(slot);
        acts(slot, at);
        if (++slot == R::stages) slot = 0, round++;
    }
}

// Own is what a lane keeps of the activation rows that most_over gives it.
template <int G> struct Own {
    static constexpr int values = 2 * G, kept = G == 8 ? 2 : 1;
    static constexpr int spread = values >= 8 ? 1 : 8 / values; // lanes with the same row
    int row[kept];
    bool single[kept];     // one product is wanted
    uint32_t floor[kept];  // largest lower bound known, if so
    float upper[2][kept];  // of the warp's two tiles
};

__device__ __forceinline__ int row_of(int value, int t) { return 8 * (value >> 1) + 2 * t + (value & 1); }

// bound_at is the bound of a value of the lane in row g + 8·half of the tile.
template <int G, int BITS> __device__ __forceinline__ Bound bound_at(const int32_t (&d)[8 * G], const float4 (&coef)[2], const Width *widths, int v, int half, bool real) {
    const int at = 4 * (v >> 1) + 2 * half + (v & 1);
    return bound_of<BITS>(d[at], d[4 * G + at], coef[half], widths[row_of(v, threadIdx.x & 3)], real);
}

// conclude turns the dots of a warp's m-th tile into bounds, and raises the block's floors.
template <int G, int BITS>
__device__ __forceinline__ void conclude(const Task &j, const int32_t (&d)[8 * G], const float4 (&coef)[2], const Width *widths, uint32_t *floors, int tile, int m, Own<G> &own) {
    constexpr int values = 2 * G;
    const int g = threadIdx.x >> 2 & 7, tiles = tiles_of(j.n);
    const int64_t first = (int64_t)tile * screenTile + g;
    float lower[values], upper[values];
#pragma unroll
    for (int v = 0; v < values; v++) {
        const Bound a = bound_at<G, BITS>(d, coef, widths, v, 0, first < j.n), b = bound_at<G, BITS>(d, coef, widths, v, 1, first + 8 < j.n);
        upper[v] = fmaxf(a.upper, b.upper), lower[v] = fmaxf(a.lower, b.lower);
    }
    most_over(upper);
    most_over(lower);
#pragma unroll
    for (int i = 0; i < Own<G>::kept; i++) {
        own.upper[m][i] = upper[i];
        if (own.row[i] >= j.rows || tile >= tiles || g % Own<G>::spread != 0) continue;
        j.tops[(int64_t)own.row[i] * tiles + tile] = make_float2(upper[i], lower[i]);
        const uint32_t order = order_of(lower[i]);
        if (own.single[i] && order > own.floor[i]) atomicMax(floors + own.row[i], order);
    }
}

// keep writes the bounds of single rows where the tile is not below the floor. Who has the block's
// largest lower bound tells all blocks: many atomic operations at one place take long.
template <int G, int BITS>
__device__ __forceinline__ void keep(const Task &j, const int32_t (&d)[8 * G], const float4 (&coef)[2], const Width *widths, const uint32_t *floors, int tile, int m, const Own<G> &own) {
    constexpr int values = 2 * G, kept = Own<G>::kept, spread = Own<G>::spread;
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, tiles = tiles_of(j.n);
    const int64_t first = (int64_t)tile * screenTile + g;
    uint32_t pass[kept], any = 0;
#pragma unroll
    for (int i = 0; i < kept; i++) {
        pass[i] = __ballot_sync(0xffffffffu, own.row[i] < j.rows && tile < tiles && order_of(own.upper[m][i]) >= own.floor[i]);
        any |= pass[i];
    }
    if (any == 0) return;
#pragma unroll
    for (int v = 0; v < values; v++) {
        if (!(pass[v % kept] >> (4 * (v / kept * spread) + t) & 1)) continue;
        const int row = row_of(v, t);
        const Bound a = bound_at<G, BITS>(d, coef, widths, v, 0, first < j.n), b = bound_at<G, BITS>(d, coef, widths, v, 1, first + 8 < j.n);
        float *to = j.uppers + (int64_t)row * tiles * screenTile + first;
        to[0] = a.upper, to[8] = b.upper;
        const uint32_t most = order_of(fmaxf(a.lower, b.lower));
        if (most == floors[row]) atomicMax(j.floors + row, (unsigned long long)most << 32 | (first + (a.lower < b.lower ? 8 : 0)));
    }
}

// part_of is a lane's part of a tile's chunk in the ring.
template <int BITS> __device__ __forceinline__ Raw part_of(const uint8_t *stage, int tile) {
    const int lane = threadIdx.x & 31;
    const uint8_t *six = stage + tile * sixBytes, *bits = stage + sixUnit + tile * bitBytes;
    Raw r = {((const uint4 *)six)[lane], ((const uint2 *)(six + 512))[lane], 0, 0};
    if (BITS >= 7) r.seventh = ((const uint32_t *)bits)[lane];
    if (BITS == 8) r.eighth = ((const uint32_t *)(bits + bitUnit))[lane];
    return r;
}

// consume is a thread of the warp groups that multiply.
template <int G, int BITS> __device__ __forceinline__ void consume(const Task &j, const uint8_t *ring, uint64_t *full, uint64_t *empty, Width *widths, uint32_t *floors) {
    using R = Ring<G, BITS>;
    constexpr int kept = Own<G>::kept;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    pdl_wait();
    if (threadIdx.x < 8 * G) widths[threadIdx.x] = j.widths[threadIdx.x], floors[threadIdx.x] = 0;
    Own<G> own;
#pragma unroll
    for (int i = 0; i < kept; i++) {
        own.row[i] = row_of(g / Own<G>::spread * kept + i, t);
        own.single[i] = own.row[i] < j.rows && j.wanted[own.row[i]] == 1;
    }
    consumers_sync();
    const int chunks = (int)j.chunks, tiles = tiles_of(j.n), units = units_of(j.n), mine = 8 * (warp >> 2) + (warp & 3); // and four on
    int slot = 0, round = 0;
    for (int unit = blockIdx.x; unit < units; unit += gridDim.x) {
        const int tile = unit * unitTiles + mine;
        float4 coef[2][2];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint4 c = once_at((const uint4 *)j.coefs + min(tile + 4 * (i >> 1), tiles - 1) * screenTile + g + 8 * (i & 1));
            coef[i >> 1][i & 1] = make_float4(__uint_as_float(c.x), __uint_as_float(c.y), __uint_as_float(c.z), __uint_as_float(c.w));
        }
        int32_t d[2][8 * G];
        uint32_t codes[2][8];
        int before = -1; // the slot that the products under way read
        for (int c = 0; c < chunks; c++) {
            barrier_await(full + slot, round & 1);
            const uint8_t *stage = ring + slot * R::stage;
#pragma unroll
            for (int m = 0; m < 2; m++) {
                const Raw raw = part_of<BITS>(stage, mine + 4 * m);
                wgmma_left<1>(); // the tile's own: those of the other one run meanwhile
                if (m == 1 && before >= 0 && lane == 0) barrier_arrive(empty + before);
                codes_of<BITS>(codes[m], raw);
                wgmma_begin();
#pragma unroll
                for (int s = 0; s < 2; s++) wgmma_s8<G>(d[m], codes[m] + 4 * s, acts_at(stage + R::codes + 256 * s), c > 0 || s > 0);
                wgmma_end();
            }
            before = slot;
            if (++slot == R::stages) slot = 0, round++;
        }
#pragma unroll
        for (int i = 0; i < kept; i++) {
            unsigned long long floor = 0;
            if (own.single[i]) asm volatile("ld.relaxed.gpu.u64 %0, [%1];" : "=l"(floor) : "l"(j.floors + own.row[i]) : "memory");
            own.floor[i] = (uint32_t)(floor >> 32);
        }
        wgmma_left<0>();
        if (lane == 0) barrier_arrive(empty + before);
#pragma unroll
        for (int m = 0; m < 2; m++) conclude<G, BITS>(j, d[m], coef[m], widths, floors, tile + 4 * m, m, own);
        // At first the block's own rows are all that is known.
        consumers_sync();
#pragma unroll
        for (int i = 0; i < kept; i++) own.floor[i] = max(own.floor[i], floors[own.row[i]]);
#pragma unroll
        for (int m = 0; m < 2; m++) keep<G, BITS>(j, d[m], coef[m], widths, floors, tile + 4 * m, m, own);
    }
}

template <int G, int BITS> __device__ __forceinline__ void stream(const Task &j) {
    using R = Ring<G, BITS>;
    extern __shared__ __align__(128) uint8_t ring[];
    __shared__ uint64_t full[R::stages], empty[R::stages];
    __shared__ Width widths[8 * G];
    __shared__ uint32_t floors[8 * G];
    const int warp = threadIdx.x >> 5;
    if (threadIdx.x == 0) {
        for (int i = 0; i < R::stages; i++) barrier_init(full + i), barrier_init(empty + i, consumerWarps);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    pdl_release();
    if (warp >= consumerWarps) {
        if constexpr (G == 8) asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 32 * consumerWarps) feed<G, BITS>(j, ring, full, empty);
        pdl_wait(); // a grid may not end before the one before it
    } else {
        if constexpr (G == 8) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        consume<G, BITS>(j, ring, full, empty, widths, floors);
    }
}

// screen_stream_BITS_R: up to R rows, a grid of a block a multiprocessor. Those of few rows leave
// registers to a block of screen_finish, which is there before they end.
#define STREAM(BITS, ROWS, LIMIT)                                                                                                                 \
    extern "C" __global__ void LIMIT screen_stream_##BITS##_##ROWS(                                                                               \
        const void *codes, const float4 *coefs, const uint4 *acts, const Width *widths, const int32_t *wanted, int64_t chunks, int64_t n, int64_t rows, \
        float *uppers, float2 *tops, unsigned long long *floors) {                                                                                \
        stream<ROWS / 8, BITS>({codes, coefs, acts, widths, wanted, chunks, n, rows, uppers, tops, floors});                                      \
    }
#define FEW __maxnreg__(112)
#define MANY __launch_bounds__(streamThreads, 1)
STREAM(6, 8, FEW)
STREAM(7, 8, FEW)
STREAM(7, 16, FEW)
STREAM(8, 8, FEW)
STREAM(8, 16, FEW)
STREAM(8, 32, MANY)
STREAM(8, 64, MANY)
