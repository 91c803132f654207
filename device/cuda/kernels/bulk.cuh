// Bulk copies to shared memory, and what blocks of a cluster share (capability 9.0).
#pragma once
#include <cstdint>

// Weights on their way to shared memory: a barrier counts their bytes.
__device__ __forceinline__ void barrier_init(uint64_t *bar, uint32_t count = 1) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(bar);
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(count) : "memory");
}

__device__ __forceinline__ void barrier_expect(uint64_t *bar, uint32_t bytes) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(bar);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
}

__device__ __forceinline__ void barrier_arrive(uint64_t *bar) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(bar);
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
}

__device__ __forceinline__ void bulk_copy(void *dst, const void *src, uint32_t bytes, uint64_t *bar) {
    uint32_t to = (uint32_t)__cvta_generic_to_shared(dst), at = (uint32_t)__cvta_generic_to_shared(bar);
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(src), "r"(bytes), "r"(at)
                 : "memory");
}

// barrier_landed tells whether the phase of that parity is over.
__device__ __forceinline__ bool barrier_landed(uint64_t *bar, uint32_t parity) {
    uint32_t at = (uint32_t)__cvta_generic_to_shared(bar), done;
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.b32 %0, 1, 0, p;\n}" : "=r"(done) : "r"(at), "r"(parity) : "memory");
    return done;
}

// barrier_await waits for the end of the phase of that parity.
__device__ __forceinline__ void barrier_await(uint64_t *bar, uint32_t parity) {
    while (!barrier_landed(bar, parity)) {
    }
}

__device__ __forceinline__ uint32_t cluster_rank() {
    uint32_t r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}

__device__ __forceinline__ uint32_t cluster_size() {
    uint32_t n;
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(n));
    return n;
}

// cluster_meet waits for all blocks of the cluster, whose barriers are ready then. It makes nothing
// else seen, for which it would have to wait for all that is on its way to memory.
__device__ __forceinline__ void cluster_meet() { asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory"); }
