// Ternary weights × int8 activations on the int8 tensor cores: layout, products
// and what is done with a finished product. Integer sums are exact, so nothing
// here depends on how the work is cut.
//
// Weights are codes 0, 1, 2 (trit + 1), two bits each, in tiles of 16 outputs × 128
// inputs (512 bytes). A lane (g = lane/4, t = lane%4) of a warp reads 16
// bytes of a tile: words w0..w3, whose byte b holds
//
//	bits 0-1  output g,     input 32t + 16(i/2) + 4(i%2) + b      (i: number of the word)
//	bits 2-3  output g + 8, the same input
//	bits 4-5  output g,     that input + 8
//	bits 6-7  output g + 8, that input + 8
//
// and 32 bytes of every activation row: 32t.. of its 128. So one mma.m16n8k32
// takes its A fragment from two words with a mask, and the codes of output g + 8
// count four times, which is divided out at the end.
#pragma once
#include "common.cuh"

// Out says what becomes of the products of one linear layer, or of several
// that read the same input and stand one below the other.
struct Out {
    float *dst;           // [rows][ld]
    int64_t ld;
    const int32_t *map;   // column of each output, in tile order; -1: padding
    const float *scale;   // two of each tile: weight scale of outputs 0-7 and 8-15
    const float *factor;  // nullptr, or a second factor, as scale
    const float *bias;    // nullptr, or by column
    uint32_t *bad;        // for the residual stream
    int64_t stage;
    int64_t act;          // gates: 0 SiLU, 1 ReLU²
};

enum Epilogue { STORE, RESIDUAL, GATED };

__device__ __forceinline__ float gate_of(float gate, float up, int64_t act) {
    if (act == 1) {
        float r = gate <= 0.f ? 0.f : gate;
        return __fmul_rn(__fmul_rn(r, r), up);
    }
    return __fmul_rn(__fdiv_rn(gate, 1.f + expf(-gate)), up);
}

// quotient is a/b rounded to nearest, inverse being 1/b rounded so. The second correction
// starts within one unit in the last place, from where it ends at the nearest (Markstein);
// what is not finite or near that is left to the division.
__device__ __forceinline__ float quotient(float a, float b, float inverse) {
    float q = __fmul_rn(a, inverse);
    if (!(fabsf(q) < 1e38f)) return __fdiv_rn(a, b);
    q = __fmaf_rn(__fmaf_rn(-q, b, a), inverse, q);
    return __fmaf_rn(__fmaf_rn(-q, b, a), inverse, q);
}

// Finish is what a thread needs to finish outputs g and g + 8 of a tile: prepare reads
// what is known before the activations are, fetch the residual stream, done does it.
struct Finish {
    int c0, c1;
    float scale0, scale1, factor0, factor1, bias0, bias1, was0, was1;

    __device__ __forceinline__ void prepare(const Out &o, int tile, int g) {
        c0 = o.map[16 * tile + g], c1 = o.map[16 * tile + g + 8];
        scale0 = o.scale[2 * tile], scale1 = o.scale[2 * tile + 1];
        factor0 = factor1 = 1, bias0 = bias1 = 0;
        if (o.factor) factor0 = o.factor[2 * tile], factor1 = o.factor[2 * tile + 1];
        if (o.bias && c0 >= 0) bias0 = o.bias[c0];
        if (o.bias && c1 >= 0) bias1 = o.bias[c1];
    }

    template <int EPI> __device__ __forceinline__ void fetch(const Out &o, int64_t row) {
        if (EPI != RESIDUAL) return;
        const float *from = o.dst + row * o.ld;
        was0 = c0 >= 0 ? from[c0] : 0, was1 = c1 >= 0 ? from[c1] : 0;
    }

    // done takes the dots with activation row `row`, whose scale is s.
    template <int EPI> __device__ __forceinline__ void done(const Out &o, int64_t row, int lo, int hi, float s) const {
        const float inverse = __frcp_rn(s);
        end<EPI>(o, row, quotient((float)lo, s, inverse), quotient((float)hi, s, inverse));
    }

    // end takes the dots divided by the scale.
    template <int EPI> __device__ __forceinline__ void end(const Out &o, int64_t row, float lo, float hi) const {
        float y0 = __fmul_rn(__fmul_rn(lo, scale0), factor0);
        float y1 = __fmul_rn(__fmul_rn(hi, scale1), factor1);
        if (o.bias) y0 += bias0, y1 += bias1;
        float *dst = o.dst + row * o.ld;
        if (EPI == GATED) {
            if (c0 >= 0) dst[c0] = gate_of(y0, y1, o.act);
            return;
        }
        if (EPI == RESIDUAL) {
            y0 += was0, y1 += was1;
            if (c0 >= 0) note_bad(o.bad, (int)row, (int)o.stage, c0, y0);
            if (c1 >= 0) note_bad(o.bad, (int)row, (int)o.stage, c1, y1);
        }
        if (c0 >= 0) dst[c0] = y0;
        if (c1 >= 0) dst[c1] = y1;
    }
};

__device__ __forceinline__ void mma_u8s8(int (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Codes is a lane's part of a weight tile, unpacked for two of its four products.
struct Codes {
    uint32_t a[2][4];
    __device__ __forceinline__ void unpack(uint32_t w0, uint32_t w1) {
        const uint32_t lo = 0x03030303u, hi = 0x0c0c0c0cu;
        a[0][0] = w0 & lo, a[0][1] = w0 & hi, a[0][2] = w1 & lo, a[0][3] = w1 & hi;
        w0 >>= 4, w1 >>= 4;
        a[1][0] = w0 & lo, a[1][1] = w0 & hi, a[1][2] = w1 & lo, a[1][3] = w1 & hi;
    }
};

// tile_mul adds the products of one weight tile (w) and 8·NT activation rows (b, the
// lane's 32 bytes of each) to acc.
template <int NT>
__device__ __forceinline__ void tile_mul(int (&acc)[NT][4], const uint4 &w, const uint4 (&b)[NT][2]) {
    Codes c;
    c.unpack(w.x, w.y);
#pragma unroll
    for (int n = 0; n < NT; n++) {
        mma_u8s8(acc[n], c.a[0][0], c.a[0][1], c.a[0][2], c.a[0][3], b[n][0].x, b[n][0].y);
        mma_u8s8(acc[n], c.a[1][0], c.a[1][1], c.a[1][2], c.a[1][3], b[n][0].z, b[n][0].w);
    }
    c.unpack(w.z, w.w);
#pragma unroll
    for (int n = 0; n < NT; n++) {
        mma_u8s8(acc[n], c.a[0][0], c.a[0][1], c.a[0][2], c.a[0][3], b[n][1].x, b[n][1].y);
        mma_u8s8(acc[n], c.a[1][0], c.a[1][1], c.a[1][2], c.a[1][3], b[n][1].z, b[n][1].w);
    }
}

// stream_load reads weights that no other warp will want soon.
__device__ __forceinline__ uint4 stream_load(const uint4 *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
