package main

import (
	"fmt"
	"strings"
)

// ours are written by hand, in c/open.c.
var ours = map[string]bool{"cuInit": true}

// aliases are older names of functions that did not change but for their number, so
// that a driver which knows the old name alone will do.
var aliases = map[string]string{"cuEventElapsedTime_v2": "cuEventElapsedTime"}

// source writes the generated part of the library. The header declares every function
// that is defined here, so the compiler checks the prototypes.
func source(functions []function) (string, error) {
	byName := map[string]*function{}
	for i := range functions {
		byName[functions[i].name] = &functions[i]
	}
	var b strings.Builder
	b.WriteString(`#define __CUDA_API_VERSION_INTERNAL
#define CUDA_ENABLE_DEPRECATED
#include <cuda.h>

void *tritflow_forward(void **slot, const char *name, const char *alias);
CUresult tritflow_missing(void);

`)
	for i := range functions {
		f := &functions[i]
		if ours[f.name] {
			continue
		}
		alias := "0"
		if old := byName[aliases[f.name]]; old != nil {
			if old.types() != f.types() {
				return "", fmt.Errorf("forward: %s(%s) cannot stand for %s(%s)", old.name, old.types(), f.name, f.types())
			}
			alias = `"` + old.name + `"`
		}
		var params, args []string
		for i, p := range f.params {
			params = append(params, fmt.Sprintf("%s a%d", p.typ, i))
			args = append(args, fmt.Sprintf("a%d", i))
		}
		if len(params) == 0 {
			params = []string{"void"}
		}
		fmt.Fprintf(&b, "#undef %[1]s\nCUresult CUDAAPI %[1]s(%[2]s) {\n\tstatic void *slot;\n\tCUresult(CUDAAPI * f)(%[3]s) = (CUresult(CUDAAPI *)(%[3]s))tritflow_forward(&slot, \"%[1]s\", %[4]s);\n\treturn f ? f(%[5]s) : tritflow_missing();\n}\n",
			f.name, strings.Join(params, ", "), f.types(), alias, strings.Join(args, ", "))
	}
	return b.String(), nil
}
