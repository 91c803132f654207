package convert

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/convert/hftest"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/stages"
)

// python finds an interpreter that has the packages: that of TRITFLOW_PYTHON, or
// the one on the path.
func python(t *testing.T, packages ...string) string {
	t.Helper()
	name := os.Getenv("TRITFLOW_PYTHON")
	if name == "" {
		name = "python3"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("no Python: set TRITFLOW_PYTHON to one that has the PyPI packages " + strings.Join(packages, " "))
	}
	if err := exec.CommandContext(t.Context(), path, "-c", "import "+strings.Join(packages, ",")).Run(); err != nil {
		t.Skipf("%s cannot import %s: install the PyPI packages llama-cpp-python and gguf, or set TRITFLOW_PYTHON to an interpreter that has them",
			path, strings.Join(packages, " and "))
	}
	return path
}

const rivals = "../../../../bench/rivals/"

func script(t *testing.T, python, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, append([]string{rivals + name}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, stderr.Bytes())
	}
	return out
}

// written is a converted file on disk.
func written(t *testing.T, from *gguf.File, folder hftest.Options, opt Options) string {
	t.Helper()
	dir := folderOf(t, from, folder)
	path := filepath.Join(t.TempDir(), "m.gguf")
	f := mustConvert(t, dir, opt)
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range f.Metadata().Keys() {
		v, _ := f.Metadata().Get(key)
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range f.Tensors() {
		if err := w.Add(gguf.TensorInfo{Name: x.Name, Type: x.Type, Dims: x.Dims}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range f.Tensors() {
		if err := w.WriteTensor(x.Name, bytes.NewReader(x.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// greedy are the program's own tokens.
func greedy(t *testing.T, path string, prompt []int32, n int) []int32 {
	t.Helper()
	e, err := stages.Open(t.Context(), path, stages.Options{Devices: "cpu:1", KV: "f32"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Submit(t.Context(), stages.Request{Tokens: prompt, MaxTokens: n, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return s.Result().Tokens
}

// TestLlamaCpp: llama.cpp loads what was converted and goes on as the program
// does. With float32 weights all tokens are equal. Elsewhere llama.cpp rounds
// activations in its own way (half precision for F16, int8 for every 256 values
// for TQ1_0 and TQ2_0), so that a near tie may fall the other way: what is
// compared then is how near it was.
func TestLlamaCpp(t *testing.T) {
	py := python(t, "llama_cpp", "numpy")
	prompts := [][]int32{{1, 300, 17, 42, 511}, {7}, {200, 201, 202, 203, 204, 205, 206, 207}}
	const n = 24
	for _, arch := range []string{"llama", "bitnet", "qwen3"} {
		for _, typ := range []string{"f32", "f16", "tq1_0", "tq2_0"} {
			t.Run(arch+" "+typ, func(t *testing.T) {
				shape := shapeOf(t, "tiny", arch)
				shape.OwnHead, shape.Activation = arch == "llama", graph.SiLU
				path := written(t, synthetic(t, shape, "I2_S"), hftest.Options{Style: hftest.Packed}, Options{Type: typ, Head: "f32"})
				for _, prompt := range prompts {
					got := greedy(t, path, prompt, n)
					var ref struct {
						Tokens []int32
						Gaps   []float64
					}
					ids := strings.Trim(strings.ReplaceAll(fmt.Sprint(prompt), " ", ","), "[]")
					if err := json.Unmarshal(script(t, py, "llama_logits.py", path, "--tokens", ids, "--greedy", fmt.Sprint(n)), &ref); err != nil {
						t.Fatal(err)
					}
					same := 0
					for same < n && got[same] == ref.Tokens[same] {
						same++
					}
					if same == n {
						t.Logf("%d tokens are equal", n)
						continue
					}
					t.Logf("differs after %d tokens, where llama.cpp's two best logits are %.4f apart", same, ref.Gaps[same])
					if most := map[string]float64{"f32": 0, "f16": 0.01, "tq1_0": 0.1, "tq2_0": 0.1}[typ]; ref.Gaps[same] > most {
						t.Errorf("%v, llama.cpp says %v", got, ref.Tokens)
					}
				}
			})
		}
	}
}

// TestPythonReads: the PyPI package gguf finds in our files what our own reader
// finds, for every type that both know.
func TestPythonReads(t *testing.T) {
	py := python(t, "gguf")
	var paths []string
	for _, typ := range []string{"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q6_k", "tq1_0", "tq2_0"} {
		head := typ
		if strings.HasPrefix(typ, "tq") {
			head = "q8_0"
		}
		from := synthetic(t, shapeOf(t, "tiny", "bitnet-b1.58"), "I2_S")
		paths = append(paths, written(t, from, hftest.Options{Style: hftest.Packed}, Options{Type: typ, Head: head}))
	}
	type tensor struct {
		Name, Type string
		Shape      []uint64
		SHA256     string
	}
	lines := bytes.Split(bytes.TrimSpace(script(t, py, "gguf_tensors.py", paths...)), []byte("\n"))
	if len(lines) != len(paths) {
		t.Fatalf("%d answers for %d files", len(lines), len(paths))
	}
	for i, line := range lines {
		var got struct {
			Keys    []string
			Tensors []tensor
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Open(paths[i], gguf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		keys := f.Metadata().Keys()
		slices.Sort(keys)
		if !slices.Equal(got.Keys, keys) {
			t.Errorf("keys %v, ours %v", got.Keys, keys)
		}
		for k, x := range f.Tensors() {
			sum := sha256.Sum256(x.Data)
			want := tensor{x.Name, x.Type.String(), x.Dims, hex.EncodeToString(sum[:])}
			if k >= len(got.Tensors) || fmt.Sprint(got.Tensors[k]) != fmt.Sprint(want) {
				t.Errorf("tensor %d of %d: want %v", k, len(got.Tensors), want)
				break
			}
		}
		if len(got.Tensors) != len(f.Tensors()) {
			t.Errorf("%d tensors, ours %d", len(got.Tensors), len(f.Tensors()))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
