// A CUDA driver for tests: memory is the host's, and of all kernels it knows one,
// scale(float *y, int n, float a), which multiplies; those of the program can be loaded
// and launched, but do nothing. What is put into a stream is done as late as a driver may:
// when somebody waits for it. Pinned memory that was written meanwhile, while a copy of it
// was under way, is a fault. The environment says what there is and what goes wrong:
//
//	FAKE_VERSION=13000 FAKE_INIT=0 FAKE_DEVICES=1 FAKE_CAPABILITY=90 FAKE_MEMORY=1048576
//	FAKE_REFUSE=209                   no cubin can be loaded, for this reason
//	FAKE_FAIL=cuLaunchKernel=719      the call answers that; after 700 and above every call does
//	FAKE_FAIL=cuLaunchKernel#3=2      only the third one does since that was said; *#3=2: of all calls
//
// Streams, events, modules, graphs and pieces of pinned memory take a byte of the GPU's memory each, so that
// cuMemGetInfo tells of those that were left behind.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int R;
typedef uint64_t P;
enum { OK = 0, INVALID = 1, OOM = 2, UNINITIALIZED = 3, NO_DEVICE = 100, BAD_DEVICE = 101, BAD_IMAGE = 200, BAD_PTX = 218, NOT_FOUND = 500, UPDATE_FAILED = 910 };

static int initialized, sticky;
static int64_t used;
static void *made(void *p) { return used++, p; }
static void unmade(void *p) { used--, free(p); }
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
	static char said[100];
	static long calls;
	const char *s = getenv("FAKE_FAIL");
	if (!s || strcmp(s, said) != 0)
		calls = 0, snprintf(said, sizeof said, "%s", s ? s : "");
	size_t n = s && *s == '*' ? 1 : strlen(call);
	if (!s || (*s != '*' && strncmp(s, call, n) != 0) || (s[n] != '=' && s[n] != '#'))
		return OK;
	const char *code = strchr(s + n, '=');
	if (s[n] == '#' && ++calls != atol(s + n + 1))
		return OK;
	R r = atoi(code + 1);
	if (r >= 700 && r < 800)
		sticky = r;
	return r;
}
static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP; // GPUs have threads of their own
static void leave(pthread_mutex_t **m) { pthread_mutex_unlock(*m); }
#define CHECK                                                          \
	pthread_mutex_t *held_ __attribute__((cleanup(leave))) = &mutex;   \
	pthread_mutex_lock(held_);                                         \
	do {                                                               \
		R r_ = trouble(__func__);                                      \
		if (r_)                                                        \
			return r_;                                                 \
	} while (0)

// What is in a stream.
struct stream;
struct launch { unsigned grid, block; float *y; int n; float a; };
struct graph { int n; struct launch l[16]; };
struct op {
	enum { COPY, SET, FREE, WAIT, RUN, NOTHING } kind;
	void *to;
	const void *from;
	void *was; // what pinned memory had when the copy was asked for
	size_t n;
	int value;
	struct stream *other; // WAIT: until it has done so many
	long until;
	struct graph graph;
	struct op *next;
};
struct stream { long asked, done; struct op *first, **last; struct stream *all; };
struct event { struct stream *stream; long at; int asked; };
static struct stream standard = {.last = &standard.first}; // the driver's own, for which others do not wait
static struct stream *streams = &standard;
static struct { char *p; size_t n; } pinned[256];

static void run(struct launch *l) {
	for (unsigned i = 0; i < l->grid * l->block && i < (unsigned)l->n; i++)
		l->y[i] *= l->a;
}
static void release(void *p);

