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
	"path/filepath"
	"strings"
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
	text, err := lines(*toolkit, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(text)
}

// lines makes the library and returns the shell lines. Their paths are whole ones: cgo calls the compiler in other folders.
func lines(toolkit, out string) (string, error) {
	toolkit, err := filepath.Abs(toolkit)
	if err != nil {
		return "", fmt.Errorf("forward: %w", err)
	}
	dir, err := build(toolkit, out)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("export CGO_ENABLED=1\nexport CGO_CFLAGS=%q\nexport CGO_LDFLAGS=%q\n",
		"-O2 -g "+option("-I", dir, "include")+" "+option("-I", toolkit, "include"), "-O2 -g "+option("-L", dir, "lib")), nil
}

// option is one with a folder, as go splits CGO_CFLAGS.
func option(letter, dir, name string) string {
	o := letter + filepath.Join(dir, name)
	if strings.ContainsAny(o, " \t") {
		return "'" + o + "'"
	}
	return o
}
