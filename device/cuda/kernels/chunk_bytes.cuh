// Keys and values of a chunk as Q8_0, half of the bytes: see chunk.cuh.
//
// Codes lie in fragments, a byte each, 128 more than they are; with g = lane/4, t = lane%4:
//
//	keys    fragment x*(D/64)+s, x = 4j+r: position 16(g/2) + 8j + 2r + g%2,
//	        dimensions 64s+16t .. +15; column g of the tile x of scores
//	values  fragment n: dimension 8n+g, positions 16t .. +15
//
// Columns 2t and 2t+1 of the tiles 4j .. 4j+3 are the positions 16t+8j .. +7. Behind the codes stand the
// scales: [64 positions][D/32] of keys, [D/32][64 positions] of values. What is read is halves: code times scale, rounded.
//
// A KV head's part of a page of keys is codes [positions][D], then scales [positions][D/32]; of values codes
// [D][positions], then scales [D/32][positions].
#pragma once
#include "chunk_halves.cuh"
#include "q8.cuh"

// halves_of are the halves of four codes.
__device__ __forceinline__ void halves_of(uint32_t codes, __half2 &low, __half2 &high) {
    // 1024 + code + 128, of which all bits are there.
    const uint32_t a = __byte_perm(codes, 0x64646464u, 0x4140), b = __byte_perm(codes, 0x64646464u, 0x4342);
    const __half2 middle = __half2half2(__ushort_as_half(0x6480)); // 1152
    low = __hsub2(*(const __half2 *)&a, middle), high = __hsub2(*(const __half2 *)&b, middle);
}

// scaled multiplies and never joins with what comes before.
__device__ __forceinline__ uint32_t scaled(__half2 codes, __half2 scale) {
    const __half2 v = __hmul2_rn(codes, scale);
    return *(const uint32_t *)&v;
}

