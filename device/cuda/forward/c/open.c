// The part of the forwarding library that is not generated. The driver is loaded when it
// is first needed, so that a program that never asks for a GPU pays nothing for it.
#include "tritflow_driver.h"

#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct tritflow_driver driver;
static void *library;
static char wanted[4096];
static char detail[1024];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_driver(void) {
	const char *name = getenv("TRITFLOW_LIBCUDA");
	snprintf(wanted, sizeof wanted, "%s", name && *name ? name : "libcuda.so.1");
	driver.library = wanted;
	driver.detail = detail;
	driver.state = TRITFLOW_DRIVER_ABSENT;
	void *handle = dlopen(wanted, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		const char *why = dlerror();
		snprintf(detail, sizeof detail, "%s", why ? why : "the loader gives no reason");
		return;
	}
	CUresult (*init)(unsigned int) = (CUresult(*)(unsigned int))dlsym(handle, "cuInit");
	if (!init) {
		snprintf(detail, sizeof detail, "%s is no CUDA driver: it has no cuInit", wanted);
		return;
	}
	library = handle;
	driver.code = init(0);
	driver.state = driver.code == CUDA_SUCCESS ? TRITFLOW_DRIVER_READY : TRITFLOW_DRIVER_REFUSED;
}

const struct tritflow_driver *tritflow_driver_open(void) {
	pthread_once(&once, open_driver);
	return &driver;
}

// gorgonia.org/cu calls this when the program starts and ends the process if it fails.
CUresult CUDAAPI cuInit(unsigned int flags) {
	(void)flags;
	return CUDA_SUCCESS;
}

// The address of an entry point, kept in *slot; NULL where there is none.
void *tritflow_forward(void **slot, const char *name, const char *alias) {
	void *f = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (f)
		return f;
	tritflow_driver_open();
	if (!library)
		return NULL;
	f = dlsym(library, name);
	if (!f && alias)
		f = dlsym(library, alias);
	__atomic_store_n(slot, f, __ATOMIC_RELEASE);
	return f;
}

// What a call answers that has nowhere to go.
CUresult tritflow_missing(void) {
	return library ? CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND : CUDA_ERROR_NOT_INITIALIZED;
}
