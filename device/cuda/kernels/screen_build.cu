// build: compute_80 sm_90a
// The copy of the head that screen.cuh describes.
#include "screen.cuh"

// Unit is a lane's values at a time. Not to have all that follows once for every type they
// come from a function.
struct Unit {
    float v[kUnit];
};

// Matrix is a head's; whole says that units can be read with wide loads.
struct Matrix {
    const uint8_t *w;
    int64_t type, k, bytes; // the last: of a row
    bool whole;
};

template <int T> __device__ __forceinline__ Unit unit_as(const Matrix &m, const uint8_t *row, int64_t u) {
    Weights<T> at;
    if (m.whole) at.template load<true>(row, u, m.k);
    else at.template load<Weights<T>::values != 1>(row, u, m.k);
    Unit r;
    at.decode(r.v, u);
    return r;
}

#define OF_TYPE(call)       \
    case F32: call(F32);    \
    case F16: call(F16);    \
    case BF16: call(BF16);  \
    case Q8_0: call(Q8_0);  \
    case Q4_0: call(Q4_0);  \
    case Q4_1: call(Q4_1);  \
    case Q5_0: call(Q5_0);  \
    case Q5_1: call(Q5_1);  \
    case Q4_K: call(Q4_K);  \
    case Q5_K: call(Q5_K);  \
    case Q6_K: call(Q6_K);

__device__ __noinline__ Unit values_of(const Matrix m, const uint8_t *row, int64_t u) {
    switch (m.type) {
#define UNIT(T) return unit_as<T>(m, row, u)
        OF_TYPE(UNIT)
    }
    return {};
}

__device__ __forceinline__ Matrix matrix_of(const uint8_t *w, int64_t type, int64_t k) {
    switch (type) {
#define MATRIX(T) return {w, type, k, row_bytes<T>(k), whole_units<T>(w, k)}
        OF_TYPE(MATRIX)
    }
    return {};
}

// Kept is what a row's codes of one precision are off by, so far.
struct Kept {
    double miss;
    long long squares; // Σ(2ŵ/s)²
    __device__ __forceinline__ void add(double value, double half, int twice) {
        const double d = value - half * (double)twice; // the product is exact
        miss += d * d, squares += (long long)twice * twice;
    }
};

// build_row copies a row. The two rows of a tile that are eight apart share the words of single bits:
// the same warp makes both, one after the other.
__device__ __forceinline__ void build_row(const Matrix &m, int64_t row, int64_t n, int64_t chunks, void *codes, float4 *coefs, uint32_t *unable) {
    const int lane = threadIdx.x & 31, g = (int)row & 7, h = (int)row >> 3 & 1;
    const uint8_t *from = m.w + row * m.bytes;
    const bool real = row < n;
    uint32_t most = 0; // bits of the largest magnitude; NaN orders above infinity
    const int64_t k = m.k, units = (k + kUnit - 1) / kUnit, tile = row / screenTile, all = (int64_t)tiles_of(n) * screenTile;
    for (int64_t u = lane; real && u < units; u += 32) {
        const Unit at = values_of(m, from, u);
#pragma unroll
        for (int i = 0; i < kUnit; i++) most = max(most, __float_as_uint(at.v[i]) & 0x7fffffffu);
    }
    most = warp_max(most);
    const bool able = most <= __float_as_uint((float)ceilNorm);
    const float top = __uint_as_float(most);
    float scale = 0.f, inverse = 0.f;
    if (able && top >= floorRow) {
        scale = __uint_as_float((__float_as_uint(__double2float_ru((double)top / 127)) + 0xff) & ~0xffu);
        inverse = __fdiv_rn(1.f, scale);
    }
    const double half = (double)scale / 2;
    Kept kept[3] = {};
    const Planes to(codes, n, chunks);
    for (int64_t q = lane; q < chunks * 4; q += 32) { // a lane of the tile has 16 values of a chunk
        uint2 nibbles = make_uint2(0, 0);
        uint32_t pairs = 0, seventh = 0, eighth = 0;
#pragma unroll 1
        for (int u = 0; real && able && u < 2; u++) {
            const Unit at = values_of(m, from, 2 * q + u);
            uint32_t both = 0;
#pragma unroll
            for (int i = 0; i < kUnit; i++) {
                // Past the end of the row blocks decode to what they like.
                if ((2 * q + u) * kUnit + i >= k) continue;
                const int code = __float2int_rn(__fmul_rn(at.v[i], inverse)), word = 2 * u + i / 4, byte = 8 * (i & 3);
                kept[0].add(at.v[i], half, 2 * (code & -4) + 3);
                kept[1].add(at.v[i], half, 2 * (code & -2) + 1);
                kept[2].add(at.v[i], half, 2 * code);
                both |= (code >> 4 & 15u) << (byte + (i < 4 ? 4 : 0));
                pairs |= (code >> 2 & 3u) << (byte + 2 * word);
                seventh |= (code >> 1 & 1u) << (byte + word), eighth |= (code & 1u) << (byte + word);
            }
            if (u == 0) nibbles.x = both;
            else nibbles.y = both;
        }
        const int64_t place = (tile / unitTiles * chunks + (q >> 2)) * unitTiles + tile % unitTiles, mine = 4 * g + (q & 3);
        uint8_t *six = (uint8_t *)to.six + place * sixBytes;
        ((uint2 *)six)[2 * mine + h] = nibbles;
        ((uint32_t *)(six + 512))[2 * mine + h] = pairs;
        uint32_t *bits[2] = {(uint32_t *)(to.seventh + place * bitBytes) + mine, (uint32_t *)(to.eighth + place * bitBytes) + mine};
        *bits[0] = h == 0 ? seventh : *bits[0] | seventh << 4, *bits[1] = h == 0 ? eighth : *bits[1] | eighth << 4;
    }
#pragma unroll
    for (int i = 0; i < 3; i++) {
        const double miss = warp_sum(kept[i].miss);
        const long long squares = warp_sum(kept[i].squares);
        if (lane != 0) continue;
        const double e = sqrt(miss) * (1 + 0x1p-22), norm = sqrt((double)squares) * half * (1 + 0x1p-40);
        if (real && !(able && e + norm <= ceilNorm)) atomicMin(unable, (uint32_t)row);
        coefs[i * all + row] = real ? make_float4((float)half, __double2float_ru(fmax(e, floorNorm)), __double2float_ru(fmax(norm, floorNorm)), 0.f)
                                    : make_float4(0.f, 0.f, 0.f, 0.f);
    }
}

// screen_build: a tile a block, grid 4·⌈n/64⌉ blocks of 256 threads. unable, 0xffffffff before,
// becomes the lowest row that has values which are not finite or beyond 2^60: such a head has no copy.
extern "C" __global__ void __launch_bounds__(256)
    screen_build(const uint8_t *w, int64_t type, int64_t n, int64_t k, int64_t chunks, void *codes, float4 *coefs, uint32_t *unable) {
    const int64_t first = (int64_t)blockIdx.x * screenTile + (threadIdx.x >> 5);
    const Matrix m = matrix_of(w, type, k);
#pragma unroll 1
    for (int64_t row = first; row < first + screenTile; row += 8) build_row(m, row, n, chunks, codes, coefs, unable);
}
