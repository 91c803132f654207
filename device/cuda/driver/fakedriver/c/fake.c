// A CUDA driver for tests: memory is the host's, everything happens at once, and of all
// kernels it knows one, scale(float *y, int n, float a), which multiplies; those of the
// program can be loaded and launched, but do nothing. The environment says what there is
// and what goes wrong:
//
//	FAKE_VERSION=13000 FAKE_INIT=0 FAKE_DEVICES=1 FAKE_CAPABILITY=90 FAKE_MEMORY=1048576
//	FAKE_REFUSE=209                   no cubin can be loaded, for this reason
//	FAKE_FAIL=cuLaunchKernel=719      the call answers that; after 700 and above every call does
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int R;
typedef uint64_t P;
enum { OK = 0, INVALID = 1, OOM = 2, UNINITIALIZED = 3, NO_DEVICE = 100, BAD_DEVICE = 101, BAD_IMAGE = 200, BAD_PTX = 218, NOT_FOUND = 500, UPDATE_FAILED = 910 };

static int initialized, sticky;
static int64_t used;
static long number(const char *name, long otherwise) {
	const char *s = getenv(name);
	return s && *s ? atol(s) : otherwise;
}

// What a call must answer instead of working; 0 for none.
static R trouble(const char *call) {
	if (!initialized)
		return UNINITIALIZED;
	if (sticky)
		return sticky;
	const char *s = getenv("FAKE_FAIL");
	size_t n = strlen(call);
	if (!s || strncmp(s, call, n) != 0 || s[n] != '=')
		return OK;
	R r = atoi(s + n + 1);
	if (r >= 700 && r < 800)
		sticky = r;
	return r;
}
#define CHECK                          \
	do {                               \
		R r_ = trouble(__func__);      \
		if (r_)                        \
			return r_;                 \
	} while (0)

R cuInit(unsigned flags) {
	R r = number("FAKE_INIT", 0);
	initialized = r == OK && flags == 0;
	return r;
}
R cuDriverGetVersion(int *v) {
	*v = number("FAKE_VERSION", 13000);
	return OK;
}
R cuGetErrorName(R r, const char **s) {
	*s = r == OOM ? "CUDA_ERROR_OUT_OF_MEMORY" : r == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : r == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : r == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : NULL;
	return *s ? OK : INVALID;
}
R cuGetErrorString(R r, const char **s) { *s = r == OOM ? "out of memory" : NULL; return *s ? OK : INVALID; }
R cuDeviceGetCount(int *n) { CHECK; *n = number("FAKE_DEVICES", 1); return OK; }
R cuDeviceGet(int *d, int i) { CHECK; *d = i; return i >= 0 && i < number("FAKE_DEVICES", 1) ? OK : BAD_DEVICE; }
R cuDeviceGetName(char *s, int n, int d) { CHECK; snprintf(s, n, "Fake %d", d); return OK; }
R cuDeviceGetUuid_v2(void *u, int d) { CHECK; memset(u, d + 1, 16); return OK; }
R cuDeviceTotalMem_v2(size_t *n, int d) { (void)d; CHECK; *n = number("FAKE_MEMORY", 1 << 20); return OK; }
R cuDeviceGetPCIBusId(char *s, int n, int d) { CHECK; snprintf(s, n, "0000:%02x:00.0", d); return OK; }
R cuDeviceGetAttribute(int *v, int attribute, int d) {
	(void)d;
	CHECK;
	long cc = number("FAKE_CAPABILITY", 90);
	switch (attribute) {
	case 75: *v = cc / 10; break;
	case 76: *v = cc % 10; break;
	case 16: *v = 132; break;     // multiprocessors
	case 13: *v = 1980000; break; // kHz
	case 36: *v = 2619000; break; // kHz, memory
	case 37: *v = 5120; break;    // bus width
	case 95: *v = 1; break;       // cooperative launches
	case 97: *v = 232448; break;  // shared memory of a block at most
	case 20: *v = number("FAKE_MODE", 0); break;
	default: *v = 0;
	}
	return OK;
}
R cuDeviceCanAccessPeer(int *can, int a, int b) { CHECK; *can = a != b; return OK; }
R cuDevicePrimaryCtxRetain(void **c, int d) { CHECK; *c = (void *)(intptr_t)(d + 1); return OK; }
R cuDevicePrimaryCtxRelease_v2(int d) { (void)d; CHECK; return OK; }
R cuDevicePrimaryCtxReset_v2(int d) { (void)d; sticky = 0; return OK; }
R cuCtxSetCurrent(void *c) { (void)c; CHECK; return OK; }
R cuCtxSynchronize(void) { CHECK; return OK; }
R cuCtxEnablePeerAccess(void *c, unsigned f) { (void)c, (void)f; CHECK; static int on; return on++ ? 704 : OK; }

