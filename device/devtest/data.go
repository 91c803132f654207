package devtest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
)

// Models of graph/testdata, small and with random weights.
const (
	Ternary = "tiny-i2_s-seed1.gguf" // bitnet-b1.58, I2_S, tied F16 embedding
	Llama   = "tiny-llama-f32.gguf"  // llama, F32, untied head, rope factors
	Bitnet  = "tiny-bitnet-f32.gguf" // bitnet, F32, sub-norms, scales
	Qwen3   = "tiny-qwen3-f32.gguf"  // qwen3, F32, norms of queries and keys
)

// dataFile finds a file of graph/testdata from any package of the module.
func dataFile(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("devtest: no go.mod above the working directory: run the test inside the module")
		}
		dir = parent
	}
	data, err := os.ReadFile(filepath.Join(dir, "graph", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// OpenModel parses and binds one of the tiny models. The file is closed with the test.
func OpenModel(t testing.TB, name string) *graph.Model {
	t.Helper()
	return openModel(t, name, nil)
}

// openModel is OpenModel after damage (may be nil) has changed a copy of the
// file's bytes; it is told where the tensors lie.
func openModel(t testing.TB, name string, damage func(f *gguf.File, data []byte)) *graph.Model {
	t.Helper()
	data := dataFile(t, name)
	f := parse(t, name, data)
	if damage != nil {
		before := slices.Clone(data)
		damage(f, data)
		if slices.Equal(before, data) {
			t.Fatal("devtest: the damage changed nothing")
		}
		f = parse(t, name, data)
	}
	m, err := graph.Bind(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func parse(t testing.TB, name string, data []byte) *gguf.File {
	t.Helper()
	f, err := gguf.Parse(name, data, gguf.Options{})
	return gguftest.Held(t, f, err)
}

// setFloat overwrites value i of a F32 tensor in the bytes of its file.
func setFloat(t testing.TB, f *gguf.File, data []byte, tensor string, i int, v float32) {
	t.Helper()
	ten, ok := f.Tensor(tensor)
	if !ok || ten.Type.String() != "F32" {
		t.Fatalf("devtest: no F32 tensor %s", tensor)
	}
	binary.LittleEndian.PutUint32(data[ten.Offset+uint64(4*i):], math.Float32bits(v))
}

// reference is a run of another engine: logits of every position of a prompt.
type reference struct {
	name   string
	tokens []int32
	logits [][]float32
}

// ternaryReferences are bitnet.cpp's answers for the ternary model, each
// prompt in one call.
func ternaryReferences(t testing.TB) []reference {
	t.Helper()
	var index struct {
		Items []struct {
			File, Model, Mode string
			Tokens            []int32
			Shape             [2]int
		}
	}
	if err := json.Unmarshal(dataFile(t, "reference.json"), &index); err != nil {
		t.Fatal(err)
	}
	var refs []reference
	for _, it := range index.Items {
		if it.Model == Ternary && it.Mode == "batch" {
			refs = append(refs, reference{it.File, it.Tokens, floats(t, it.File, it.Shape)})
		}
	}
	if len(refs) == 0 {
		t.Fatal("devtest: reference.json lists no batch runs of " + Ternary)
	}
	return refs
}

// openWith is OpenModel of a file with further metadata.
func openWith(t testing.TB, name string, more []graph.MetaValue) *graph.Model {
	t.Helper()
	f := parse(t, name, dataFile(t, name))
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range f.Metadata().Keys() {
		v, _ := f.Metadata().Get(key)
		check(w.Set(key, v))
	}
	for _, m := range more {
		check(w.Set(m.Key, m.Value))
	}
	for _, x := range f.Tensors() {
		check(w.Add(gguf.TensorInfo{Name: x.Name, Type: x.Type, Dims: x.Dims}))
	}
	for _, x := range f.Tensors() {
		check(w.WriteTensor(x.Name, bytes.NewReader(x.Data)))
	}
	check(w.Close())
	m, err := graph.Bind(parse(t, name, b.Bytes()))
	check(err)
	return m
}

// llamaReference is llama.cpp's answer for a float32 model with an F32 KV cache
// (bench/rivals/llama_logits.py).
func llamaReference(t testing.TB, name string) reference {
	t.Helper()
	var index struct {
		Tokens []int32
		Files  map[string]struct{ Shape [2]int }
	}
	if err := json.Unmarshal(dataFile(t, "index.json"), &index); err != nil {
		t.Fatal(err)
	}
	shape := index.Files[strings.TrimSuffix(name, "-f32")].Shape
	return reference{name, index.Tokens, floats(t, "tiny-"+name+".logits.f32", shape)}
}

// floats reads a little-endian row-major dump.
func floats(t testing.TB, name string, shape [2]int) [][]float32 {
	t.Helper()
	data := dataFile(t, name)
	if len(data) != 4*shape[0]*shape[1] || len(data) == 0 {
		t.Fatalf("devtest: %s has %d bytes, its shape is %v", name, len(data), shape)
	}
	rows := make([][]float32, shape[0])
	for r := range rows {
		rows[r] = make([]float32, shape[1])
		for c := range rows[r] {
			rows[r][c] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*(r*shape[1]+c):]))
		}
	}
	return rows
}
