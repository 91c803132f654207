// Instructions that C++ has no words for.
#pragma once
#include <cstdint>
#include <cuda_fp16.h>

// mma_f16 adds the product of a 16x16 and a 16x8 matrix of halves to a 16x8
// matrix of float32. With g = lane/4 and t = lane%4 a lane holds
//
//	a  row g, k 2t 2t+1 | row g+8, same k | row g, k 2t+8 2t+9 | row g+8, same k
//	b  column g, k 2t 2t+1 | column g, k 2t+8 2t+9
//	c  row g, columns 2t 2t+1 | row g+8, same columns
__device__ __forceinline__ void mma_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// exp2_fast is 2^x within 2 ulp; 2^-inf is 0 and 2^0 is 1.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// copy16 begins to copy 16 bytes to shared memory, of which the first `bytes`
// (0 or 16) come from src and the others are zeros.
__device__ __forceinline__ void copy16(void *dst, const void *src, int bytes) {
    uint32_t to = (uint32_t)__cvta_generic_to_shared(dst);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(src), "r"(bytes) : "memory");
}

// copies_done waits for all copies that this thread began.
__device__ __forceinline__ void copies_done() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// fetch_l2 asks for `bytes` (a multiple of 16) to be brought into the L2
// cache, which all kernels see alike, so that it may stand before pdl_wait.
__device__ __forceinline__ void fetch_l2(const void *src, int bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(src), "r"(bytes) : "memory");
#endif
}