// Does what was asked of a stream, up to a number.
static void until(struct stream *s, long number) {
	while (s->done < number && s->first) {
		struct op *o = s->first;
		if (!(s->first = o->next))
			s->last = &s->first;
		s->done++;
		switch (o->kind) {
		case COPY:
			if (o->was && memcmp(o->was, o->from, o->n) != 0) {
				fprintf(stderr, "fake driver: pinned memory was written while a copy of it was under way\n");
				sticky = 719;
			}
			memmove(o->to, o->from, o->n);
			break;
		case SET: memset(o->to, o->value, o->n); break;
		case FREE: release(o->to); break;
		case WAIT: until(o->other, o->until); break;
		case RUN:
			for (int i = 0; i < o->graph.n; i++)
				run(&o->graph.l[i]);
			break;
		case NOTHING: break;
		}
		free(o->was), free(o);
	}
}
static void everything(void) {
	for (struct stream *s = streams; s; s = s->all)
		until(s, s->asked);
}
static struct op *ask(void *stream, int kind) {
	struct stream *s = stream ? stream : &standard;
	struct op *o = calloc(1, sizeof *o);
	o->kind = kind;
	*s->last = o, s->last = &o->next, s->asked++;
	return o;
}
static int is_pinned(const char *p) {
	for (int i = 0; i < 256; i++)
		if (pinned[i].p && p >= pinned[i].p && p < pinned[i].p + pinned[i].n)
			return 1;
	return 0;
}
// Other memory of the host has been read when the call returns, and what stands before it is over.
static R copy(void *to, const void *from, size_t n, void *stream, int from_host, int to_host) {
	struct stream *s = stream;
	if ((from_host && !is_pinned(from)) || (to_host && !is_pinned(to))) {
		until(s, s->asked);
		memmove(to, from, n);
		return OK;
	}
	struct op *o = ask(stream, COPY);
	o->to = to, o->from = from, o->n = n;
	if (from_host)
		o->was = memcpy(malloc(n + 1), from, n);
	return OK;
}

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
R cuDevicePrimaryCtxReset_v2(int d) { (void)d; sticky = used = 0; memset(pinned, 0, sizeof pinned); return OK; }
R cuCtxSetCurrent(void *c) { (void)c; CHECK; return OK; }
R cuCtxSynchronize(void) { CHECK; everything(); return sticky; }
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
static void release(void *p) {
	struct block *b = (struct block *)p - 1;
	used -= b->bytes;
	free(b);
}
R cuMemFree_v2(P p) { CHECK; everything(); release((void *)p); return OK; }
R cuMemAllocAsync(P *p, size_t n, void *s) { (void)s; return cuMemAlloc_v2(p, n); }
R cuMemFreeAsync(P p, void *s) { CHECK; ask(s, FREE)->to = (void *)p; return OK; }
R cuMemGetInfo_v2(size_t *free, size_t *total) { CHECK; *total = number("FAKE_MEMORY", 1 << 20); *free = *total - used; return OK; }
R cuMemHostAlloc(void **p, size_t n, unsigned f) {
	(void)f;
	CHECK;
	for (int i = 0; i < 256; i++)
		if (!pinned[i].p) {
			*p = pinned[i].p = made(malloc(n)), pinned[i].n = n;
			return OK;
		}
	return OOM;
}
R cuMemFreeHost(void *p) {
	CHECK;
	everything();
	for (int i = 0; i < 256; i++)
		if (pinned[i].p == p)
			pinned[i].p = NULL;
	unmade(p);
	return OK;
}
R cuMemHostGetDevicePointer_v2(P *d, void *p, unsigned f) { (void)f; CHECK; *d = (P)p; return OK; }
R cuMemcpyHtoD_v2(P d, const void *s, size_t n) { CHECK; until(&standard, standard.asked); memcpy((void *)d, s, n); return OK; }
R cuMemcpyDtoH_v2(void *d, P s, size_t n) { CHECK; until(&standard, standard.asked); memcpy(d, (void *)s, n); return OK; }
R cuMemcpyHtoDAsync_v2(P d, const void *s, size_t n, void *t) { CHECK; return copy((void *)d, s, n, t, 1, 0); }
R cuMemcpyDtoHAsync_v2(void *d, P s, size_t n, void *t) { CHECK; return copy(d, (void *)s, n, t, 0, 1); }
R cuMemcpyDtoDAsync_v2(P d, P s, size_t n, void *t) { CHECK; return copy((void *)d, (void *)s, n, t, 0, 0); }
R cuMemcpyPeerAsync(P d, void *dc, P s, void *sc, size_t n, void *t) { (void)dc, (void)sc; CHECK; return copy((void *)d, (void *)s, n, t, 0, 0); }
R cuMemsetD8Async(P d, unsigned char v, size_t n, void *t) {
	CHECK;
	struct op *o = ask(t, SET);
	o->to = (void *)d, o->value = v, o->n = n;
	return OK;
}
R cuMemsetD8_v2(P d, unsigned char v, size_t n) { CHECK; return cuMemsetD8Async(d, v, n, NULL); } // returns before it is done

