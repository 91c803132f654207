package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// oldISA is the version of PTX that is tried first: the oldest driver that the
// program takes knows it.
const oldISA = "8.0"

var isaVersion = regexp.MustCompile(`(?m)^\.version \d+\.\d+$`)

// compiler finds nvcc.
func compiler() (string, error) {
	if toolkit := os.Getenv("CUDA_TOOLKIT"); toolkit != "" {
		return filepath.Join(toolkit, "bin/nvcc"), nil
	}
	if root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output(); err == nil {
		nvcc := filepath.Join(strings.TrimSpace(string(root)), "cuda-toolkit/bin/nvcc")
		if _, err := os.Stat(nvcc); err == nil {
			return nvcc, nil
		}
	}
	nvcc, err := exec.LookPath("nvcc")
	if err != nil {
		return "", fmt.Errorf("no nvcc; .ci/cuda-toolkit cuda-toolkit fetches one, CUDA_TOOLKIT=FOLDER names another")
	}
	return nvcc, nil
}

// source is a file with kernels.
type source struct {
	file    string // within its folder
	targets []string
	options []string
}

// read finds out what a source wants to be compiled to.
func read(path string) (source, error) {
	f, err := os.Open(path)
	if err != nil {
		return source{}, err
	}
	defer f.Close()
	s := source{file: filepath.Base(path)}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if list, ok := strings.CutPrefix(lines.Text(), "// build:"); ok {
			s.targets = append(s.targets, strings.Fields(list)...)
		} else if list, ok := strings.CutPrefix(lines.Text(), "// nvcc:"); ok {
			s.options = append(s.options, strings.Fields(list)...)
		} else {
			break
		}
	}
	if len(s.targets) == 0 {
		return s, fmt.Errorf("%s does not begin with a line like // build: compute_75", path)
	}
	return s, lines.Err()
}

// compileAll compiles every source of a folder; the result is keyed by file name.
func compileAll(nvcc, dir string) (map[string][]byte, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.cu"))
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "kernels-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	var mu sync.Mutex
	images := map[string][]byte{}
	for _, path := range paths {
		s, err := read(path)
		if err != nil {
			return nil, err
		}
		for _, target := range s.targets {
			g.Go(func() error {
				name, data, err := s.compile(nvcc, dir, tmp, target)
				mu.Lock()
				defer mu.Unlock()
				images[name] = data
				return err
			})
		}
	}
	return images, g.Wait()
}

// compile compiles a source for a target. It runs in the source's folder, so that no path
// gets into the result.
func (s source) compile(nvcc, dir, tmp, target string) (name string, data []byte, err error) {
	kind, ext := "-ptx", ".ptx"
	if strings.HasPrefix(target, "sm_") {
		kind, ext = "-cubin", ".cubin"
	}
	name = strings.TrimSuffix(s.file, ".cu") + "." + target + ext
	out := filepath.Join(tmp, name)
	args := append([]string{kind, "-arch=" + target, "-O3", "-std=c++17", "-o", out}, s.options...)
	if err := tool(dir, nvcc, append(args, s.file)...); err != nil {
		return name, nil, fmt.Errorf("%s for %s: %w", s.file, target, err)
	}
	if data, err = os.ReadFile(out); err != nil {
		return name, nil, err
	}
	if kind == "-ptx" {
		data, err = lower(nvcc, tmp, target, data)
	}
	return name, data, err
}

// lower marks PTX as of an older ISA if the assembler takes it as that. The build number of
// the compiler goes: it says nothing about the code.
func lower(nvcc, tmp, target string, ptx []byte) ([]byte, error) {
	var kept [][]byte
	for _, line := range bytes.SplitAfter(ptx, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte("// Compiler Build ID")) {
			kept = append(kept, line)
		}
	}
	ptx = bytes.Join(kept, nil)
	old := isaVersion.ReplaceAll(ptx, []byte(".version "+oldISA))
	path := filepath.Join(tmp, fmt.Sprintf("lower-%p.ptx", &old[0]))
	if err := os.WriteFile(path, old, 0o666); err != nil {
		return nil, err
	}
	ptxas := filepath.Join(filepath.Dir(nvcc), "ptxas")
	arch := "-arch=" + strings.Replace(target, "compute_", "sm_", 1)
	if tool(tmp, ptxas, arch, "-o", path+".cubin", path) != nil {
		return ptx, nil
	}
	return old, nil
}

// tool runs a command; its error carries what the command said.
func tool(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, said)
	}
	return nil
}
