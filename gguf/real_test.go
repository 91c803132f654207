package gguf_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"tritflow/gguf"
)

// Real files of other writers: opened, decoded, written again.
func TestRealFiles(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"vocab/*.gguf", "reference/*.gguf", "reference/arch/*.gguf", "mini/*.gguf"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "shared", pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		t.Skip("the folder ../shared with real files is not beside this repository")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := gguf.Open(path, gguf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if f.Size() != uint64(len(whole)) {
				t.Errorf("size %d, file has %d bytes", f.Size(), len(whole))
			}
			tokens, err := f.Metadata().Strings("tokenizer.ggml.tokens")
			if err != nil {
				t.Fatal(err)
			}
			for _, ts := range f.Tensors() {
				if !bytes.Equal(ts.Data, whole[ts.Offset:ts.Offset+uint64(len(ts.Data))]) {
					t.Errorf("%s: data differ", ts.Name)
				}
			}
			m := read(f)
			again, err := gguf.Parse("again", m.write(t), gguf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(m, read(again)); d != "" {
				t.Errorf("written again: %s", d)
			}
			keep := tokens[len(tokens)-1]
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(whole, []byte(keep)) {
				t.Errorf("after Close a token reads %q", keep)
			}
		})
	}
}
