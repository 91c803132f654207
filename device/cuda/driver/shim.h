// What gorgonia.org/cu lacks, in the shape that Go can call.
#ifndef TRITFLOW_SHIM_H
#define TRITFLOW_SHIM_H

#include <cuda.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tritflow_driver.h>

// A launch but for its parameters and its stream.
struct tf_config {
	unsigned int grid[3], block[3], cluster[3]; // cluster[0] = 0: none
	unsigned int shared;                        // dynamic, bytes
	int dependent, cooperative;
};

// The driver's form of c, whose attributes lie in attrs.
static inline CUlaunchConfig tf_launch_config(const struct tf_config *c, CUlaunchAttribute attrs[3], CUstream s) {
	unsigned int n = 0;
	memset(attrs, 0, 3 * sizeof *attrs);
	if (c->cluster[0]) {
		attrs[n].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
		attrs[n].value.clusterDim.x = c->cluster[0];
		attrs[n].value.clusterDim.y = c->cluster[1];
		attrs[n++].value.clusterDim.z = c->cluster[2];
	}
	if (c->dependent) {
		attrs[n].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
		attrs[n++].value.programmaticStreamSerializationAllowed = 1;
	}
	if (c->cooperative) {
		attrs[n].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
		attrs[n++].value.cooperative = 1;
	}
	CUlaunchConfig config = {
		.gridDimX = c->grid[0], .gridDimY = c->grid[1], .gridDimZ = c->grid[2],
		.blockDimX = c->block[0], .blockDimY = c->block[1], .blockDimZ = c->block[2],
		.sharedMemBytes = c->shared, .hStream = s, .attrs = attrs, .numAttrs = n,
	};
	return config;
}

static inline CUresult tf_launch_ex(CUfunction f, const struct tf_config *c, CUstream s, void **params) {
	CUlaunchAttribute attrs[3];
	CUlaunchConfig config = tf_launch_config(c, attrs, s);
	return cuLaunchKernelEx(&config, f, params, NULL);
}

// How many clusters of c's shape can be at work at once.
static inline CUresult tf_max_clusters(int *n, CUfunction f, const struct tf_config *c) {
	CUlaunchAttribute attrs[3];
	CUlaunchConfig config = tf_launch_config(c, attrs, NULL);
	return cuOccupancyMaxActiveClusters(n, f, &config);
}

static inline CUresult tf_launch(CUfunction f, const struct tf_config *c, CUstream s, void **params) {
	return cuLaunchKernel(f, c->grid[0], c->grid[1], c->grid[2], c->block[0], c->block[1], c->block[2], c->shared, s, params, NULL);
}

static inline CUresult tf_set_kernel_node(CUgraphExec exec, CUgraphNode node, CUfunction f, const struct tf_config *c, void **params) {
	CUDA_KERNEL_NODE_PARAMS p;
	memset(&p, 0, sizeof p);
	p.func = f;
	p.gridDimX = c->grid[0], p.gridDimY = c->grid[1], p.gridDimZ = c->grid[2];
	p.blockDimX = c->block[0], p.blockDimY = c->block[1], p.blockDimZ = c->block[2];
	p.sharedMemBytes = c->shared;
	p.kernelParams = params;
	return cuGraphExecKernelNodeSetParams(exec, node, &p);
}

// The node that was captured last on a stream which depends on it alone; NULL where the
// stream is not capturing or waits for several.
static inline CUresult tf_captured(CUstream s, CUgraphNode *node) {
	CUstreamCaptureStatus status;
	const CUgraphNode *deps = NULL;
	const CUgraphEdgeData *edges = NULL;
	size_t n = 0;
	*node = NULL;
	CUresult r = cuStreamGetCaptureInfo(s, &status, NULL, NULL, &deps, &edges, &n);
	if (r == CUDA_SUCCESS && status == CU_STREAM_CAPTURE_STATUS_ACTIVE && n == 1)
		*node = deps[0];
	return r;
}

static inline CUresult tf_update(CUgraphExec exec, CUgraph graph, int *why) {
	CUgraphExecUpdateResultInfo info;
	memset(&info, 0, sizeof info);
	CUresult r = cuGraphExecUpdate(exec, graph, &info);
	*why = (int)info.result;
	return r;
}

// Loads PTX (ended by a zero) or a cubin; log gets what the compiler says about a failure.
static inline CUresult tf_load(CUmodule *module, const void *image, char *log, size_t size) {
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *values[] = {log, (void *)(uintptr_t)size};
	return cuModuleLoadDataEx(module, image, 2, options, values);
}

static inline CUresult tf_pool_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, uint64_t *value) {
	cuuint64_t v = 0;
	CUresult r = cuMemPoolGetAttribute(pool, attribute, &v);
	*value = v;
	return r;
}

static inline CUresult tf_set_pool_threshold(CUmemoryPool pool, uint64_t value) {
	cuuint64_t v = value;
	return cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &v);
}

#endif
