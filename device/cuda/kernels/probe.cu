// build: compute_75 compute_80 sm_90a
// What a card can do at most, measured with work that does nothing else: reading memory,
// and int8 products on the tensor cores.

#include <stdint.h>

// Reads n vectors of 16 bytes. The condition never holds for buffers filled with zeros, but
// the compiler does not know and must read them.
extern "C" __global__ void __launch_bounds__(512) probe_read(const uint4 *__restrict__ p, unsigned long long n, unsigned *out) {
	const unsigned long long step = (unsigned long long)gridDim.x * blockDim.x;
	unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x;
	unsigned sum = 0;
	for (; i + 7 * step < n; i += 8 * step) {
		uint4 v[8];
#pragma unroll
		for (int k = 0; k < 8; k++)
			v[k] = __ldcs(p + i + k * step);
#pragma unroll
		for (int k = 0; k < 8; k++)
			sum |= v[k].x | v[k].y | v[k].z | v[k].w;
	}
	for (; i < n; i += step) {
		uint4 v = __ldcs(p + i);
		sum |= v.x | v.y | v.z | v.w;
	}
	if (sum == 0x5bd1e995u)
		*out = sum;
}

// A block has 128 threads; probe_int8_ops is what it does in a round, a product and its
// addition being two operations.
static __device__ __forceinline__ unsigned noise(unsigned x) {
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// wgmma: 64 x 256 x 32 a warpgroup, both factors in shared memory without swizzle, eight rows
// of 16 bytes standing together.
extern "C" __constant__ unsigned long long probe_int8_ops;
__constant__ unsigned long long probe_int8_ops = 4ull * 2 * 64 * 256 * 32;

static __device__ __forceinline__ uint64_t descriptor(const void *p) {
	uint64_t at = (uint64_t)__cvta_generic_to_shared(p);
	return (at & 0x3ffff) >> 4 | (uint64_t)(128 >> 4) << 16 | (uint64_t)(256 >> 4) << 32;
}

#define R8(i) "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3]), "+r"(d[i + 4]), "+r"(d[i + 5]), "+r"(d[i + 6]), "+r"(d[i + 7])
#define R32(i) R8(i), R8(i + 8), R8(i + 16), R8(i + 24)

extern "C" __global__ void __launch_bounds__(128) probe_int8(int rounds, int *out) {
	__shared__ __align__(1024) unsigned a[64 * 32 / 4], b[256 * 32 / 4];
	for (int i = threadIdx.x; i < 64 * 32 / 4; i += 128)
		a[i] = noise(i);
	for (int i = threadIdx.x; i < 256 * 32 / 4; i += 128)
		b[i] = noise(i + 4096);
	__syncthreads();
	asm volatile("fence.proxy.async;" ::: "memory");
	int d[128];
#pragma unroll
	for (int i = 0; i < 128; i++)
		d[i] = 0;
	const uint64_t da = descriptor(a), db = descriptor(b);
	for (int r = 0; r < rounds; r++) {
		asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
		for (int k = 0; k < 4; k++)
			asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
			             "wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {"
			             "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
			             "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
			             "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
			             "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
			             "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
			             "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
			             "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
			             "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
			             "%128, %129, p;\n}"
			             : R32(0), R32(32), R32(64), R32(96)
			             : "l"(da), "l"(db), "r"(1));
		asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
		asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
	}
	int sum = 0;
#pragma unroll
	for (int i = 0; i < 128; i++)
		sum ^= d[i];
	if (sum == 0x5bd1e995)
		*out = sum;
}

#else

#if __CUDA_ARCH__ >= 800
#define SHAPE 16 * 8 * 32
static __device__ __forceinline__ void product(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
	asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
	             : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
#define SHAPE 8 * 8 * 16
static __device__ __forceinline__ void product(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
	asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
	             : "+r"(d[0]), "+r"(d[1])
	             : "r"(a[0]), "r"(b[0]));
}
#endif

#define CHAINS 8

// Four warps, each with so many sums that do not wait for each other.
extern "C" __constant__ unsigned long long probe_int8_ops;
__constant__ unsigned long long probe_int8_ops = 4ull * CHAINS * 2 * SHAPE;

extern "C" __global__ void __launch_bounds__(128) probe_int8(int rounds, int *out) {
	int d[CHAINS][4] = {};
	unsigned a[4], b[2];
#pragma unroll
	for (int i = 0; i < 4; i++)
		a[i] = noise(threadIdx.x * 8 + i);
	b[0] = noise(threadIdx.x * 8 + 4);
	b[1] = noise(threadIdx.x * 8 + 5);
	for (int r = 0; r < rounds; r++)
#pragma unroll
		for (int c = 0; c < CHAINS; c++)
			product(d[c], a, b);
	int sum = 0;
#pragma unroll
	for (int c = 0; c < CHAINS; c++)
		sum ^= d[c][0] ^ d[c][1] ^ d[c][2] ^ d[c][3];
	if (sum == 0x5bd1e995)
		*out = sum;
}

#endif
