package main

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed c
var fixed embed.FS

// build makes the library in out/tritflow-CHECKSUM and returns that folder.
func build(toolkit, out string) (string, error) {
	// As for go, there may be arguments behind the compiler's name, or another program before it.
	cc := strings.Fields(os.Getenv("CC"))
	if len(cc) == 0 {
		cc = []string{"cc"}
	}
	include := filepath.Join(toolkit, "include")
	header, err := output(compiler(cc, "-E", "-P", "-D__CUDA_API_VERSION_INTERNAL", filepath.Join(include, "cuda.h")))
	if err != nil {
		return "", err
	}
	functions, err := parse(header)
	if err != nil {
		return "", err
	}
	text, err := source(functions)
	if err != nil {
		return "", err
	}
	files := map[string]string{"src/forward.c": text}
	for in, name := range map[string]string{"open.c": "src/open.c", "cuda.h": "include/cuda.h", "tritflow_driver.h": "include/tritflow_driver.h"} {
		data, err := fixed.ReadFile("c/" + in)
		if err != nil {
			return "", err
		}
		files[name] = string(data)
	}
	out, err = filepath.Abs(out)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(out, "tritflow-"+checksum(files))
	if _, err := os.Stat(filepath.Join(dir, "lib/libcuda.a")); err == nil {
		return dir, nil
	}
	return dir, compile(cc, include, dir, files)
}

func compiler(cc []string, args ...string) *exec.Cmd {
	return exec.Command(cc[0], slices.Concat(cc[1:], args)...)
}

// compile writes the files and the library into a new folder, which gets its name last.
func compile(cc []string, include, dir string, files map[string]string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "tritflow-new-")
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	defer os.RemoveAll(tmp)
	for name, text := range files {
		path := filepath.Join(tmp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("forward: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("forward: %w", err)
		}
	}
	if err := os.Mkdir(filepath.Join(tmp, "lib"), 0o755); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	archive := []string{"rcs", filepath.Join(tmp, "lib/libcuda.a")}
	for _, name := range []string{"forward", "open"} {
		object := filepath.Join(tmp, "src", name+".o")
		args := []string{"-c", "-O2", "-fPIC", "-Wall", "-Wno-deprecated-declarations", "-o", object}
		// The generated half sees the toolkit's own header, with every old entry point.
		args = append(args, "-I"+include, "-I"+filepath.Join(tmp, "include"), filepath.Join(tmp, "src", name+".c"))
		if _, err := output(compiler(cc, args...)); err != nil {
			return err
		}
		archive = append(archive, object)
	}
	if _, err := output(exec.Command("ar", archive...)); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, "lib/libcuda.a")); there == nil {
			return nil // another build was faster
		}
		return fmt.Errorf("forward: %w", err)
	}
	return nil
}

func checksum(files map[string]string) string {
	h := sha256.New()
	for _, name := range []string{"src/forward.c", "src/open.c", "include/cuda.h", "include/tritflow_driver.h"} {
		fmt.Fprintf(h, "%s %d\n%s", name, len(files[name]), files[name])
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}

// output runs a command; its error carries what the command said.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = ": " + string(exit.Stderr)
		}
		return "", fmt.Errorf("forward: %s: %w%s", cmd, err, said)
	}
	return string(out), nil
}
