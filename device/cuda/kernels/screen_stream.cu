// build: sm_90a
// screen_bounds (screen.cu) on cards of capability 9.0: bound by memory. A CTA stays on each
// multiprocessor. One thread keeps a ring of shared memory full: codes of 256 rows, a chunk of
// 64 values at a time, of as many bits as are asked for. Activations come once where there is room for all of them beside
// the ring, else the same chunk of all rows with the codes, from the L2 cache. Warp groups multiply, codes from
// registers with activations as they lie there: two that have 128 rows of the head each, or, of 64 rows of
// activations, four that have 64, so that while one unpacks the others multiply:
//
//	copy of the head ──bulk copy──▶ ring ──masks──▶ registers ──┐
//	activations      ──bulk copy──▶ shared memory ──────────────┴─wgmma──▶ dots of both planes ──▶ bounds
//
// The codes are on their way before the activations are known, but never so many that others' words
// would wait long behind them.
#include "screen_ring.cuh"
#include "screen_wgmma.cuh"

template <int THREADS> __device__ __forceinline__ void consumers_sync() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }

// most_over gives each of N values' largest over the lanes with the same t, one to each lane:
// lane 4g+t has value g·N/8.
template <int N> __device__ __forceinline__ void most_over(float (&v)[N]) {
    join_lanes<4>(v, [](float a, float b) { return fmaxf(a, b); });
}

// Own is what a lane keeps of the activation rows that most_over gives it.
template <int G> struct Own {
    static constexpr int values = 2 * G, kept = G == 8 ? 2 : 1, each = values / kept;
    static constexpr int spread = 8 / each; // lanes with the same row
    int row[kept];
    bool single[kept];    // one product is wanted
    uint32_t floor[kept]; // largest lower bound known, if so
};

__device__ __forceinline__ int row_of(int value, int t) { return 8 * (value >> 1) + 2 * t + (value & 1); }

// bound_at is the bound of a value of the lane in row g + 8·half of the tile.
template <int G, int BITS> __device__ __forceinline__ Bound bound_at(const int32_t (&d)[8 * G], const float4 (&coef)[2], const Width *widths, int v, int half, bool real) {
    const int at = 4 * (v >> 1) + 2 * half + (v & 1);
    return bound_of<BITS>(d[at], d[4 * G + at], coef[half], widths[row_of(v, threadIdx.x & 3)], real);
}

// conclude turns the dots of a warp's tile into bounds, and raises the block's floors; upper becomes
// the largest bounds of its own rows.
template <int G, int BITS>
__device__ __forceinline__ void conclude(const Task &j, const int32_t (&d)[8 * G], const float4 (&coef)[2], const Width *widths, uint32_t *floors, int tile, const Own<G> &own, float (&most)[Own<G>::kept]) {
    constexpr int each = Own<G>::each;
    const int g = threadIdx.x >> 2 & 7, tiles = tiles_of(j.n);
    const int64_t first = (int64_t)tile * screenTile + g;
#pragma unroll
    for (int i = 0; i < Own<G>::kept; i++) {
        float lower[each], upper[each];
#pragma unroll
        for (int v = 0; v < each; v++) {
            const Bound a = bound_at<G, BITS>(d, coef, widths, each * i + v, 0, first < j.n), b = bound_at<G, BITS>(d, coef, widths, each * i + v, 1, first + 8 < j.n);
            upper[v] = fmaxf(a.upper, b.upper), lower[v] = fmaxf(a.lower, b.lower);
        }
        most_over(upper);
        most_over(lower);
        most[i] = upper[0];
        if (own.row[i] >= j.rows || tile >= tiles || g % Own<G>::spread != 0) continue;
        j.tops[(int64_t)own.row[i] * tiles + tile] = make_float2(upper[0], lower[0]);
        const uint32_t order = order_of(lower[0]);
        if (own.single[i] && order > own.floor[i]) atomicMax(floors + own.row[i], order);
    }
}