struct block { int64_t bytes, pad; };
R cuMemAlloc_v2(P *p, size_t n) {
	CHECK;
	if (used + (int64_t)n > number("FAKE_MEMORY", 1 << 20))
		return OOM;
	struct block *b = calloc(1, sizeof *b + n);
	b->bytes = n, used += n, *p = (P)(b + 1);
	return OK;
}
R cuMemFree_v2(P p) {
	CHECK;
	struct block *b = (struct block *)p - 1;
	used -= b->bytes;
	free(b);
	return OK;
}
R cuMemAllocAsync(P *p, size_t n, void *s) { (void)s; return cuMemAlloc_v2(p, n); }
R cuMemFreeAsync(P p, void *s) { (void)s; return cuMemFree_v2(p); }
R cuMemGetInfo_v2(size_t *free, size_t *total) { CHECK; *total = number("FAKE_MEMORY", 1 << 20); *free = *total - used; return OK; }
R cuMemHostAlloc(void **p, size_t n, unsigned f) { (void)f; CHECK; *p = malloc(n); return OK; }
R cuMemFreeHost(void *p) { CHECK; free(p); return OK; }
R cuMemHostGetDevicePointer_v2(P *d, void *p, unsigned f) { (void)f; CHECK; *d = (P)p; return OK; }
R cuMemcpyHtoD_v2(P d, const void *s, size_t n) { CHECK; memcpy((void *)d, s, n); return OK; }
R cuMemcpyDtoH_v2(void *d, P s, size_t n) { CHECK; memcpy(d, (void *)s, n); return OK; }
R cuMemcpyHtoDAsync_v2(P d, const void *s, size_t n, void *t) { (void)t; CHECK; memcpy((void *)d, s, n); return OK; }
R cuMemcpyDtoHAsync_v2(void *d, P s, size_t n, void *t) { (void)t; CHECK; memcpy(d, (void *)s, n); return OK; }
R cuMemcpyDtoDAsync_v2(P d, P s, size_t n, void *t) { (void)t; CHECK; memcpy((void *)d, (void *)s, n); return OK; }
R cuMemcpyPeerAsync(P d, void *dc, P s, void *sc, size_t n, void *t) { (void)dc, (void)sc, (void)t; CHECK; memcpy((void *)d, (void *)s, n); return OK; }
R cuMemsetD8_v2(P d, unsigned char v, size_t n) { CHECK; memset((void *)d, v, n); return OK; }
R cuMemsetD8Async(P d, unsigned char v, size_t n, void *t) { (void)t; CHECK; memset((void *)d, v, n); return OK; }

struct launch { unsigned grid, block; float *y; int n; float a; };
struct graph { int n; struct launch l[16]; };
static struct graph *capturing;

R cuStreamCreateWithPriority(void **s, unsigned f, int p) { (void)f, (void)p; CHECK; *s = malloc(1); return OK; }
R cuStreamDestroy_v2(void *s) { CHECK; free(s); return OK; }
R cuStreamSynchronize(void *s) { (void)s; CHECK; return OK; }
R cuStreamQuery(void *s) { (void)s; CHECK; return OK; }
R cuStreamWaitEvent(void *s, void *e, unsigned f) { (void)s, (void)e, (void)f; CHECK; return OK; }
R cuEventCreate(void **e, unsigned f) { (void)f; CHECK; *e = malloc(1); return OK; }
R cuEventDestroy_v2(void *e) { CHECK; free(e); return OK; }
R cuEventRecord(void *e, void *s) { (void)e, (void)s; CHECK; return OK; }
R cuEventSynchronize(void *e) { (void)e; CHECK; return OK; }
R cuEventQuery(void *e) { (void)e; CHECK; return number("FAKE_BUSY", 0) ? 600 : OK; }
// A driver from before the second version of this function.
R cuEventElapsedTime(float *ms, void *a, void *b) { (void)a, (void)b; CHECK; *ms = 1.5f; return OK; }

R cuModuleLoadDataEx(void **m, const void *image, unsigned n, const int *options, void **values) {
	CHECK;
	if (memcmp(image, "\177ELF", 4) == 0 && number("FAKE_REFUSE", 0))
		return number("FAKE_REFUSE", 0);
	if (strncmp(image, "scale", 5) != 0 && strncmp(image, "//", 2) != 0 && memcmp(image, "\177ELF", 4) != 0) {
		for (unsigned i = 0; i < n; i++)
			if (options[i] == 5)
				strcpy(values[i], "ptxas: this is no module\n");
		return strncmp(image, "ptx", 3) == 0 ? BAD_PTX : BAD_IMAGE;
	}
	*m = malloc(1);
	return OK;
}
static char scale, other;
R cuModuleGetFunction(void **f, void *m, const char *name) {
	(void)m;
	CHECK;
	*f = strcmp(name, "scale") == 0 ? &scale : &other;
	return strcmp(name, "missing") == 0 ? NOT_FOUND : OK;
}
R cuModuleGetGlobal_v2(P *p, size_t *n, void *m, const char *name) {
	(void)m;
	CHECK;
	static uint64_t value = 1 << 20;
	*p = (P)&value, *n = sizeof value;
	return strstr(name, "ops") ? OK : NOT_FOUND;
}
R cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, void *f, int threads, size_t shared) { (void)f, (void)threads, (void)shared; CHECK; *n = 2; return OK; }
R cuModuleUnload(void *m) { CHECK; free(m); return OK; }
R cuFuncGetAttribute(int *v, int a, void *f) { (void)f; CHECK; *v = 10 + a; return OK; }
R cuFuncSetAttribute(void *f, int a, int v) { (void)f, (void)a; CHECK; return v <= 232448 ? OK : INVALID; }

