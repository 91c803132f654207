// The ring of screen_stream.cu: who fills it, and where things lie.
#pragma once
#include "bulk.cuh"
#include "screen.cuh"

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

constexpr int sharedBytes = 208 << 10, windowBytes = 80 << 10; // all; what is asked for at a time
constexpr int sixUnit = unitTiles * sixBytes, bitUnit = unitTiles * bitBytes; // of a chunk of a unit

// Shape is how the work is cut: each consumer has so many tiles of a unit.
template <int G, int BITS> struct Shape {
    static constexpr int tiles = G == 8 ? 1 : 2, warps = unitTiles / tiles, threads = 32 * warps + 128;
    static constexpr int codes = sixUnit + (BITS - 6) * bitUnit, acts = G * 1024; // bytes of a chunk
    static constexpr int window = windowBytes / codes, leastStages = window + 2, mostStages = sharedBytes / codes;
};

// Ring is where things lie in shared memory: stages of codes, behind all of them, or behind the codes of
// each, activations.
struct Ring {
    uint8_t *base;
    uint64_t *full, *empty; // [stages]
    uint64_t *there;        // all activations are
    int stage, stages;
    bool whole;
};

template <int G, int BITS> __device__ __forceinline__ Ring ring_of(uint8_t *base, uint64_t *full, uint64_t *empty, uint64_t *there, int chunks) {
    using S = Shape<G, BITS>;
    const bool whole = (int64_t)chunks * S::acts <= sharedBytes - S::leastStages * S::codes;
    const int stage = whole ? S::codes : S::codes + S::acts;
    return {base, full, empty, there, stage, (sharedBytes - (whole ? chunks * S::acts : 0)) / stage, whole};
}

// feed is the thread that fills the ring.
template <int G, int BITS> __device__ __forceinline__ void feed(const Task &j, const Ring &r) {
    using S = Shape<G, BITS>;
    const int chunks = (int)j.chunks, units = units_of(j.n);
    const int steps = (int)blockIdx.x < units ? (units - (int)blockIdx.x + (int)gridDim.x - 1) / (int)gridDim.x * chunks : 0;
    const Planes planes(j.codes, j.n, chunks);
    int64_t place = (int64_t)blockIdx.x * chunks; // a unit's chunks follow each other
    int ahead = chunks;                           // until the next unit
    auto codes = [&](int slot) {
        uint8_t *to = r.base + slot * r.stage;
        uint64_t *full = r.full + slot;
        barrier_expect(full, r.stage);
        bulk_copy(to, planes.six + place * sixUnit, sixUnit, full);
        if (BITS >= 7) bulk_copy(to + sixUnit, planes.seventh + place * bitUnit, bitUnit, full);
        if (BITS == 8) bulk_copy(to + sixUnit + bitUnit, planes.eighth + place * bitUnit, bitUnit, full);
        place++;
        if (--ahead == 0) ahead = chunks, place += (int64_t)((int)gridDim.x - 1) * chunks;
    };
    auto acts = [&](int slot, int at) {
        if (!r.whole) bulk_copy(r.base + slot * r.stage + S::codes, (const uint8_t *)j.acts + (int64_t)at * S::acts, S::acts, r.full + slot);
    };
    const int begun = min(min(S::window, r.stages), steps);
    for (int i = 0; i < begun; i++) codes(i);
    pdl_wait();
    if (r.whole) {
        barrier_expect(r.there, chunks * S::acts);
        bulk_copy(r.base + r.stages * r.stage, j.acts, chunks * S::acts, r.there);
    }
    for (int i = 0; i < begun; i++) acts(i, i % chunks);
    int slot = begun == r.stages ? 0 : begun, round = 0, at = begun % chunks;
    int late = max(0, begun - S::window), lateRound = 0; // what has to be here before more is asked for
    for (int i = begun; i < steps; i++) {
        if (i >= S::window) {
            barrier_await(r.full + late, lateRound & 1);
            if (++late == r.stages) late = 0, lateRound++;
        }
        if (i >= r.stages) barrier_await(r.empty + slot, round & 1);
        codes(slot);
        acts(slot, at);
        if (++at == chunks) at = 0;
        if (++slot == r.stages) slot = 0, round += i >= r.stages;
    }
}
