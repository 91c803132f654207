// build: compute_80 sm_90a
// The activations of a screened step (screen.cuh): rows are taken, normalized and rounded,
// a row a block.
#include "norm.cuh"
#include "screen.cuh"

// Few are the rows to take and how many logits are wanted of each: they come with the launch,
// nothing has to be copied before it.
struct Few {
    int2 rows[64];
};

struct Taken {
    const float *x;
    const uint32_t *bad;
    const float *weights;
    float *norm;
    uint32_t *noted;
    int64_t rows, k, chunks, groups;
    uint4 *acts;
    Width *widths;
    int32_t *able, *wanted;
    unsigned long long *floors;
    uint32_t *done;
    float eps;
    bool lanes;
};

// together adds N values of the lanes; the first one becomes their largest where TOP is set.
template <int LANES, int N, bool TOP> __device__ __forceinline__ void together(double (&v)[N], double (*scratch)[LANES / 32]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
#pragma unroll
        for (int o = 16; o > 0; o /= 2) {
            const double other = __shfl_xor_sync(0xffffffffu, v[i], o);
            v[i] = TOP && i == 0 ? (v[i] <= other ? other : v[i]) : v[i] + other;
        }
        if ((threadIdx.x & 31) == 0) scratch[i][threadIdx.x >> 5] = v[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N; i++) {
        v[i] = scratch[i][0];
#pragma unroll
        for (int j = 1; j < LANES / 32; j++) v[i] = TOP && i == 0 ? (v[i] <= scratch[i][j] ? scratch[i][j] : v[i]) : v[i] + scratch[i][j];
    }
}

template <int LANES, int V> __device__ __forceinline__ void acts_block(const Few &few, const Taken &a) {
    __shared__ NormScratch scratch;
    __shared__ double sums[5][LANES / 32];
    const int64_t row = blockIdx.x;
    const bool real = row < a.rows;
    const int cols = (int)a.k;
    float4 w[V], v[V];
    pdl_release(); // the head's copy can be on its way meanwhile
    if (a.weights) load_row<LANES, V>(w, a.weights, cols, by_quads(a.weights, 0, cols));
    const double n = (double)cols, inverse = 1.0 / n;
    const double budget = 2147483647 / 255; // of Σ|y|: no dot exceeds int32
    const double share1 = (1 + 0x1p-30) / 32639, share2 = (1 + 0x1p-30) / (budget - n);
    const double u = 0x1p-24, m = 8 * ceil(n / kChunk) + 5, gamma = m * u / (1 - m * u), slack = 1 + 0x1p-20;
    pdl_wait();
    if (real) {
        const int64_t from = few.rows[row].x;
        load_row<LANES, V>(v, a.x + from * cols, cols, by_quads(a.x, cols, cols));
        if (threadIdx.x == 0) a.noted[row] = a.bad[from], a.wanted[row] = few.rows[row].y;
        float s;
        int32_t sum;
        norm_row<LANES, V>(v, a.weights != nullptr, w, inverse, a.eps, cols, a.norm + row * cols, Coded(nullptr, 0, 0), scratch, s, sum);
    } else {
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = make_float4(0, 0, 0, 0);
    }
    double all[3] = {};
#pragma unroll
    for (int i = 0; i < V; i++) {
        const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const double m = fabs((double)f[j]);
            all[0] = m <= all[0] ? all[0] : m;
            all[1] += m, all[2] += m * m; // which keeps a NaN
        }
    }
    together<LANES, 3, true>(all, sums);
    const double norm = sqrt(all[2]) * (1 + 0x1p-30);
    const bool good = norm >= floorActs && norm <= ceilNorm;
    const double step = fmax(all[0] * share1, all[1] * share2);
    const double t = good ? (double)__double2float_ru(step) : 1, share = good ? 1 / t : 0;
    double left[2] = {}; // Σ(x−x̂)², Σy
    const int64_t group = row >> 3, g = row & 7;
#pragma unroll
    for (int i = 0; i < V; i++) {
        const int at = threadIdx.x + i * LANES; // of four values
        if (at >= 16 * a.chunks) continue;
        const float f[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
        uint32_t high = 0, low = 0;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            // Any integer near the quotient will do: what is missed is measured.
            const int code = good ? __double2int_rn((double)f[j] * share) : 0;
            const double d = (double)f[j] - (double)code * t;
            left[0] += d * d, left[1] += code;
            high |= (uint32_t)(code - (int8_t)code >> 8 & 255) << (8 * j), low |= (uint32_t)(code & 255) << (8 * j);
        }
        uint32_t *to = (uint32_t *)(a.acts + ((at >> 4) * 2 * a.groups + group) * 32 + (a.lanes ? g * 4 + (at >> 2 & 3) : (at & 3) * 8 + g)) + (a.lanes ? at & 3 : at >> 2 & 3);
        to[0] = high, to[a.groups * 128] = low;
    }
    together<LANES, 2, false>(left, sums + 3);
    if (threadIdx.x != 0) return;
    const double miss = sqrt(left[0]) * (1 + 0x1p-30);
    Width width = {0.f, 0.f, 0, 1.f};
    if (good) {
        width.alpha = __double2float_ru(slack * (1 + gamma) * norm * share);
        width.beta = __double2float_ru(slack * (miss + gamma * norm + 8 * u * (norm + miss) + n * 0x1p-99) * share);
        width.sum = (int32_t)left[1], width.step = (float)t;
    }
    a.widths[row] = width;
    a.able[row] = good;
    a.floors[row] = 0, a.done[row] = 0;
}

// screen_acts…: a block for each of 8·groups rows; row i is row few.rows[i].x of x and goes
// to norm [rows][k] too; those from `rows` on become zeros. able 0 says that it has no useful
// bounds (not finite, zero, tiny or huge). lanes: acts are in the order of screen.cu, word and t
// in each other's place. floors and done are of the kernels behind: set to zero.
#define ACTS(name, LANES, VALUES)                                                                                                                          \
    extern "C" __global__ void __launch_bounds__(LANES, 1)                                                                                                  \
        name(__grid_constant__ const Few few, const float *x, const uint32_t *bad, const float *weights, float eps, float *norm, uint32_t *noted, int64_t rows, int64_t k, \
             int64_t chunks, int64_t groups, uint4 *acts, int64_t lanes, Width *widths, int32_t *able, int32_t *wanted, unsigned long long *floors, uint32_t *done) { \
        acts_block<LANES, VALUES / 4>(few, {x, bad, weights, norm, noted, rows, k, chunks, groups, acts, widths, able, wanted, floors, done, eps, lanes != 0});   \
    }
ACTS(screen_acts12, normLanes, 12)
ACTS(screen_acts32, normLanes, 32)
ACTS(screen_acts_wide, wideLanes, 32)
