// Command build compiles the kernels of a folder into its folder image, for the targets that
// each source names in its first line.
//
//	build FOLDER         writes the images
//	build -check FOLDER  compiles them elsewhere and fails where they differ
//
// The compiler is CUDA_TOOLKIT/bin/nvcc, that of the toolkit which .ci/cuda-toolkit put into
// the checkout, or nvcc. What it makes depends on its version: the images are those of 13.0.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	check := flag.Bool("check", false, "compare with what is there instead of writing")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	nvcc, err := compiler()
	if err != nil {
		return err
	}
	images, err := compileAll(nvcc, dir)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, "image")
	there, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil {
		return err
	}
	if check {
		for _, path := range there {
			if _, ok := images[filepath.Base(path)]; !ok {
				return fmt.Errorf("%s belongs to no source: run `just generate`", path)
			}
		}
		for name, data := range images {
			if old, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(old, data) {
				return fmt.Errorf("%s/%s is not what the compiler makes of its source: run `just generate`", out, name)
			}
		}
		fmt.Printf("%d images correspond to their sources\n", len(images))
		return nil
	}
	for _, path := range there {
		if _, ok := images[filepath.Base(path)]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return err
	}
	for name, data := range images {
		if err := os.WriteFile(filepath.Join(out, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}
