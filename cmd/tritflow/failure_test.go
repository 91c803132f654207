package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// complaints are the errors that a program has logged.
func complaints(stderr string) ([]string, error) {
	var said []string
	for line := range strings.Lines(stderr) {
		var entry struct{ Level, Message string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			return nil, fmt.Errorf("not a line of the log: %q", line)
		}
		if entry.Level == "error" {
			said = append(said, entry.Message)
		}
	}
	return said, nil
}

// oneSentence checks that a failure was told once, in one line.
func oneSentence(stderr string) (string, error) {
	said, err := complaints(stderr)
	if err != nil {
		return "", err
	}
	if len(said) != 1 || said[0] == "" || strings.Contains(said[0], "\n") {
		return "", fmt.Errorf("want one sentence, got %q", said)
	}
	return said[0], nil
}

// fails CODE PATTERN ARG...: tritflow ends with the exit code and says why in
// one sentence that matches the pattern. What is refused (code 2) prints nothing.
func fails(ts *testscript.TestScript, _ bool, args []string) {
	code, pattern, args := args[0], regexp.MustCompile(args[1]), args[2:]
	if err := ts.Exec("tritflow", args...); err == nil || err.Error() != "exit status "+code {
		ts.Fatalf("ended with %v, want exit status %s", err, code)
	}
	said, err := oneSentence(ts.ReadFile("stderr"))
	ts.Check(err)
	if !pattern.MatchString(said) {
		ts.Fatalf("%q does not match %q", said, pattern)
	}
	if out := ts.ReadFile("stdout"); code == "2" && out != "" {
		ts.Fatalf("printed %q", out)
	}
}

// damaged CASE FILE: writes a hostile file of package gguftest.
func damaged(ts *testscript.TestScript, _ bool, args []string) {
	for _, c := range gguftest.Hostile() {
		if c.Name == args[0] {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), c.Data, 0o666))
			return
		}
	}
	ts.Fatalf("no hostile file is named %q", args[0])
}

// poison FILE TENSOR ELEMENT VALUE: puts a number (NaN, +Inf ...) into an F32 tensor.
func poison(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	f, err := gguf.Parse(path, data, gguf.Options{})
	ts.Check(err)
	var element int
	var value float32
	_, err = fmt.Sscan(args[2]+" "+args[3], &element, &value)
	ts.Check(err)
	x, ok := f.Tensor(args[1])
	if !ok || x.Type != gguf.TypeF32 || element >= x.Elements() {
		ts.Fatalf("no such value: %s[%d]", args[1], element)
	}
	binary.LittleEndian.PutUint32(data[x.Offset+4*uint64(element):], math.Float32bits(value))
	ts.Check(os.WriteFile(path, data, 0o666))
}

// rewrite FROM TO [KEY=NUMBER | KEY= | -TENSOR]...: copies a model with other
// metadata (u32, or without the key) and without some tensors.
func rewrite(ts *testscript.TestScript, _ bool, args []string) {
	f, err := gguf.Open(ts.MkAbs(args[0]), gguf.Options{})
	ts.Check(err)
	defer func() { ts.Check(f.Close()) }()
	w, err := gguf.Create(ts.MkAbs(args[1]))
	ts.Check(err)
	changed, gone := map[string]string{}, map[string]bool{}
	for _, a := range args[2:] {
		if key, value, ok := strings.Cut(a, "="); ok {
			changed[key] = value
		} else {
			gone[strings.TrimPrefix(a, "-")] = true
		}
	}
	for _, key := range f.Metadata().Keys() {
		v, _ := f.Metadata().Get(key)
		value, other := changed[key]
		switch {
		case !other:
			ts.Check(w.Set(key, v))
		case value != "":
			var n uint32
			_, err := fmt.Sscan(value, &n)
			ts.Check(err)
			ts.Check(w.Set(key, n))
		}
	}
	var kept []*gguf.Tensor
	for _, x := range f.Tensors() {
		if !gone[x.Name] {
			kept = append(kept, x)
			ts.Check(w.Add(gguf.TensorInfo{Name: x.Name, Type: x.Type, Dims: x.Dims}))
		}
	}
	for _, x := range kept {
		ts.Check(w.WriteTensor(x.Name, bytes.NewReader(x.Data)))
	}
	ts.Check(w.Close())
}
