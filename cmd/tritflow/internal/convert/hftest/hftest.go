// Package hftest makes model folders as the Hugging Face libraries write them
// out of GGUF files, for tests: what convert does, backwards and by other means.
package hftest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// Style is how matrices are stored.
type Style string

// The styles. Real keeps values as they are, in F32; the others have everything
// but the matrices in BF16.
const (
	Packed     Style = "packed"      // trits in U8, and the scale that a trit stands for (autobitlinear, offline)
	PackedOver Style = "packed over" // trits in U8, and 1 over the scale (bitlinear)
	Masters    Style = "masters"     // BF16 weights from which training rounds trits
	Real       Style = "real"
)

// Options of Write.
type Options struct {
	Style  Style
	Shards int            // files of weights; 0 and 1: model.safetensors
	Config map[string]any // fields of config.json to set, or to remove (nil)
}

// families are the architectures that folders know, by ours.
var families = map[string]string{
	"bitnet-b1.58": "BitNetForCausalLM", "bitnet": "BitnetForCausalLM", "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM",
}

// names of a block's tensors, ours and theirs; 1bitLLM's models have the second form.
var names = map[string][2]string{
	"attn_norm": {"input_layernorm"}, "ffn_norm": {"post_attention_layernorm"},
	"attn_q": {"self_attn.q_proj"}, "attn_k": {"self_attn.k_proj"}, "attn_v": {"self_attn.v_proj"}, "attn_output": {"self_attn.o_proj"},
	"attn_q_norm": {"self_attn.q_norm"}, "attn_k_norm": {"self_attn.k_norm"},
	"ffn_gate": {"mlp.gate_proj"}, "ffn_up": {"mlp.up_proj"}, "ffn_down": {"mlp.down_proj"},
	"attn_sub_norm": {"self_attn.attn_sub_norm", "self_attn.inner_attn_ln"}, "ffn_sub_norm": {"mlp.ffn_sub_norm", "mlp.ffn_layernorm"},
}

// source is a tensor of the folder.
type source struct {
	name  string
	dtype string
	shape []int
	data  func() ([]byte, error)
}

// Write makes the folder. Tensors pass through one at a time.
func Write(dir string, f *gguf.File, opt Options) error {
	m, err := graph.Bind(f)
	if err != nil {
		return err
	}
	var sources []source
	for i, t := range f.Tensors() {
		if t.Name == "rope_freqs.weight" || strings.HasSuffix(t.Name, ".scale") {
			continue // written as settings, or put into the weights
		}
		list, err := describe(f, m, t, opt.Style, uint64(i))
		if err != nil {
			return err
		}
		sources = append(sources, list...)
	}
	if err := writeWeights(dir, sources, max(opt.Shards, 1)); err != nil {
		return err
	}
	if err := writeJSON(dir, "config.json", config(m, opt)); err != nil {
		return err
	}
	return writeTokenizer(dir, f)
}

// theirName is a tensor's name in the folder.
func theirName(m *graph.Model, name string) string {
	name = strings.TrimSuffix(name, ".weight")
	switch name {
	case "token_embd":
		return "model.embed_tokens"
	case "output_norm":
		return "model.norm"
	case "output":
		return "lm_head"
	}
	var block int
	var part string
	if _, err := fmt.Sscanf(name, "blk.%d.%s", &block, &part); err != nil {
		return name
	}
	n := names[part][0]
	if m.Arch == "bitnet" && names[part][1] != "" {
		n = names[part][1]
	}
	return fmt.Sprintf("model.layers.%d.%s", block, n)
}

