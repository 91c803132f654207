// Integer tensor-core products, and groups of asynchronous copies.
#pragma once
#include "ptx.cuh"

// mma_s8 adds the product of a 16x32 and a 32x8 matrix of bytes to a 16x8
// matrix of int32, modulo 2^32. With
// g = lane/4 and t = lane%4 a lane holds
//
//	a  row g, k 4t…4t+3 | row g+8, same k | row g, k 16+4t… | row g+8, same k
//	b  column g, k 4t…4t+3 | column g, k 16+4t…
//	c  row g, columns 2t 2t+1 | row g+8, same columns
__device__ __forceinline__ void mma_s8(int32_t (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// copies_group ends a group of copy16; copies_left waits until at most N
// groups of this thread are under way.
__device__ __forceinline__ void copies_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void copies_left() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// once_at reads what nobody reads again, past the first cache.
__device__ __forceinline__ uint4 once_at(const uint4 *p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
