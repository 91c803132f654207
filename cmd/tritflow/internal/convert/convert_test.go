package convert

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/convert/hftest"
	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/gguf/hf"
	"tritflow/graph"
	"tritflow/quantkern"
	"tritflow/stages"
)

// synthetic is a file of `tritflow synth`.
func synthetic(t *testing.T, shape graph.Shape, typ string) *gguf.File {
	t.Helper()
	ty, ok := gguf.TypeByName(typ)
	if !ok {
		t.Fatalf("no type %s", typ)
	}
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	if err := synth.Write(t.Context(), w, synth.Options{Shape: shape, Type: ty, Seed: 5}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return parse(t, b.Bytes())
}

func parse(t *testing.T, data []byte) *gguf.File {
	t.Helper()
	f, err := gguf.Parse("file", data, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func shapeOf(t *testing.T, name, arch string) graph.Shape {
	t.Helper()
	s, err := graph.ShapeByName(name)
	if err != nil {
		t.Fatal(err)
	}
	s.Arch = arch
	return s
}

func folderOf(t *testing.T, f *gguf.File, opt hftest.Options) string {
	t.Helper()
	dir := t.TempDir()
	if err := hftest.Write(dir, f, opt); err != nil {
		t.Fatal(err)
	}
	return dir
}

func convert(t *testing.T, dir string, opt Options) (*gguf.File, error) {
	t.Helper()
	f, err := hf.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	if _, err := Write(t.Context(), w, f, opt); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return parse(t, b.Bytes()), nil
}

func mustConvert(t *testing.T, dir string, opt Options) *gguf.File {
	t.Helper()
	f, err := convert(t, dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// tritsOf are a tensor's trits and what one stands for, a scale beside it included.
func tritsOf(t *testing.T, f *gguf.File, name string) ([]int8, float32) {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	c, err := quantkern.Lookup(x.Type.String())
	if err != nil {
		t.Fatal(err)
	}
	rows, cols := x.Rows(), x.Cols()
	trits, scale := make([]int8, rows*cols), float32(0)
	values := make([]float32, cols)
	for r := range rows {
		c.Decode(values, x.Data, rows, cols, r)
		for i, v := range values {
			switch {
			case v > 0:
				trits[r*cols+i], scale = 1, v
			case v < 0:
				trits[r*cols+i], scale = -1, -v
			}
		}
	}
	if s, ok := f.Tensor(strings.TrimSuffix(name, "weight") + "scale"); ok {
		var v [1]float32
		c, _ := quantkern.Lookup(s.Type.String())
		c.Decode(v[:], s.Data, 1, 1, 0)
		scale *= v[0]
	}
	return trits, scale
}

// valuesOf decodes a tensor.
func valuesOf(t *testing.T, f *gguf.File, name string) []float32 {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	c, err := quantkern.Lookup(x.Type.String())
	if err != nil {
		t.Fatal(err)
	}
	rows, cols := x.Rows(), x.Cols()
	v := make([]float32, rows*cols)
	for r := range rows {
		c.Decode(v[r*cols:(r+1)*cols], x.Data, rows, cols, r)
	}
	return v
}

// rounded is what is left of values in BF16 and then in the type of a tensor.
func rounded(t *testing.T, values []float32, types ...string) []float32 {
	t.Helper()
	for _, typ := range types {
		c, err := quantkern.Lookup(typ)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, c.Size(1, len(values)))
		if err := c.Encode(raw, values, 1, len(values)); err != nil {
			t.Fatal(err)
		}
		out := make([]float32, len(values))
		c.Decode(out, raw, 1, len(values), 0)
		values = out
	}
	return values
}

// TestPackedVectors unpacks what transformers' own formula packed.
func TestPackedVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/hf_pack.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Out    int    `json:"out_features"`
		In     int    `json:"in_features"`
		Trits  []int  `json:"weights_row_major"`
		Packed string `json:"bytes_hex"`
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	packed, err := hex.DecodeString(v.Packed)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	header := fmt.Sprintf(`{"w":{"dtype":"U8","shape":[%d,%d],"data_offsets":[0,%d]},"s":{"dtype":"BF16","shape":[1],"data_offsets":[%d,%d]}}`,
		v.Out/4, v.In, len(packed), len(packed), len(packed)+2)
	writeFile(t, dir, "model.safetensors", string(safetensors(header, append(packed, 0x00, 0x3f)))) // 0.5
	writeFile(t, dir, "config.json", minimalConfig)
	f, err := hf.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &part{rows: v.Out, cols: v.In, from: f.Tensor("w"), factor: f.Tensor("s")}
	for over, want := range map[string]float32{ScaleTimes: 0.5, ScaleOver: 2} {
		m, err := p.unpack(&job{folder: f, opt: Options{Scale: over}})
		if err != nil {
			t.Fatal(err)
		}
		for i, trit := range v.Trits {
			if m.values[i] != float32(trit) {
				t.Fatalf("value %d is %v, want %d", i, m.values[i], trit)
			}
		}
		if m.scale != want {
			t.Errorf("%s: scale %v, want %v", over, m.scale, want)
		}
	}
	// The generator that the other tests use packs alike.
	trits := make([]float32, len(v.Trits))
	for i, x := range v.Trits {
		trits[i] = float32(x)
	}
	if got := hftest.Pack(trits, v.Out, v.In); !bytes.Equal(got, packed) {
		t.Errorf("%x", got)
	}
}

const minimalConfig = `{"architectures":["BitNetForCausalLM"],"hidden_size":128,"intermediate_size":128,"num_hidden_layers":1,
	"num_attention_heads":2,"vocab_size":8,"max_position_embeddings":16,"rms_norm_eps":1e-5,"hidden_act":"relu2"}`

func writeFile(t *testing.T, dir, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
		t.Fatal(err)
	}
}

func safetensors(header string, data []byte) []byte {
	b := []byte{byte(len(header)), byte(len(header) >> 8), 0, 0, 0, 0, 0, 0}
	return append(append(b, header...), data...)
}

// TestTernaryFolders: folders of 2B4T's structure (and of 1bitLLM's, and of
// Llama's with its permuted rows), packed in both ways and as master weights, in
// one file and in several, become the trits and scales of the file that they were made from.
func TestTernaryFolders(t *testing.T) {
	for _, c := range []struct {
		arch   string
		own    bool
		style  hftest.Style
		shards int
		typ    string
	}{
		{"bitnet-b1.58", false, hftest.Packed, 1, ""},
		{"bitnet-b1.58", false, hftest.Packed, 3, "tq2_0"},
		{"bitnet-b1.58", false, hftest.PackedOver, 1, "i2_s"},
		{"bitnet-b1.58", false, hftest.Masters, 2, "i2_s"},
		{"bitnet", false, hftest.Masters, 1, "tq1_0"},
		{"bitnet", false, hftest.Packed, 1, "f16"},
		{"llama", true, hftest.PackedOver, 2, "i2_s"},
		{"llama", true, hftest.Packed, 1, "f32"},
		{"qwen3", false, hftest.Masters, 1, "tq2_0"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", c.arch, c.style, c.typ), func(t *testing.T) {
			shape := shapeOf(t, "tiny", c.arch)
			shape.OwnHead = c.own
			if c.arch == "bitnet" {
				shape.Activation = graph.SiLU
			}
			from := synthetic(t, shape, "I2_S")
			got := mustConvert(t, folderOf(t, from, hftest.Options{Style: c.style, Shards: c.shards}), Options{Type: c.typ})
			m, err := graph.Bind(got)
			if err != nil {
				t.Fatal(err)
			}
			want, err := graph.Bind(from)
			if err != nil {
				t.Fatal(err)
			}
			if m.Arch != c.arch || m.Head.Tied == c.own || len(m.Surplus) > 0 || m.Blocks[0].Activation != want.Blocks[0].Activation ||
				m.Blocks[0].Rope.Base != want.Blocks[0].Rope.Base || m.Blocks[0].AttnNorm.Eps != want.Blocks[0].AttnNorm.Eps {
				t.Errorf("%s, tied %v, surplus %v, block %+v", m.Arch, m.Head.Tied, m.Surplus, m.Blocks[0])
			}
			for _, x := range from.Tensors() {
				if x.Type.String() != "I2_S" {
					y, _ := got.Tensor(x.Name)
					if y == nil || !slices.Equal(valuesOf(t, got, x.Name), rounded(t, valuesOf(t, from, x.Name), "BF16", y.Type.String())) {
						t.Errorf("%s is not what it was", x.Name)
					}
					continue
				}
				wantTrits, wantScale := tritsOf(t, from, x.Name)
				trits, scale := tritsOf(t, got, x.Name)
				if !slices.Equal(trits, wantTrits) {
					t.Fatalf("%s has other trits", x.Name)
				}
				if c.style == hftest.Masters {
					wantScale = meanOf(t, from, x, wantTrits, wantScale)
				}
				if off := math.Abs(float64(scale/wantScale) - 1); off > 0 && (c.style != hftest.PackedOver || off > 2e-7) {
					t.Errorf("%s: scale %v, want %v", x.Name, scale, wantScale)
				}
			}
		})
	}
}

// meanOf is the mean magnitude of the master weights of a tensor.
func meanOf(t *testing.T, f *gguf.File, x *gguf.Tensor, trits []int8, scale float32) float32 {
	t.Helper()
	i := slices.Index(f.Tensors(), x)
	v := make([]float32, len(trits))
	for j, trit := range trits {
		v[j] = float32(trit)
	}
	sum := 0.0
	for _, w := range rounded(t, hftest.Blur(v, scale, uint64(i)), "BF16") {
		sum += math.Abs(float64(w))
	}
	return float32(sum / float64(len(trits)))
}

// TestSameLogits: the types of one folder are the same model, to the bit.
func TestSameLogits(t *testing.T) {
	dir := folderOf(t, synthetic(t, shapeOf(t, "tiny", "bitnet-b1.58"), "I2_S"), hftest.Options{Style: hftest.Masters})
	var want []float32
	for _, typ := range []string{"i2_s", "i2_s_b", "i2_s_c", "tl1", "tl2", "tq1_0", "tq2_0", "q2_0", "q2_0_128", "iq2_bn", "iq1_bn"} {
		e, err := stages.New(t.Context(), mustConvert(t, dir, Options{Type: typ}), stages.Options{Devices: "cpu:1"})
		if err != nil {
			t.Fatal(err)
		}
		var got []float32
		for row, err := range e.Logits(t.Context(), []int32{1, 300, 17, 42, 511}, false) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, row...)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("%s answers otherwise", typ)
		}
	}
}

