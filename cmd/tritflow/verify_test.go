package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tritflow/gguf"
)

// flipbit FILE TENSOR: turns one bit in the middle of a tensor's values.
func flipbit(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	f, err := gguf.Open(path, gguf.Options{})
	ts.Check(err)
	t, ok := f.Tensor(args[1])
	if !ok {
		ts.Fatalf("%s has no tensor %s", args[0], args[1])
	}
	at := int(t.Offset) + len(t.Data)/2
	ts.Check(f.Close())
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[at] ^= 1
	ts.Check(os.WriteFile(path, data, 0o666))
}

// TestFirstLine finds the line and shows both around the first byte that differs.
func TestFirstLine(t *testing.T) {
	const a = "one\ntwo and three\nfour\n"
	for _, c := range []struct {
		b         string
		line      int
		want, got string
	}{
		{a, 0, "", ""},
		{strings.Replace(a, "three", "seven", 1), 2, `"two and three\n"`, `"two and seven\n"`},
		{a[:len(a)-5], 3, `"four\n"`, `""`},
		{a + "five\n", 4, `""`, `"five\n"`},
	} {
		line, want, got, err := firstLine(strings.NewReader(a), strings.NewReader(c.b))
		if err != nil || line != c.line || want != c.want || got != c.got {
			t.Errorf("%q: line %d, %s, %s, %v", c.b, line, want, got, err)
		}
	}
}