static struct launch launch(unsigned grid, unsigned block, void **p) {
	struct launch l = {grid, block, *(float **)p[0], *(int *)p[1], *(float *)p[2]};
	return l;
}
static void run(struct launch *l) {
	for (unsigned i = 0; i < l->grid * l->block && i < (unsigned)l->n; i++)
		l->y[i] *= l->a;
}
R cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s, void **p, void **extra) {
	(void)shared, (void)s, (void)extra;
	CHECK;
	if (f != &scale)
		return OK;
	if (gy * gz * by * bz != 1)
		return INVALID;
	struct launch l = launch(gx, bx, p);
	if (capturing)
		capturing->l[capturing->n++] = l;
	else
		run(&l);
	return OK;
}
struct attribute { int id; char pad[4]; int value[16]; };
struct config { unsigned gx, gy, gz, bx, by, bz, shared; void *stream; struct attribute *attrs; unsigned n; };
R cuOccupancyMaxActiveClusters(int *n, void *f, const struct config *c) {
	(void)f;
	CHECK;
	*n = 616 / c->attrs->value[0];
	return OK;
}
R cuLaunchKernelEx(const struct config *c, void *f, void **p, void **extra) {
	CHECK;
	if (f != &scale)
		return OK;
	int cluster = 0, dependent = 0;
	for (unsigned i = 0; i < c->n; i++) {
		if (c->attrs[i].id == 4)
			cluster = c->attrs[i].value[0] * c->attrs[i].value[1] * c->attrs[i].value[2];
		if (c->attrs[i].id == 6)
			dependent = c->attrs[i].value[0];
	}
	if (cluster != 2 || dependent != 1)
		return INVALID;
	return cuLaunchKernel(f, c->gx, c->gy, c->gz, c->bx, c->by, c->bz, c->shared, c->stream, p, extra);
}

R cuStreamBeginCapture_v2(void *s, int mode) { (void)s, (void)mode; CHECK; capturing = calloc(1, sizeof *capturing); return OK; }
R cuStreamEndCapture(void *s, void **g) { (void)s; CHECK; *g = capturing; capturing = NULL; return OK; }
R cuStreamGetCaptureInfo_v3(void *s, int *status, uint64_t *id, void **g, void *const **deps, void *edges, size_t *n) {
	(void)s, (void)id, (void)g, (void)edges;
	CHECK;
	static void *last;
	*status = capturing != NULL;
	*n = capturing && capturing->n > 0;
	if (*n)
		last = (void *)(intptr_t)capturing->n, *deps = &last;
	return OK;
}
R cuGraphGetNodes(struct graph *g, void **nodes, size_t *n) {
	CHECK;
	for (int i = 0; nodes && i < g->n; i++)
		nodes[i] = (void *)(intptr_t)(i + 1);
	*n = g->n;
	return OK;
}
R cuGraphNodeGetType(void *n, int *t) { (void)n; CHECK; *t = 0; return OK; }
R cuGraphInstantiateWithFlags(void **e, struct graph *g, unsigned long long f) { (void)f; CHECK; *e = memcpy(malloc(sizeof *g), g, sizeof *g); return OK; }
R cuGraphLaunch(struct graph *e, void *s) {
	(void)s;
	CHECK;
	for (int i = 0; i < e->n; i++)
		run(&e->l[i]);
	return OK;
}
R cuGraphUpload(void *e, void *s) { (void)e, (void)s; CHECK; return OK; }
struct node { void *f; unsigned gx, gy, gz, bx, by, bz, shared; void **params; };
R cuGraphExecKernelNodeSetParams_v2(struct graph *e, void *n, const struct node *p) { CHECK; e->l[(intptr_t)n - 1] = launch(p->gx, p->bx, p->params); return OK; }
R cuGraphExecUpdate_v2(struct graph *e, struct graph *g, void *info) {
	(void)info;
	CHECK;
	if (e->n != g->n)
		return UPDATE_FAILED;
	*e = *g;
	return OK;
}
R cuGraphDestroy(void *g) { CHECK; free(g); return OK; }
R cuGraphExecDestroy(void *e) { CHECK; free(e); return OK; }