template <int DIM> struct Bytes {
    using Word = uint8_t;
    static constexpr int each = DIM + DIM / 16;
    static constexpr bool rounds = true;
    static constexpr int D = DIM, keyParts = D / 64, keyMmas = 4;
    static constexpr int keyCodes = CHUNK * D / 512, codes = 2 * keyCodes, blocks = D / 32, scales = CHUNK * blocks; // fragments; scales of keys
    static constexpr int all = codes + 4 * scales / 512, bytes = all * 512;
    static_assert(4 * scales % 512 == 0, "whole fragments");

    static __device__ __forceinline__ int first(int x, int t) { return 16 * t + 8 * (x >> 2) + 2 * (x & 3); }
    static __device__ __forceinline__ int query_at(int s, int t) { return 64 * (s >> 1) + 16 * t + 8 * (s & 1); }

    static __device__ __forceinline__ __half *key_scales(const uint4 *frags) { return (__half *)(frags + codes * 32); }
    static __device__ __forceinline__ __half *value_scales(const uint4 *frags) { return key_scales(frags) + scales; }

    static __device__ __forceinline__ const uint4 *tile(const uint4 *frags, int x) { return frags + x * keyParts * 32 + (threadIdx.x & 31); }

    static __device__ __forceinline__ void key(uint32_t (&k)[2 * keyMmas], const uint4 *at, const uint4 *frags, int x, int i, int s) {
        const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
        const uint4 raw = at[(i * keyParts + s) * 32];
        const __half2 scale = __half2half2(key_scales(frags)[(first(x + i, g >> 1) + (g & 1)) * blocks + 2 * s + (t >> 1)]);
        const uint32_t w[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
        for (int m = 0; m < 4; m++) {
            __half2 a, b;
            halves_of(w[m], a, b);
            k[2 * m] = scaled(a, scale), k[2 * m + 1] = scaled(b, scale);
        }
    }

    // values: the N tiles lie in one block.
    template <int N> static __device__ __forceinline__ void values(uint4 (&v)[N], const uint4 *frags, int n, int j) {
        static_assert(N <= 4 && 4 % N == 0, "of one block");
        const int lane = threadIdx.x & 31, t = lane & 3;
        const uint4 s = *(const uint4 *)(value_scales(frags) + (n >> 2) * CHUNK + 16 * t + 8 * j);
        const __half2 scale[4] = {*(const __half2 *)&s.x, *(const __half2 *)&s.y, *(const __half2 *)&s.z, *(const __half2 *)&s.w};
#pragma unroll
        for (int i = 0; i < N; i++) {
            const uint2 raw = ((const uint2 *)(frags + (keyCodes + n + i) * 32 + lane))[j];
            __half2 h[4];
            halves_of(raw.x, h[0], h[1]);
            halves_of(raw.y, h[2], h[3]);
            v[i] = make_uint4(scaled(h[0], scale[0]), scaled(h[1], scale[1]), scaled(h[2], scale[2]), scaled(h[3], scale[3]));
        }
    }

    // part_first: a lane copies within eight positions for keys, 16 for values.
    static __device__ __forceinline__ int part_first(int part) {
        const int lane = threadIdx.x & 31;
        return part < 2 ? 16 * (lane >> 3) + 8 * (part & 1) : 16 * (lane & 3);
    }

    // lookup_first: scales that a lane copies may be of others' positions, in the same sixteen.
    static __device__ __forceinline__ int lookup_first(int part) { return part_first(part) & ~15; }

    static __device__ __forceinline__ int page(const Pages &kv, int part, int start) {
        int p = start + lookup_first(part);
        return p <= kv.last ? kv.table[(uint32_t)p / (uint32_t)kv.size] : 0;
    }

    // copy: parts 0 and 1 are keys, 2 and 3 the first and the last dimensions of values. Scales go along, those of
    // eights of positions, or of 16 bytes of keys.
    static __device__ __forceinline__ void copy(uint4 *frags, const Pages &kv, int part, int start, int page) {
        constexpr int run = 256 / D, pieces = D / 8; // positions of 16 bytes of scales of keys; such pieces of a part
        const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3, j = part & 1;
        const int p = start + part_first(part), slot = (uint32_t)p % (uint32_t)kv.size;
        const int64_t head = (int64_t)page * kv.heads + kv.head;
        if (part < 2) {
            const uint8_t *src = (const uint8_t *)kv.k + head * kv.size * each + (slot + (g & 1)) * D + 16 * t;
            uint4 *dst = frags + 4 * j * keyParts * 32 + lane;
#pragma unroll
            for (int r = 0; r < 4; r++) {
                const int bytes = p + (g & 1) + 2 * r <= kv.last ? 16 : 0;
#pragma unroll
                for (int s = 0; s < keyParts; s++) copy16(dst + (r * keyParts + s) * 32, src + 2 * r * D + 64 * s, bytes);
            }
            const int in = 32 * j + run * (lane % pieces), at = start + in;
            const int64_t other = (int64_t)__shfl_sync(0xffffffffu, page, 8 * (in >> 4)) * kv.heads + kv.head;
            src = (const uint8_t *)kv.k + other * kv.size * each + kv.size * D + (uint32_t)at % (uint32_t)kv.size * (2 * blocks);
            if (lane < pieces) copy16(key_scales(frags) + in * blocks, src, at <= kv.last ? 16 : 0);
        } else {
            const uint8_t *src = (const uint8_t *)kv.v + head * kv.size * each + (D / 2 * j + g) * kv.size + slot;
            uint4 *dst = frags + (keyCodes + D / 16 * j) * 32 + lane;
            const int bytes = p <= kv.last ? 16 : 0;
#pragma unroll
            for (int n = 0; n < D / 16; n++) {
                copy16(dst + n * 32, src, bytes);
                src += 8 * kv.size;
            }
            const int block = blocks / 2 * j + (lane >> 3) % (blocks / 2), in = 8 * (lane & 7), at = start + in;
            const int64_t other = (int64_t)__shfl_sync(0xffffffffu, page, in >> 4) * kv.heads + kv.head;
            src = (const uint8_t *)kv.v + other * kv.size * each + kv.size * D + 2 * (block * kv.size + (uint32_t)at % (uint32_t)kv.size);
            if (lane < 4 * blocks) copy16(value_scales(frags) + block * CHUNK + in, src, at <= kv.last ? 16 : 0);
        }
    }

    // fetch does nothing: codes are few.
    static __device__ __forceinline__ void fetch(const Pages &, int, int, int) {}

    // trim zeroes the scales of values beyond the last position among eight that this thread has copied.
    static __device__ __forceinline__ void trim(uint4 *frags, const Pages &kv, int part, int start) {
        const int lane = threadIdx.x & 31, keep = kv.last + 1 - (start + 8 * (lane & 7));
        if (part < 2 || keep <= 0 || keep >= 8 || lane >= 4 * blocks) return;
        trim_eight(*(uint4 *)(value_scales(frags) + (blocks / 2 * (part & 1) + (lane >> 3)) * CHUNK + 8 * (lane & 7)), keep);
    }

    // put rounds a position's key and value, D values of float32 each, a block a warp, and puts them into pages and a chunk.
    // Key is what gives value d as key[d]; k and v are where the KV head's part of the page begins.
    template <typename Key> static __device__ __forceinline__ void put(uint4 *frags, int in, Key key, const float *value, uint8_t *k, uint8_t *v, int size, int slot, int warp, int warps) {
        const int lane = threadIdx.x & 31;
        uint8_t *bytes = (uint8_t *)frags;
#pragma unroll
        for (int i = 0; i < (2 * blocks + warps - 1) / warps; i++) {
            const int b = warp + i * warps;
            if (b >= 2 * blocks) break;
            const int block = b % blocks, d = 32 * block + lane;
            const Q8 c = q8_of(b < blocks ? key[d] : value[d]);
            const uint8_t code = (uint8_t)(c.code + 128);
            if (b < blocks) {
                const int j = in >> 3 & 1, r = in >> 1 & 3, g = 2 * (in >> 4) + (in & 1);
                bytes[(((4 * j + r) * keyParts + (d >> 6)) * 32 + 4 * g + (d >> 4 & 3)) * 16 + (d & 15)] = k[slot * D + d] = code;
                if (lane == 0) key_scales(frags)[in * blocks + block] = ((__half *)(k + size * D))[slot * blocks + block] = c.scale;
            } else {
                bytes[((keyCodes + (d >> 3)) * 32 + 4 * (d & 7) + (in >> 4)) * 16 + (in & 15)] = v[d * size + slot] = code;
                if (lane == 0) value_scales(frags)[block * CHUNK + in] = ((__half *)(v + size * D))[block * size + slot] = c.scale;
            }
        }
    }
};

// Spread is Bytes as fragments of halves, for who reads them more than once.
template <int DIM> struct Spread : HalfFragments<DIM> {
    using From = Bytes<DIM>;
    using HalfFragments<DIM>::D;
    using HalfFragments<DIM>::keys;
    static __device__ __forceinline__ int first(int x, int t) { return From::first(x, t); }
    static __device__ __forceinline__ int query_at(int s, int t) { return From::query_at(s, t); }

    // spread is a warp's share of the work.
    static __device__ __forceinline__ void spread(uint4 *to, const uint4 *from, int warp, int warps) {
        to += threadIdx.x & 31;
        for (int i = warp; i < 8 * From::keyParts; i += warps) {
            uint32_t k[8];
            const int x = i / From::keyParts;
            From::key(k, From::tile(from, x), from, x, 0, i % From::keyParts);
            to[2 * i * 32] = make_uint4(k[0], k[1], k[2], k[3]);
            to[(2 * i + 1) * 32] = make_uint4(k[4], k[5], k[6], k[7]);
        }
        for (int i = warp; i < D / 4; i += warps) {
            uint4 v[1];
            From::template values<1>(v, from, i >> 1, i & 1);
            to[(keys + i) * 32] = v[0];
        }
    }
};
