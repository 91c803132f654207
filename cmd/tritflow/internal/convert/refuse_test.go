package convert

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/convert/hftest"
	"tritflow/gguf/hf"
)

// weights is a safetensors file that a test may spoil.
type weights struct {
	header map[string]*entry
	data   []byte
}

type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"`
}

func readWeights(t *testing.T, path string) *weights {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 8 + binary.LittleEndian.Uint64(raw)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw[8:n], &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "__metadata__")
	w := &weights{header: map[string]*entry{}, data: raw[n:]}
	for name, f := range fields {
		w.header[name] = new(entry)
		if err := json.Unmarshal(f, w.header[name]); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *weights) write(t *testing.T, path string) {
	t.Helper()
	raw, err := json.Marshal(w.header)
	if err != nil {
		t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(raw)))
	if err := os.WriteFile(path, append(append(b, raw...), w.data...), 0o666); err != nil {
		t.Fatal(err)
	}
}

// at is the data of a tensor.
func (w *weights) at(name string) []byte {
	e := w.header[name]
	return w.data[e.Offsets[0]:e.Offsets[1]]
}

// TestRefusals: whatever is wrong with a folder is told by file, and tensor or field.
func TestRefusals(t *testing.T) {
	const (
		q     = "model.layers.1.self_attn.q_proj.weight"
		scale = "model.layers.1.self_attn.q_proj.weight_scale"
		norm  = "model.layers.0.input_layernorm.weight"
	)
	from := synthetic(t, shapeOf(t, "tiny", "bitnet-b1.58"), "I2_S")
	spoil := func(fn func(w *weights)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, "model.safetensors")
			w := readWeights(t, path)
			fn(w)
			w.write(t, path)
		}
	}
	field := func(name string, value any) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { setField(t, filepath.Join(dir, "config.json"), name, value) }
	}
	write := func(name, data string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { writeFile(t, dir, name, data) }
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(keep float64) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, "model.safetensors")
			st, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, int64(keep*float64(st.Size())))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		says  []string
	}{
		{"no weights", remove("model.safetensors"), []string{"neither model.safetensors"}},
		{"no config", remove("config.json"), []string{"config.json", "no such file"}},
		{"no tokenizer", remove("tokenizer.json"), []string{"neither tokenizer.json nor tokenizer.model"}},
		{"config is no JSON", write("config.json", "{"), []string{"config.json"}},
		{"tokenizer is no JSON", write("tokenizer.json", "[]"), []string{"tokenizer.json"}},
		{"settings are no JSON", write("tokenizer_config.json", "x"), []string{"tokenizer_config.json"}},
		{"generation is no JSON", write("generation_config.json", "x"), []string{"generation_config.json"}},
		{"cut short", cut(0.9), []string{"model.safetensors", "lie at bytes"}},
		{"cut in the header", cut(0.001), []string{"cut short"}},
		{"empty", cut(0), []string{"too short"}},
		{"no safetensors", write("model.safetensors", "GGUF-------------------------"), []string{"header claims"}},
		{"header is no object", write("model.safetensors", "\x02\x00\x00\x00\x00\x00\x00\x00[]"), []string{"no JSON object"}},
		{"missing tensor", spoil(func(w *weights) { delete(w.header, norm) }), []string{norm, "missing"}},
		{"missing head", field("tie_word_embeddings", false), []string{"lm_head.weight", "missing"}},
		{"missing scale", spoil(func(w *weights) { delete(w.header, scale) }), []string{q, "weight_scale is missing"}},
		{"one tensor more", spoil(func(w *weights) {
			w.header["model.layers.0.self_attn.rms_norm.weight"] = &entry{"U8", []int{4}, []int{len(w.data), len(w.data) + 4}}
			w.data = append(w.data, 1, 2, 3, 4)
		}), []string{"rms_norm", "no place"}},
		{"two tensors in one place", spoil(func(w *weights) { w.header[norm].Offsets = w.header["model.norm.weight"].Offsets }), []string{norm, "begins inside"}},
		{"other shape", spoil(func(w *weights) { w.header[norm].Shape = []int{2, 128} }), []string{norm, "[2 128]", "[256]"}},
		{"shape and bytes", spoil(func(w *weights) { w.header[norm].Shape = []int{255} }), []string{norm, "takes 510 bytes"}},
		{"huge shape", spoil(func(w *weights) { w.header[norm].Shape = []int{1 << 30, 1 << 30, 1 << 30} }), []string{norm, "impossible"}},
		{"offsets", spoil(func(w *weights) { w.header[norm].Offsets = []int{10, 5} }), []string{norm, "bytes [10 5]"}},
		{"type of another world", spoil(func(w *weights) { w.header[norm].DType = "Q4" }), []string{norm, "none of safetensors"}},
		{"integers", spoil(func(w *weights) { w.header[norm].DType = "I16" }), []string{norm, "I16 is not supported"}},
		{"code 3", spoil(func(w *weights) { w.at(q)[7] |= 3 }), []string{q, "row 0, column 7", "code 3"}},
		{"NaN", spoil(func(w *weights) { copy(w.at(norm)[6:], "\xc0\x7f") }), []string{norm, "value 3 of row 0", "not finite"}},
		{"scale of 0", spoil(func(w *weights) { clear(w.at(scale)) }), []string{scale, "out of range"}},
		{"scale the other way round", spoil(func(w *weights) { copy(w.at(scale), "\x00\x00\xc8\x42") }), []string{scale, "--scale over"}},
		{"architecture", field("architectures", []string{"MambaForCausalLM"}), []string{"architectures", "Mamba"}},
		{"no architecture", field("architectures", nil), []string{"architectures"}},
		{"activation", field("hidden_act", "gelu"), []string{"hidden_act", "gelu"}},
		{"no width", field("hidden_size", nil), []string{"hidden_size"}},
		{"heads", field("num_key_value_heads", 3), []string{"num_key_value_heads", "3 does not divide"}},
		{"odd heads", field("head_dim", 63), []string{"head_dim", "63"}},
		{"blocks", field("num_hidden_layers", 1<<29), []string{"num_hidden_layers"}},
		{"one block more", field("num_hidden_layers", 4), []string{"model.layers.3", "missing"}},
		{"one block less", field("num_hidden_layers", 2), []string{"model.layers.2", "no place"}},
		{"eps", field("rms_norm_eps", 0), []string{"rms_norm_eps"}},
		{"quantization", field("quantization_config", map[string]any{"quant_method": "gptq"}), []string{"quant_method", "gptq"}},
		{"inner norms", field("quantization_config", map[string]any{"quant_method": "bitnet", "use_rms_norm": true}), []string{"use_rms_norm"}},
		{"rope", field("rope_scaling", map[string]any{"rope_type": "longrope", "factor": 2}), []string{"rope_type", "longrope"}},
		{"factor", field("rope_scaling", map[string]any{"type": "linear"}), []string{"rope_scaling.factor"}},
		{"window", field("sliding_window", 64), []string{"sliding_window"}},
		{"vocabulary", field("vocab_size", 511), []string{"model.embed_tokens", "[512 256]", "[511 256]"}},
		{"one token more", func(t *testing.T, dir string) {
			setField(t, filepath.Join(dir, "tokenizer.json"), "added_tokens", []any{map[string]any{"id": 512, "content": "x"}})
		}, []string{"513 tokens", "vocab_size 512"}},
		{"unigram", write("tokenizer.json", `{"model":{"type":"Unigram"}}`), []string{"model.type", "Unigram"}},
		{"unknown splitting", write("tokenizer.json", `{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"a+"}},{"type":"ByteLevel","use_regex":false}]},"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`),
			[]string{"pre_tokenizer", "a+", "--pre"}},
		{"shard missing", write("model.safetensors.index.json", `{"weight_map":{"a":"model-00001-of-00002.safetensors"}}`), []string{"model-00001-of-00002", "missing"}},
		{"shard outside", write("model.safetensors.index.json", `{"weight_map":{"a":"../x"}}`), []string{"weight_map", "outside"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folderOf(t, from, hftest.Options{Style: hftest.Packed})
			c.spoil(t, dir)
			_, err := convert(t, dir, Options{})
			var he *hf.Error
			var ce *Error
			if !errors.As(err, &he) && !errors.As(err, &ce) {
				t.Fatalf("got %v", err)
			}
			for _, s := range append(c.says, dir) {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// setField sets or removes a field of a JSON file.
func setField(t *testing.T, path, name string, value any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	if fields[name] = value; value == nil {
		delete(fields, name)
	}
	if raw, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Dir(path), filepath.Base(path), string(raw))
}