// describe says how a tensor of the file is kept in the folder.
func describe(f *gguf.File, m *graph.Model, t *gguf.Tensor, style Style, seed uint64) ([]source, error) {
	codec, err := quantkern.Lookup(t.Type.String())
	if err != nil {
		return nil, err
	}
	rows, cols := t.Rows(), t.Cols()
	shape := []int{rows, cols}
	if len(t.Dims) == 1 {
		shape = []int{cols}
	}
	name := theirName(m, t.Name) + ".weight"
	values := func() []float32 {
		v := make([]float32, rows*cols)
		for r := range rows {
			codec.Decode(v[r*cols:(r+1)*cols], t.Data, rows, cols, r)
		}
		b := &m.Blocks[0]
		if m.Arch == "llama" {
			switch {
			case strings.HasSuffix(t.Name, "attn_q.weight"):
				apart(v, b.Heads, rows, cols)
			case strings.HasSuffix(t.Name, "attn_k.weight"):
				apart(v, b.KVHeads, rows, cols)
			}
		}
		return v
	}
	matrix := len(t.Dims) == 2 && strings.HasPrefix(t.Name, "blk.")
	if !matrix || style == Real {
		dtype := "BF16"
		if style == Real {
			dtype = "F32"
		}
		return []source{{name, dtype, shape, func() ([]byte, error) { return encode(dtype, values()) }}}, nil
	}
	w, err := quantkern.NewTernary(codec, t.Data, rows, cols)
	if err != nil {
		return nil, err
	}
	scale := w.Scale
	if x, ok := f.Tensor(strings.TrimSuffix(t.Name, "weight") + "scale"); ok {
		scale *= math.Float32frombits(binary.LittleEndian.Uint32(x.Data))
	}
	trits := func() []float32 {
		v := values()
		for i, x := range v {
			switch {
			case x > 0:
				v[i] = 1
			case x < 0:
				v[i] = -1
			}
		}
		return v
	}
	if style == Masters {
		return []source{{name, "BF16", shape, func() ([]byte, error) { return encode("BF16", Blur(trits(), scale, seed)) }}}, nil
	}
	factor := scale
	if style == PackedOver {
		factor = 1 / scale
	}
	return []source{
		{name, "U8", []int{(rows + 3) / 4, cols}, func() ([]byte, error) { return Pack(trits(), rows, cols), nil }},
		{theirName(m, t.Name) + ".weight_scale", "F32", []int{1}, func() ([]byte, error) { return encode("F32", []float32{factor}) }},
	}, nil
}

// apart undoes what converters do to the rows of Q and K: pairs that stand side
// by side move half a head apart.
func apart(v []float32, heads, rows, cols int) {
	out := make([]float32, len(v))
	size := rows / heads
	for r := range rows {
		h, in := r/size, r%size
		copy(out[(h*size+in%2*size/2+in/2)*cols:][:cols], v[r*cols:])
	}
	copy(v, out)
}

// Blur makes weights that round to the trits again: 0 and ±1, a quarter more or
// less, in units of the scale.
func Blur(trits []float32, scale float32, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i, t := range trits {
		trits[i] = scale * (t + (rng.Float32()-0.5)/2)
	}
	return trits
}

// Pack puts four quarters of the rows into the bits of bytes.
func Pack(trits []float32, rows, cols int) []byte {
	n := (rows + 3) / 4
	out := make([]byte, n*cols)
	for r := range rows {
		for c := range cols {
			out[r%n*cols+c] |= byte(trits[r*cols+c]+1) << (2 * (r / n))
		}
	}
	return out
}

func encode(dtype string, values []float32) ([]byte, error) {
	c, err := quantkern.Lookup(dtype)
	if err != nil {
		return nil, err
	}
	out := make([]byte, c.Size(1, len(values)))
	return out, c.Encode(out, values, 1, len(values))
}

// writeWeights spreads the tensors over files, and lists them if there are several.
func writeWeights(dir string, sources []source, shards int) error {
	where := map[string]string{}
	each := (len(sources) + shards - 1) / shards
	i := 0
	for list := range slices.Chunk(sources, each) {
		name := "model.safetensors"
		if i++; shards > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i, shards)
		}
		for _, s := range list {
			where[s.name] = name
		}
		if err := writeSafetensors(filepath.Join(dir, name), list); err != nil {
			return err
		}
	}
	if shards == 1 {
		return nil
	}
	return writeJSON(dir, "model.safetensors.index.json", map[string]any{"metadata": map[string]any{}, "weight_map": where})
}

