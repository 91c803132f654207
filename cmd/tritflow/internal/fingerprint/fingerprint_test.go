package fingerprint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/builtin"
)

func of(t *testing.T, f *gguf.File, err error) *Model {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Of(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFlippedBit: one bit of one tensor changes that tensor's hash and the digest; the
// file's name does not.
func TestFlippedBit(t *testing.T) {
	f, err := builtin.Open()
	inside := of(t, f, err)
	path := filepath.Join(t.TempDir(), "copy.gguf")
	var b bytes.Buffer
	if _, err := builtin.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	same, err := gguf.Open(path, gguf.Options{})
	if d := inside.Differs(of(t, same, err)); d != "" {
		t.Errorf("a copy differs: %s", d)
	}
	victim := same.Tensors()[17]
	name := victim.Name
	data[victim.Offset+uint64(len(victim.Data)/2)] ^= 1
	if err := same.Close(); err != nil {
		t.Fatal(err)
	}
	flipped, err := gguf.Parse("flipped", data, gguf.Options{})
	if d := inside.Differs(of(t, flipped, err)); !strings.Contains(d, "tensor "+name+" holds other values") {
		t.Errorf("%s was changed: %q", name, d)
	}
}
