package main

import (
	"strings"
	"testing"
)

const header = `
typedef enum cudaError_enum { CUDA_SUCCESS = 0 } CUresult;
CUresult cuInit(unsigned int Flags);
CUresult cuEventElapsedTime(float *pMilliseconds, CUevent hStart, CUevent hEnd);
__attribute__((deprecated)) CUresult cuEventElapsedTime_v2(float *pMilliseconds,
        CUevent hStart, CUevent hEnd);
CUresult cuMemcpy_ptds(CUdeviceptr dst, CUdeviceptr src, size_t n);
CUresult cuCtxSynchronize(void);
CUresult cuGraphGetNodes(CUgraph hGraph, CUgraphNode *nodes, const void *const *x);
static inline CUresult helper(int x) { return cuCtxSynchronize(); }
CUresult cuLast(int x);
`

func TestParse(t *testing.T) {
	functions, err := parse(header)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range functions {
		got = append(got, f.name+"("+f.types()+")")
	}
	want := "cuCtxSynchronize(void) cuEventElapsedTime(float *, CUevent, CUevent) " +
		"cuEventElapsedTime_v2(float *, CUevent, CUevent) cuGraphGetNodes(CUgraph, CUgraphNode *, const void *const *) " +
		"cuInit(unsigned int) cuLast(int)"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	for _, bad := range []string{"", "int x;", "CUresult cuX(void (*f)(int));"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSource(t *testing.T) {
	functions, err := parse(header)
	if err != nil {
		t.Fatal(err)
	}
	text, err := source(functions)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`CUresult CUDAAPI cuEventElapsedTime_v2(float * a0, CUevent a1, CUevent a2) {`,
		`tritflow_forward(&slot, "cuEventElapsedTime_v2", "cuEventElapsedTime")`,
		"CUresult CUDAAPI cuCtxSynchronize(void) {",
		"return f ? f() : tritflow_missing();",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "CUDAAPI cuInit(") {
		t.Error("cuInit is written by hand")
	}
	// An older name may stand in only if nothing but the name changed.
	functions[1].params = functions[1].params[:2]
	if _, err := source(functions); err == nil {
		t.Error("an alias with other parameters was accepted")
	}
}
