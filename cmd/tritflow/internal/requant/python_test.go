package requant

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/quantkern"
)

// TestPythonReads: the Python package gguf reads every file with types that it
// knows and finds the same tensors, bytes and values. TRITFLOW_PYTHON names a Python
// that has the package.
func TestPythonReads(t *testing.T) {
	python := cmp.Or(os.Getenv("TRITFLOW_PYTHON"), "python3")
	if out, err := exec.Command(python, "-c", "import gguf, numpy").CombinedOutput(); err != nil {
		t.Skipf("no Python with the package gguf (TRITFLOW_PYTHON names one): %v %s", err, lastLine(out))
	}
	dir := t.TempDir()
	in := builtinFile(t, dir)
	for _, opt := range []Options{
		{Type: gguf.TypeTQ1_0}, {Type: gguf.TypeTQ2_0, Embedding: gguf.TypeQ8_0}, {Type: gguf.TypeF16, Embedding: gguf.TypeQ6_K},
		{Type: gguf.TypeF32, Embedding: gguf.TypeIQ2_S}, {Type: gguf.TypeTQ1_0, Embedding: gguf.TypeQ4_0, RoundScales: true},
		{Type: gguf.TypeTQ2_0, Embedding: gguf.TypeBF16}, {Type: gguf.TypeTQ2_0, Embedding: gguf.TypeQ4_1},
	} {
		what := fmt.Sprintf("%v with an embedding of %v", opt.Type, opt.Embedding)
		out := filepath.Join(dir, "out.gguf")
		if err := convert(t.Context(), in, out, opt); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		said, err := exec.Command(python, "testdata/tensors.py", out).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v %s", what, err, lastLine(said))
			continue
		}
		if got, want := strings.TrimSpace(string(said)), strings.Join(tensorLines(t, out), "\n"); got != want {
			t.Errorf("%s: Python reads\n%s\nwant\n%s", what, got, want)
		}
	}
}

func lastLine(b []byte) string {
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(lines[len(lines)-1])
}

// tensorLines is what the script should print.
func tensorLines(t *testing.T, path string) (lines []string) {
	for _, x := range gguftest.Open(t, path).Tensors() {
		c, err := quantkern.Lookup(x.Codec())
		if err != nil {
			t.Fatal(err)
		}
		values := sha256.New()
		row := make([]float32, x.Cols())
		for r := range x.Rows() {
			c.Decode(row, x.Data, x.Rows(), x.Cols(), r)
			for i, v := range row {
				if v == 0 {
					row[i] = 0 // no −0: the script has none either
				}
			}
			if err := binary.Write(values, binary.LittleEndian, row); err != nil {
				t.Fatal(err)
			}
		}
		dims := make([]string, len(x.Dims))
		for i, d := range x.Dims {
			dims[i] = fmt.Sprint(d)
		}
		data := sha256.Sum256(x.Data)
		lines = append(lines, fmt.Sprintf("%s %v %s %s %s", x.Name, x.Type, strings.Join(dims, "x"), hex.EncodeToString(data[:]), hex.EncodeToString(values.Sum(nil))))
	}
	return lines
}
