package stages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// TestOpenRefusesFiles: whatever is wrong with a file comes through Open as the
// typed error of the package that found it, with the file's name in it.
func TestOpenRefusesFiles(t *testing.T) {
	type check func(err error) bool
	format := func(kind error) check {
		return func(err error) bool {
			var e *gguf.FormatError
			return errors.As(err, &e) && errors.Is(err, kind)
		}
	}
	is := func(target any) check { return func(err error) bool { return errors.As(err, target) } }
	hostile := map[string][]byte{}
	for _, c := range gguftest.Hostile() {
		hostile[c.Name] = c.Data
	}
	// spoiled is a good file with some bytes replaced by others of the same number.
	spoiled := func(old, now string) []byte {
		data, err := os.ReadFile(tinyTernary)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(data), old, now, 1)
		if len(old) != len(now) || changed == string(data) {
			t.Fatalf("cannot replace %q by %q", old, now)
		}
		return []byte(changed)
	}
	for _, c := range []struct {
		name string
		data []byte
		ok   check
	}{
		{"cut short", hostile["truncated: data"], format(gguf.ErrBounds)},
		{"cut in the header", hostile["truncated: key"], format(gguf.ErrTruncated)},
		{"big-endian", hostile["big-endian: version 3"], format(gguf.ErrBigEndian)},
		{"misaligned", hostile["place: misaligned"], format(gguf.ErrAlignment)},
		{"overlapping", hostile["place: overlap"], format(gguf.ErrOverlap)},
		{"not a model", hostile["magic: safetensors"], format(gguf.ErrNotGGUF)},
		{"architecture", spoiled("bitnet-b1.58", "bitnet-b9.99"), is(new(*graph.ArchError))},
		{"missing tensor", spoiled("blk.1.ffn_gate.weight", "blk.1.ffn_gone.weight"), is(new(*graph.BindError))},
		{"missing key", spoiled("bitnet-b1.58.block_count", "bitnet-b1.58.block_rount"), is(new(*graph.KeyError))},
		{"tokenizer", spoiled("gpt2", "bert"), is(new(*vocab.UnsupportedError))},
		{"vocabulary", spoiled("bitnet-b1.58.vocab_size\x04\x00\x00\x00\x00\x02", "bitnet-b1.58.vocab_size\x04\x00\x00\x00\xff\x01"), is(new(*graph.VocabError))},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.gguf")
			if err := os.WriteFile(path, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			e, err := Open(context.Background(), path, Options{Devices: "cpu:1"})
			if err == nil {
				_ = e.Close()
			}
			if err == nil || !c.ok(err) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}