static struct graph *capturing;

R cuStreamCreateWithPriority(void **p, unsigned f, int priority) {
	(void)f, (void)priority;
	CHECK;
	struct stream *s = *p = made(calloc(1, sizeof *s));
	s->last = &s->first, s->all = streams, streams = s;
	return OK;
}
R cuStreamDestroy_v2(void *s) { CHECK; until(s, ((struct stream *)s)->asked); used--; return OK; } // events may name it
R cuStreamSynchronize(void *s) { CHECK; s = s ? s : &standard; until(s, ((struct stream *)s)->asked); return sticky; }
R cuStreamQuery(void *s) { CHECK; until(s, ((struct stream *)s)->asked); return sticky; }
R cuStreamWaitEvent(void *s, void *e, unsigned f) {
	(void)f;
	CHECK;
	struct event *event = e;
	if (!event->stream)
		return OK;
	struct op *o = ask(s, WAIT);
	o->other = event->stream, o->until = event->at;
	return OK;
}
R cuEventCreate(void **e, unsigned f) { (void)f; CHECK; *e = made(calloc(1, sizeof(struct event))); return OK; }
R cuEventDestroy_v2(void *e) { CHECK; unmade(e); return OK; }
R cuEventRecord(void *e, void *s) {
	CHECK;
	struct event *event = e;
	ask(s, NOTHING);
	event->stream = s, event->at = event->stream->asked, event->asked = 0;
	return OK;
}
R cuEventSynchronize(void *e) {
	CHECK;
	struct event *event = e;
	if (event->stream)
		until(event->stream, event->at);
	return sticky;
}
// The first time it is always too early to ask.
R cuEventQuery(void *e) {
	CHECK;
	struct event *event = e;
	if (number("FAKE_BUSY", 0) || (event->stream && event->stream->done < event->at && !event->asked++))
		return 600;
	return cuEventSynchronize(e);
}
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
	*m = made(malloc(1));
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
R cuModuleUnload(void *m) { CHECK; unmade(m); return OK; }
R cuFuncGetAttribute(int *v, int a, void *f) { (void)f; CHECK; *v = 10 + a; return OK; }
R cuFuncSetAttribute(void *f, int a, int v) { (void)f, (void)a; CHECK; return v <= 232448 ? OK : INVALID; }

static struct launch launch(unsigned grid, unsigned block, void **p) {
	struct launch l = {grid, block, *(float **)p[0], *(int *)p[1], *(float *)p[2]};
	return l;
}
R cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *s, void **p, void **extra) {
	(void)shared, (void)extra;
	CHECK;
	if (f != &scale)
		return OK;
	if (gy * gz * by * bz != 1)
		return INVALID;
	struct launch l = launch(gx, bx, p);
	if (capturing)
		capturing->l[capturing->n++] = l;
	else
		ask(s, RUN)->graph = (struct graph){1, {l}};
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

R cuStreamBeginCapture_v2(void *s, int mode) { (void)s, (void)mode; CHECK; capturing = made(calloc(1, sizeof *capturing)); return OK; }
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
R cuGraphInstantiateWithFlags(void **e, struct graph *g, unsigned long long f) { (void)f; CHECK; *e = made(memcpy(malloc(sizeof *g), g, sizeof *g)); return OK; }
R cuGraphLaunch(struct graph *e, void *s) {
	CHECK;
	ask(s, RUN)->graph = *e;
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
R cuGraphDestroy(void *g) { CHECK; unmade(g); return OK; }
R cuGraphExecDestroy(void *e) { CHECK; unmade(e); return OK; }
