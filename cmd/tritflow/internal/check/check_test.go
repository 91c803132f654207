package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
)

// tiny is a small valid model as a file's bytes.
func tiny(t testing.TB) []byte {
	t.Helper()
	shape, err := graph.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := gguf.TypeByName("I2_S")
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	if err := synth.Write(context.Background(), w, synth.Options{Shape: shape, Type: typ, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func examine(t *testing.T, data []byte) *Report {
	t.Helper()
	f, err := gguf.Parse("tiny", data, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := File(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// at finds where a tensor's bytes begin in the file.
func at(t *testing.T, data []byte, name string) (offset uint64, size int) {
	t.Helper()
	f, err := gguf.Parse("tiny", data, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	return x.Offset, len(x.Data)
}

func TestGoodModels(t *testing.T) {
	if r := examine(t, tiny(t)); !r.OK || len(r.Reasons) > 0 {
		t.Errorf("synthetic model: %+v", r.Reasons)
	}
	r, err := File(t.Context(), gguftest.Open(t, ""), Options{})
	if err != nil || !r.OK {
		t.Errorf("built-in model: %v %+v", err, r)
	}
}

func TestDamagedValues(t *testing.T) {
	nan, inf := math.Float32bits(float32(math.NaN())), math.Float32bits(float32(math.Inf(1)))
	for _, c := range []struct {
		name, tensor string
		damage       func(data []byte) // of the tensor
		reason, warn string
	}{
		{"weight NaN", "blk.1.attn_norm.weight", func(b []byte) { binary.LittleEndian.PutUint32(b[8:], nan) },
			`"blk.1.attn_norm.weight" has weights that are NaN or infinite in 1 of 1 rows, first at row 0, column 2`, ""},
		{"weight infinite", "token_embd.weight", func(b []byte) { binary.LittleEndian.PutUint16(b[2*256*5+4:], 0x7c00) },
			`"token_embd.weight" has weights that are NaN or infinite in 1 of 512 rows, first at row 5, column 2`, ""},
		{"scale infinite", "blk.0.ffn_up.weight", func(b []byte) { binary.LittleEndian.PutUint32(b[len(b)-32:], inf) },
			`"blk.0.ffn_up.weight" has scales that are NaN or infinite`, ""},
		{"undefined code", "blk.2.attn_q.weight", func(b []byte) { b[0] |= 0xc0; b[100] |= 0x03 },
			"", `"blk.2.attn_q.weight" has 2 codes that type I2_S does not define`},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := tiny(t)
			offset, size := at(t, data, c.tensor)
			c.damage(data[offset:][:size])
			r := examine(t, data)
			if got := messages(r.Reasons); c.reason == "" && got != "" || !strings.Contains(got, c.reason) {
				t.Errorf("reasons %q, want %q", got, c.reason)
			}
			if got := messages(r.Warnings); !strings.Contains(got, c.warn) {
				t.Errorf("warnings %q, want %q", got, c.warn)
			}
			if r.OK != (c.reason == "") {
				t.Errorf("OK is %v", r.OK)
			}
		})
	}
}

func messages(ps []Problem) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Message)
	}
	return strings.Join(out, "; ")
}

// TestAllReasonsAreCollected: one fault of each kind in one file.
func TestAllReasonsAreCollected(t *testing.T) {
	f32, _ := gguf.TypeByName("F32")
	noCodec, ok := gguf.TypeByName("Q2_K")
	if !ok {
		t.Fatal("the test needs a type that has no codec")
	}
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for key, value := range map[string]any{
		"general.architecture": "mamba", "tokenizer.ggml.model": "bert",
	} {
		if err := w.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	infos := []gguf.TensorInfo{{Name: "bad", Type: f32, Dims: []uint64{4}}, {Name: "odd", Type: noCodec, Dims: []uint64{256}}}
	for _, i := range infos {
		if err := w.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range infos {
		n, err := i.Type.Size(i.Dims)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor(i.Name, bytes.NewReader(bytes.Repeat([]byte{0xff}, int(n)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := examine(t, b.Bytes())
	kinds := map[string]bool{}
	for _, p := range r.Reasons {
		kinds[p.Kind] = true
	}
	for _, want := range []string{"vocabulary", "network", "type", "values"} {
		if !kinds[want] {
			t.Errorf("no reason of kind %q in %+v", want, r.Reasons)
		}
	}
	if r.OK {
		t.Error("a file with all these faults is called fit to run")
	}
}

func TestMissingTensorsAreNamedEach(t *testing.T) {
	f, err := gguf.Parse("tiny", tiny(t), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gone := map[string]bool{"output_norm.weight": true, "blk.1.ffn_gate.weight": true}
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range f.Metadata().Keys() {
		v, _ := f.Metadata().Get(k)
		if err := w.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	each := func(do func(x *gguf.Tensor) error) {
		for _, x := range f.Tensors() {
			if !gone[x.Name] {
				if err := do(x); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	each(func(x *gguf.Tensor) error { return w.Add(gguf.TensorInfo{Name: x.Name, Type: x.Type, Dims: x.Dims}) })
	each(func(x *gguf.Tensor) error { return w.WriteTensor(x.Name, bytes.NewReader(x.Data)) })
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := examine(t, b.Bytes())
	named := map[string]bool{}
	for _, p := range r.Reasons {
		named[p.Tensor] = true
	}
	for name := range gone {
		if !named[name] {
			t.Errorf("%s is not named in %+v", name, r.Reasons)
		}
	}
}

// TestDamageHidesNothing: a file that lost its second half, in which a norm
// holds a NaN, a matrix has codes without a meaning, a tensor is surplus, one
// is missing, and whose tokenizer is unknown and too large. All of it is told.
func TestDamageHidesNothing(t *testing.T) {
	whole, err := gguf.Parse("tiny", tiny(t), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	f32, _ := gguf.TypeByName("F32")
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range whole.Metadata().Keys() {
		v, _ := whole.Metadata().Get(k)
		if err := w.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	tokens, err := whole.Metadata().Strings("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(w.Set("tokenizer.ggml.model", "bert"), w.Set("tokenizer.ggml.tokens", append(tokens, "surplus")),
		w.Add(gguf.TensorInfo{Name: "vision", Type: f32, Dims: []uint64{3}}))
	if err != nil {
		t.Fatal(err)
	}
	var kept []*gguf.Tensor
	for _, x := range whole.Tensors() {
		if x.Name != "blk.0.ffn_norm.weight" {
			kept = append(kept, x)
			if err := w.Add(gguf.TensorInfo{Name: x.Name, Type: x.Type, Dims: x.Dims}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.WriteTensor("vision", bytes.NewReader(make([]byte, 12))); err != nil {
		t.Fatal(err)
	}
	for _, x := range kept {
		data := bytes.Clone(x.Data)
		switch x.Name {
		case "blk.0.attn_norm.weight":
			binary.LittleEndian.PutUint32(data[8:], math.Float32bits(float32(math.NaN())))
		case "blk.0.attn_q.weight":
			data[0] |= 0xc0
		}
		if err := w.WriteTensor(x.Name, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "damaged.gguf")
	made, err := gguf.Parse("damaged", b.Bytes(), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lost, ok := made.Tensor("blk.2.attn_q.weight")
	if !ok {
		t.Fatal("no such tensor")
	}
	if err := os.WriteFile(path, b.Bytes()[:lost.Offset+8], 0o600); err != nil {
		t.Fatal(err)
	}
	f, faults, err := gguf.Survey(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := File(t.Context(), f, Options{Faults: faults})
	if err != nil || r.OK {
		t.Fatal(r.OK, err)
	}
	found := func(all []Problem, kind, tensor, text string) bool {
		for _, p := range all {
			if p.Kind == kind && p.Tensor == tensor && strings.Contains(p.Message, text) {
				return true
			}
		}
		return false
	}
	for _, want := range []Problem{
		{Kind: "file", Tensor: "blk.2.attn_q.weight", Message: "do not fit the file's"},
		{Kind: "vocabulary", Tensor: "", Message: "bert"},
		{Kind: "vocabulary", Tensor: "", Message: "has 513 entries"},
		{Kind: "network", Tensor: "blk.0.ffn_norm.weight", Message: "is missing"},
		{Kind: "values", Tensor: "blk.0.attn_norm.weight", Message: "NaN or infinite in 1 of 1 rows"},
	} {
		if !found(r.Reasons, want.Kind, want.Tensor, want.Message) {
			t.Errorf("no reason %+v in %+v", want, r.Reasons)
		}
	}
	for _, want := range []Problem{
		{Kind: "network", Tensor: "vision", Message: "does not use"},
		{Kind: "values", Tensor: "blk.0.attn_q.weight", Message: "codes that type I2_S does not define"},
	} {
		if !found(r.Warnings, want.Kind, want.Tensor, want.Message) {
			t.Errorf("no warning %+v in %+v", want, r.Warnings)
		}
	}
	for _, p := range r.Reasons {
		if p.Kind == "network" && p.Tensor == "blk.2.attn_q.weight" {
			t.Errorf("a tensor that is cut off is told twice: %s", p.Message)
		}
	}
}

// TestUnknownTypeIsToldOnce although binding sees it too.
func TestUnknownTypeIsToldOnce(t *testing.T) {
	data := tiny(t)
	// The last field but one of a tensor info is the type.
	name := []byte("blk.1.attn_norm.weight")
	at := bytes.Index(data, name) + len(name) + 4 + 8
	if got := binary.LittleEndian.Uint32(data[at:]); got != 0 {
		t.Fatalf("found %d instead of the type F32", got)
	}
	binary.LittleEndian.PutUint32(data[at:], 4)
	path := filepath.Join(t.TempDir(), "type.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, faults, err := gguf.Survey(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := File(t.Context(), f, Options{Faults: faults})
	if err != nil || len(r.Reasons) != 1 || r.Reasons[0].Tensor != string(name) || !strings.Contains(r.Reasons[0].Message, "type id 4") {
		t.Errorf("%v %+v", err, r)
	}
}

func TestFileThatShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, tiny(t), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 64<<10); err != nil {
		t.Skip("a mapped file cannot be cut here:", err)
	}
	r, err := File(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.OK || !strings.Contains(messages(r.Reasons), "cannot read byte") {
		t.Errorf("%+v", r)
	}
}

func TestInterrupted(t *testing.T) {
	f, err := gguf.Parse("tiny", tiny(t), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := File(ctx, f, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnreadable(t *testing.T) {
	r := Unreadable("x.gguf", fmt.Errorf("it is gone"))
	if r.OK || messages(r.Reasons) != "it is gone" || r.File != "x.gguf" {
		t.Errorf("%+v", r)
	}
}