// keep writes the bounds of single rows where the tile is not below the floor. Who has the block's
// largest lower bound tells all blocks: many atomic operations at one place take long.
template <int G, int BITS>
__device__ __forceinline__ void keep(const Task &j, const int32_t (&d)[8 * G], const float4 (&coef)[2], const Width *widths, const uint32_t *floors, int tile, const Own<G> &own, const float (&most)[Own<G>::kept]) {
    constexpr int values = 2 * G, kept = Own<G>::kept, each = Own<G>::each, spread = Own<G>::spread;
    const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, tiles = tiles_of(j.n);
    const int64_t first = (int64_t)tile * screenTile + g;
    uint32_t pass[kept], any = 0;
#pragma unroll
    for (int i = 0; i < kept; i++) {
        pass[i] = __ballot_sync(0xffffffffu, own.row[i] < j.rows && tile < tiles && order_of(most[i]) >= own.floor[i]);
        any |= pass[i];
    }
    if (any == 0) return;
#pragma unroll
    for (int v = 0; v < values; v++) {
        if (!(pass[v / each] >> (4 * (v % each * spread) + t) & 1)) continue;
        const int row = row_of(v, t);
        const Bound a = bound_at<G, BITS>(d, coef, widths, v, 0, first < j.n), b = bound_at<G, BITS>(d, coef, widths, v, 1, first + 8 < j.n);
        float *to = j.uppers + (int64_t)row * tiles * screenTile + first;
        to[0] = a.upper, to[8] = b.upper;
        const uint32_t order = order_of(fmaxf(a.lower, b.lower));
        if (order == floors[row]) atomicMax(j.floors + row, (unsigned long long)order << 32 | (first + (a.lower < b.lower ? 8 : 0)));
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
template <int G, int BITS> __device__ __forceinline__ void consume(const Task &j, const Ring &r, Width *widths, uint32_t *floors) {
    using S = Shape<G, BITS>;
    constexpr int kept = Own<G>::kept, T = S::tiles;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    pdl_wait();
    pdl_release(); // who follows may read what the grid before this one has written
    if (threadIdx.x < 8 * G) widths[threadIdx.x] = j.widths[threadIdx.x], floors[threadIdx.x] = 0;
    Own<G> own;
#pragma unroll
    for (int i = 0; i < kept; i++) {
        own.row[i] = row_of(g / Own<G>::spread + Own<G>::each * i, t);
        own.single[i] = own.row[i] < j.rows && j.wanted[own.row[i]] == 1;
    }
    consumers_sync<32 * S::warps>();
    if (r.whole) barrier_await(r.there, 0);
    const int chunks = (int)j.chunks, tiles = tiles_of(j.n), units = units_of(j.n), mine = 4 * T * (warp >> 2) + (warp & 3); // and four on
    const uint8_t *acts = r.base + (r.whole ? r.stages * r.stage : S::codes);
    const int actsChunk = r.whole ? S::acts : 0, actsStage = r.whole ? 0 : r.stage;
    int slot = 0, round = 0;
    for (int unit = blockIdx.x; unit < units; unit += gridDim.x) {
        const int tile = unit * unitTiles + mine;
        float4 coef[T][2];
#pragma unroll
        for (int i = 0; i < 2 * T; i++) {
            const uint4 c = once_at((const uint4 *)j.coefs + min(tile + 4 * (i >> 1), tiles - 1) * screenTile + g + 8 * (i & 1));
            coef[i >> 1][i & 1] = make_float4(__uint_as_float(c.x), __uint_as_float(c.y), __uint_as_float(c.z), __uint_as_float(c.w));
        }
        unsigned long long known[kept] = {};
        int32_t d[T][8 * G];
        uint32_t codes[T][8];
        int before = -1; // the slot that the products under way read
        for (int c = 0; c < chunks; c++) {
            if (c == max(chunks - 8, 0)) { // by the end it is there
#pragma unroll
                for (int i = 0; i < kept; i++)
                    if (own.single[i]) asm volatile("ld.relaxed.gpu.u64 %0, [%1];" : "=l"(known[i]) : "l"(j.floors + own.row[i]) : "memory");
            }
            barrier_await(r.full + slot, round & 1);
            const uint8_t *stage = r.base + slot * r.stage, *with = acts + c * actsChunk + slot * actsStage;
#pragma unroll
            for (int m = 0; m < T; m++) {
                const Raw raw = part_of<BITS>(stage, mine + 4 * m);
                wgmma_left<T - 1>(); // the tile's own: those of the other one, or of other warps, run meanwhile
                if (m == T - 1 && before >= 0 && lane == 0) barrier_arrive(r.empty + before);
                codes_of<BITS>(codes[m], raw);
                wgmma_begin();
#pragma unroll
                for (int s = 0; s < 2; s++) wgmma_s8<G>(d[m], codes[m] + 4 * s, acts_at(with + 256 * s), c > 0 || s > 0);
                wgmma_end();
            }
            before = slot;
            if (++slot == r.stages) slot = 0, round++;
        }
        wgmma_left<0>();
        if (lane == 0) barrier_arrive(r.empty + before);
#pragma unroll
        for (int i = 0; i < kept; i++) own.floor[i] = (uint32_t)(known[i] >> 32);
        float most[T][kept]; // upper bounds
#pragma unroll
        for (int m = 0; m < T; m++) conclude<G, BITS>(j, d[m], coef[m], widths, floors, tile + 4 * m, own, most[m]);
        // At first the block's own rows are all that is known.
        if (unit == (int)blockIdx.x) consumers_sync<32 * S::warps>();
        else __syncwarp();
#pragma unroll
        for (int i = 0; i < kept; i++) own.floor[i] = max(own.floor[i], floors[own.row[i]]);
#pragma unroll
        for (int m = 0; m < T; m++) keep<G, BITS>(j, d[m], coef[m], widths, floors, tile + 4 * m, own, most[m]);
    }
}

template <int G, int BITS> __device__ __forceinline__ void stream(const Task &j) {
    using S = Shape<G, BITS>;
    extern __shared__ __align__(128) uint8_t base[];
    __shared__ uint64_t full[S::mostStages], empty[S::mostStages], there;
    __shared__ Width widths[8 * G];
    __shared__ uint32_t floors[8 * G];
    const int warp = threadIdx.x >> 5;
    const Ring ring = ring_of<G, BITS>(base, full, empty, &there, (int)j.chunks);
    if (threadIdx.x == 0) {
        for (int i = 0; i < ring.stages; i++) barrier_init(full + i), barrier_init(empty + i, S::warps);
        barrier_init(&there);
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    if (warp >= S::warps) {
        if constexpr (G == 8) asm volatile("setmaxnreg.dec.sync.aligned.u32 32;");
        if (threadIdx.x == 32 * S::warps) feed<G, BITS>(j, ring);
        pdl_wait(); // a grid may not end before the one before it
    } else {
        if constexpr (G == 8) asm volatile("setmaxnreg.inc.sync.aligned.u32 112;");
        consume<G, BITS>(j, ring, widths, floors);
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
#define MANY(ROWS) __launch_bounds__((Shape<ROWS / 8, 8>::threads), 1)
STREAM(6, 8, FEW)
STREAM(7, 8, FEW)
STREAM(7, 16, FEW)
STREAM(8, 8, FEW)
STREAM(8, 16, FEW)
STREAM(8, 32, MANY(32))
STREAM(8, 64, MANY(64))