// TestRealFolders: weights that are no trits come through unchanged, rows of Q
// and K in the order of the architecture.
func TestRealFolders(t *testing.T) {
	for _, arch := range []string{"llama", "qwen3", "bitnet"} {
		t.Run(arch, func(t *testing.T) {
			from, err := gguf.Open("../../../../graph/testdata/tiny-"+arch+"-f32.gguf", gguf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer from.Close()
			if arch == "bitnet" {
				// Its matrices are trained to be rounded, so there is nothing real to keep.
				if _, err := convert(t, folderOf(t, from, hftest.Options{Style: hftest.Real}), Options{Type: "f32"}); err != nil {
					t.Error(err)
				}
				return
			}
			dir := folderOf(t, from, hftest.Options{Style: hftest.Real, Config: map[string]any{
				"rope_scaling": map[string]any{"rope_type": map[string]string{"llama": "llama3", "qwen3": "yarn"}[arch],
					"factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}}})
			got := mustConvert(t, dir, Options{Type: "f32", Head: "f32"})
			for _, x := range from.Tensors() {
				if x.Name != "rope_freqs.weight" && !slices.Equal(valuesOf(t, got, x.Name), valuesOf(t, from, x.Name)) {
					t.Errorf("%s is not what it was", x.Name)
				}
			}
			m, err := graph.Bind(got)
			if err != nil {
				t.Fatal(err)
			}
			if m.Blocks[0].Rope.Factors == nil || len(m.Surplus) > 0 {
				t.Errorf("positions are not stretched, or surplus %v", m.Surplus)
			}
		})
	}
}

// TestRefusesToRound: real weights become trits only where the folder says that
// they were trained for it, or the user does.
func TestRefusesToRound(t *testing.T) {
	from := synthetic(t, shapeOf(t, "tiny", "llama"), "I2_S")
	dir := folderOf(t, from, hftest.Options{Style: hftest.Masters, Config: map[string]any{"quantization_config": nil}})
	for _, typ := range []string{"i2_s", "tq2_0", "tq1_0"} {
		_, err := convert(t, dir, Options{Type: typ})
		if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(err.Error(), "not ternary") || e.Tensor != "model.layers.0.self_attn.q_proj.weight" {
			t.Errorf("%s: %v", typ, err)
		}
		got := mustConvert(t, dir, Options{Type: typ, Absmean: true})
		want, _ := tritsOf(t, from, "blk.2.ffn_up.weight")
		if trits, _ := tritsOf(t, got, "blk.2.ffn_up.weight"); !slices.Equal(trits, want) {
			t.Errorf("%s: other trits", typ)
		}
	}
	if x, _ := mustConvert(t, dir, Options{}).Tensor("blk.0.attn_q.weight"); x.Type.String() != "F16" {
		t.Errorf("the default is %s", x.Type)
	}
}

// TestLlama3Factors: what transformers' formula for Llama 3.1 gives (head of
// 128, base 500000, factor 8, 1 and 4, 8192), worked out by hand for some pairs.
func TestLlama3Factors(t *testing.T) {
	got := llama3Factors(&hf.RopeScaling{Factor: 8, Low: 1, High: 4, Original: 8192}, 128, 500000)
	for i, want := range map[int]float64{
		0: 1, 28: 1, 29: 1.207483871283662, 30: 1.5534146285049255, 32: 2.694529687894733, 34: 5.257326588708467, 35: 8, 63: 8,
	} {
		if math.Abs(float64(got[i])-want) > 1e-6*want {
			t.Errorf("divisor %d is %v, want %v", i, got[i], want)
		}
	}
}

// TestTypesAndHeads: every type that can be written, for matrices and for the embedding.
func TestTypesAndHeads(t *testing.T) {
	dir := folderOf(t, synthetic(t, shapeOf(t, "tiny", "bitnet-b1.58"), "I2_S"), hftest.Options{Style: hftest.Packed})
	for _, head := range []string{"f32", "q8_0", "q6_k", "q4_0"} {
		m, err := graph.Bind(mustConvert(t, dir, Options{Head: head, Name: "x"}))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Embed.Weight.Type.String(); !strings.EqualFold(got, head) || m.Name != "x" {
			t.Errorf("%s: %s, %s", head, got, m.Name)
		}
	}
	for _, opt := range []Options{{Type: "q2_k"}, {Type: "nothing"}, {Head: "tq2_0"}, {Pre: "nothing"}} {
		if _, err := convert(t, dir, opt); err == nil {
			t.Errorf("%+v was accepted", opt)
		}
	}
}

// TestMetadata: what the file says of itself.
func TestMetadata(t *testing.T) {
	dir := folderOf(t, synthetic(t, shapeOf(t, "tiny", "bitnet-b1.58"), "I2_S"), hftest.Options{Style: hftest.Packed})
	writeFile(t, dir, "generation_config.json", `{"eos_token_id":[503,509],"temperature":0.6,"top_p":0.9,"top_k":50}`)
	md := mustConvert(t, dir, Options{}).Metadata()
	for key, want := range map[string]string{
		"general.architecture": "bitnet-b1.58", "general.file_type": "40", "bitnet-b1.58.hidden_activation": "relu2",
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.bos_token_id": "502",
		"tokenizer.ggml.eos_token_id": "503", "tokenizer.ggml.eot_token_id": "509", "tokenizer.ggml.add_bos_token": "true",
		"general.sampling.temp": "0.6", "general.sampling.top_p": "0.9", "general.sampling.top_k": "50",
	} {
		v, ok := md.Get(key)
		if got := strings.Trim(v.String(), `"`); !ok || got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if s, err := md.Str("tokenizer.chat_template"); err != nil || !strings.Contains(s, "messages") {
		t.Errorf("template %q, %v", s, err)
	}
}

// TestCancelled: a conversion that is broken off ends with the reason.
func TestCancelled(t *testing.T) {
	f, err := hf.Open(folderOf(t, synthetic(t, shapeOf(t, "tiny", "bitnet-b1.58"), "I2_S"), hftest.Options{Style: hftest.Packed}))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := filepath.Join(t.TempDir(), "out.gguf")
	w, err := gguf.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Write(ctx, w, f, Options{Progress: func(int, int) { cancel() }})
	if err == nil || ctx.Err() == nil {
		t.Fatalf("got %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(out)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
