// Products of codes of a head, in registers, with activations of screen.cuh in shared memory, on
// the tensor cores (capability 9.0 alone). They run on by themselves: what they read and add to
// may not be touched until they have been waited for.
#pragma once
#include <cstdint>

// acts_at describes activations to wgmma: eight times 16 bytes each, 128 bytes apart along
// the values, 512 bytes along the rows.
__device__ __forceinline__ uint64_t acts_at(const void *p) {
    const uint64_t at = (uint32_t)__cvta_generic_to_shared(p);
    return at >> 4 | (uint64_t)(128 >> 4) << 16 | (uint64_t)(512 >> 4) << 32;
}

// All lanes of a warp come here together, although each has waited for itself.
__device__ __forceinline__ void wgmma_begin() {
    __syncwarp();
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N> __device__ __forceinline__ void wgmma_left() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory"); }

#define D4(i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3])
#define D16(i) D4(i), D4(i + 4), D4(i + 8), D4(i + 12)
#define R8_0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define R8_1 "%8,%9,%10,%11,%12,%13,%14,%15"
#define R8_2 "%16,%17,%18,%19,%20,%21,%22,%23"
#define R8_3 "%24,%25,%26,%27,%28,%29,%30,%31"
#define R8_4 "%32,%33,%34,%35,%36,%37,%38,%39"
#define R8_5 "%40,%41,%42,%43,%44,%45,%46,%47"
#define R8_6 "%48,%49,%50,%51,%52,%53,%54,%55"
#define R8_7 "%56,%57,%58,%59,%60,%61,%62,%63"
#define WGMMA(n, regs, a0, a1, a2, a3, b, p, ...)                                                                                         \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k32.s32.s8.s8 {" regs "}, {%" a0 \
                 ",%" a1 ",%" a2 ",%" a3 "}, %" b ", p;\n}"                                                                                 \
                 : __VA_ARGS__                                                                                                           \
                 : "r"(codes[0]), "r"(codes[1]), "r"(codes[2]), "r"(codes[3]), "l"(acts), "r"(add))

// wgmma_s8 gives, or adds to d, the products of 64 rows of codes with 8·G rows of both planes.
// As in mma_s8, d[4j…] are of columns 8j + 2t, 8j + 2t + 1 of row g, then of row g + 8.
template <int G> __device__ __forceinline__ void wgmma_s8(int32_t (&d)[8 * G], const uint32_t *codes, uint64_t acts, int add) {
    if constexpr (G == 1)
        WGMMA("16", R8_0, "8", "9", "10", "11", "12", "13", D4(0), D4(4));
    else if constexpr (G == 2)
        WGMMA("32", R8_0 "," R8_1, "16", "17", "18", "19", "20", "21", D16(0));
    else if constexpr (G == 4)
        WGMMA("64", R8_0 "," R8_1 "," R8_2 "," R8_3, "32", "33", "34", "35", "36", "37", D16(0), D16(16));
    else
        WGMMA("128", R8_0 "," R8_1 "," R8_2 "," R8_3 "," R8_4 "," R8_5 "," R8_6 "," R8_7, "64", "65", "66", "67", "68", "69", D16(0), D16(16), D16(32), D16(48));
}
