package crossval

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

//go:embed llama.py
var llamaScript []byte

// Llama is llama.cpp in a child process: a Python that has the package
// llama-cpp-python.
type Llama struct {
	Python  string // program; "" = python3
	Model   string
	Threads int
	KV      string // type of keys and values
	Tensors bool   // also the residual stream of the first prompt
}

// ChildError: the reference's process failed.
type ChildError struct {
	Program string
	Said    string // the end of its standard error
	Err     error
}

func (e *ChildError) Error() string {
	s := fmt.Sprintf("crossval: llama.cpp in %s: %v", e.Program, e.Err)
	if e.Said != "" {
		s += ": " + e.Said
	}
	if errors.Is(e.Err, exec.ErrNotFound) || strings.Contains(e.Said, "llama_cpp") {
		s += "; name a Python that has the package llama-cpp-python with --python"
	}
	return s
}

func (e *ChildError) Unwrap() error { return e.Err }

// Write lets llama.cpp fill a dump's folder.
func (l *Llama) Write(ctx context.Context, dir string, prompts []Prompt, n int) error {
	job, err := json.Marshal(map[string]any{
		"model": l.Model, "out": dir, "prompts": prompts, "n": n, "threads": l.Threads, "kv": l.KV, "tensors": l.Tensors,
	})
	if err != nil {
		return err
	}
	python := l.Python
	if python == "" {
		python = "python3"
	}
	cmd := exec.CommandContext(ctx, python, "-c", string(llamaScript))
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin = bytes.NewReader(job)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &ChildError{python, lastLine(said.String()), err}
	}
	return nil
}

// lastLine is where a traceback says what happened.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
