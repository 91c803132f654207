// Command forward makes the library that a program with the tag cuda is linked against,
// and the header that it is compiled with.
//
//	toolkit/include/cuda.h ─cc -E─▶ prototypes ─▶ forward.c ─cc─▶ OUT/lib/libcuda.a
//	                                               open.c  ─┘     OUT/include/cuda.h, tritflow_driver.h
//
// Every function of the driver API becomes a small one that looks up the same name in
// libcuda.so.1, which is loaded on first use (TRITFLOW_LIBCUDA names another file). So one
// binary runs with and without a driver: without, cuInit succeeds, everything else
// answers CUDA_ERROR_NOT_INITIALIZED, and tritflow_driver_open tells why.
//
// The output folder carries a checksum of all that it was made from in its name; what is
// there is not made again. Standard output gets shell lines that export CGO_CFLAGS and
// CGO_LDFLAGS.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	toolkit := flag.String("toolkit", "", "folder with include/cuda.h")
	out := flag.String("out", "", "folder in which the output folder is made (default: the toolkit)")
	flag.Parse()
	if *toolkit == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if *out == "" {
		*out = *toolkit
	}
	dir, err := build(*toolkit, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("export CGO_ENABLED=1\nexport CGO_CFLAGS=%q\nexport CGO_LDFLAGS=%q\n",
		fmt.Sprintf("-O2 -g -I%s/include -I%s/include", dir, *toolkit), fmt.Sprintf("-O2 -g -L%s/lib", dir))
}
