package requant

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"tritflow/stages"
)

// logits is the digest of all logits of some tokens, and what the device took
// besides the file's own pages, with what the plan said that it would.
func logits(t *testing.T, path string) (sum [32]byte, copied, planned int64) {
	t.Helper()
	e, err := stages.Open(t.Context(), path, stages.Options{Devices: "cpu:2", Ctx: 64, MaxSeqs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	hash := sha256.New()
	for row, err := range e.Logits(t.Context(), []int32{1, 7, 300, 42, 9, 9, 201, 77, 5}, false) {
		if err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(hash, binary.LittleEndian, row); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range e.Memory().Devices {
		copied += d.Used.Now["weights"]
		planned += int64(d.Copies)
	}
	return [32]byte(hash.Sum(nil)), copied, planned
}

// TestSameLogits: one model in every ternary type answers the same to the bit,
// with the memory that was planned.
func TestSameLogits(t *testing.T) {
	dir := t.TempDir()
	models := map[string]string{"built-in": builtinFile(t, dir)}
	const tiny = "../../../../../shared/reference/tiny-i2_s-seed1.gguf"
	if _, err := os.Stat(tiny); err == nil {
		models["tiny reference"] = tiny
	} else {
		t.Logf("the reference model is not beside the repository: %v", err)
	}
	for name, path := range models {
		want, _, _ := logits(t, path)
		for _, n := range ternaryNames {
			typ, err := MatrixType(n)
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(dir, "out.gguf")
			if err := convert(t.Context(), path, out, Options{Type: typ}); err != nil {
				t.Errorf("%s as %s: %v", name, n, err)
				continue
			}
			got, copied, planned := logits(t, out)
			if got != want {
				t.Errorf("%s as %s has other logits", name, n)
			}
			if copied != planned {
				t.Errorf("%s as %s: %d bytes copied, %d were planned", name, n, copied, planned)
			}
		}
	}
}