var elementBytes = map[string]int{"F32": 4, "BF16": 2, "U8": 1}

func writeSafetensors(path string, list []source) (err error) {
	header, at := map[string]any{"__metadata__": map[string]string{"format": "pt"}}, 0
	for _, s := range list {
		n := elementBytes[s.dtype]
		for _, d := range s.shape {
			n *= d
		}
		header[s.name] = map[string]any{"dtype": s.dtype, "shape": s.shape, "data_offsets": []int{at, at + n}}
		at += n
	}
	raw, err := json.Marshal(header)
	if err != nil {
		return err
	}
	raw = append(raw, strings.Repeat(" ", -len(raw)&7)...)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := binary.Write(f, binary.LittleEndian, uint64(len(raw))); err != nil {
		return err
	}
	if _, err := f.Write(raw); err != nil {
		return err
	}
	for _, s := range list {
		data, err := s.data()
		if err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// config is what config.json says of the model.
func config(m *graph.Model, opt Options) map[string]any {
	b := &m.Blocks[0]
	c := map[string]any{
		"architectures": []string{families[m.Arch]}, "hidden_size": m.Hidden, "intermediate_size": b.FFN,
		"num_hidden_layers": len(m.Blocks), "num_attention_heads": b.Heads, "num_key_value_heads": b.KVHeads, "head_dim": b.KeyDim,
		"vocab_size": m.Vocab, "max_position_embeddings": m.Context, "rms_norm_eps": json.Number(fmt.Sprint(b.AttnNorm.Eps)),
		"rope_theta": b.Rope.Base, "tie_word_embeddings": m.Head.Tied, "hidden_act": b.Activation.String(), "torch_dtype": "bfloat16",
	}
	switch opt.Style {
	case Packed:
		c["quantization_config"] = map[string]any{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}
	case PackedOver:
		c["quantization_config"] = map[string]any{"quant_method": "bitnet", "modules_to_not_convert": nil}
	case Masters:
		c["quantization_config"] = map[string]any{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
	}
	for k, v := range opt.Config {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// writeTokenizer writes a byte-level vocabulary as tokenizer.json has it.
func writeTokenizer(dir string, f *gguf.File) error {
	const llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	md := f.Metadata()
	texts, err := md.Strings("tokenizer.ggml.tokens")
	if err != nil {
		// Files without a tokenizer: one token a row.
		v, _ := graph.Bind(f)
		for i := range v.Vocab {
			texts = append(texts, fmt.Sprintf("t%d", i))
		}
	}
	types, _ := md.Ints("tokenizer.ggml.token_type")
	merges, _ := md.Strings("tokenizer.ggml.merges")
	vocab, added := map[string]int{}, []map[string]any{}
	for i, t := range texts {
		if i < len(types) && types[i] == 3 {
			added = append(added, map[string]any{"id": i, "content": t, "special": true})
			continue
		}
		vocab[t] = i
	}
	if err := writeJSON(dir, "tokenizer.json", map[string]any{
		"version": "1.0", "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "pattern": map[string]any{"Regex": llama3}, "behavior": "Isolated", "invert": false},
			map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
		}},
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": true, "byte_fallback": false},
	}); err != nil {
		return err
	}
	settings := map[string]any{"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}", "add_bos_token": true}
	if id, err := md.Uint("tokenizer.ggml.bos_token_id"); err == nil {
		settings["bos_token"] = texts[id]
	}
	if id, err := md.Uint("tokenizer.ggml.eos_token_id"); err == nil {
		settings["eos_token"] = map[string]any{"content": texts[id]}
	}
	return writeJSON(dir, "tokenizer_config.json", settings)
}

func writeJSON(dir, name string, v any) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	return f.Close()
}
