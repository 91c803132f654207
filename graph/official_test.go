package graph

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// sparse writes zeros by leaving them out.
type sparse struct {
	f  *os.File
	at int64
}

func (s *sparse) Write(p []byte) (int, error) {
	if slices.ContainsFunc(p, func(b byte) bool { return b != 0 }) {
		if _, err := s.f.WriteAt(p, s.at); err != nil {
			return 0, err
		}
	}
	s.at += int64(len(p))
	return len(p), nil
}

// nothing reads as zeros.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// official is the header of microsoft/bitnet-b1.58-2B-4T-gguf, ggml-model-i2_s.gguf, as load
// logs have it: keys in their order.
var official = []struct {
	key   string
	value any
}{
	{"general.architecture", "bitnet-b1.58"},
	{"general.name", "bitnet2b"},
	{"bitnet-b1.58.vocab_size", uint32(128256)},
	{"bitnet-b1.58.context_length", uint32(4096)},
	{"bitnet-b1.58.embedding_length", uint32(2560)},
	{"bitnet-b1.58.block_count", uint32(30)},
	{"bitnet-b1.58.feed_forward_length", uint32(6912)},
	{"bitnet-b1.58.rope.dimension_count", uint32(128)},
	{"bitnet-b1.58.attention.head_count", uint32(20)},
	{"bitnet-b1.58.attention.head_count_kv", uint32(5)},
	{"tokenizer.ggml.add_bos_token", true},
	{"bitnet-b1.58.attention.layer_norm_rms_epsilon", float32(1e-5)},
	{"bitnet-b1.58.rope.freq_base", float32(500000)},
	{"general.file_type", uint32(40)},
	{"tokenizer.ggml.model", "gpt2"},
	{"tokenizer.ggml.tokens", nil},
	{"tokenizer.ggml.scores", nil},
	{"tokenizer.ggml.token_type", nil},
	{"tokenizer.ggml.merges", nil},
	{"tokenizer.ggml.bos_token_id", uint32(128000)},
	{"tokenizer.ggml.eos_token_id", uint32(128001)},
	{"tokenizer.ggml.padding_token_id", uint32(128001)},
	{"tokenizer.chat_template", "{% for message in messages %}{{ bos_token }}{% endfor %}"},
	{"general.quantization_version", uint32(2)},
}

// officialTensors are those of one block, in the order of the file, with their
// sizes in bytes; blocks follow in the order of their numbers as text.
var officialTensors = []struct {
	name  string
	dims  []uint64
	typ   gguf.Type
	bytes uint64
}{
	{"attn_norm", []uint64{2560}, gguf.TypeF32, 10240},
	{"ffn_down", []uint64{6912, 2560}, gguf.TypeI2_S, 4423712},
	{"ffn_sub_norm", []uint64{6912}, gguf.TypeF32, 27648},
	{"ffn_gate", []uint64{2560, 6912}, gguf.TypeI2_S, 4423712},
	{"ffn_up", []uint64{2560, 6912}, gguf.TypeI2_S, 4423712},
	{"ffn_norm", []uint64{2560}, gguf.TypeF32, 10240},
	{"attn_sub_norm", []uint64{2560}, gguf.TypeF32, 10240},
	{"attn_k", []uint64{2560, 640}, gguf.TypeI2_S, 409632},
	{"attn_output", []uint64{2560, 2560}, gguf.TypeI2_S, 1638432},
	{"attn_q", []uint64{2560, 2560}, gguf.TypeI2_S, 1638432},
	{"attn_v", []uint64{2560, 640}, gguf.TypeI2_S, 409632},
}

// TestOfficialHeader reads a file with exactly the keys, tensors, types and
// sizes of the official one (and zeros for weights) and binds it.
func TestOfficialHeader(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a sparse file of 1.2 GB")
	}
	path := filepath.Join(t.TempDir(), "ggml-model-i2_s.gguf")
	writeOfficial(t, path)
	f := gguftest.Open(t, path)
	if n := len(f.Metadata().Keys()); n != 24 {
		t.Errorf("%d keys, want 24", n)
	}
	count := map[gguf.Type]int{}
	for _, x := range f.Tensors() {
		count[x.Type]++
		name := strings.TrimSuffix(x.Name[strings.LastIndex(strings.TrimSuffix(x.Name, ".weight"), ".")+1:], ".weight")
		for _, want := range officialTensors {
			if want.name == name && (uint64(len(x.Data)) != want.bytes || !slices.Equal(x.Dims, want.dims)) {
				t.Errorf("%s: %d bytes, %v; want %d, %v", x.Name, len(x.Data), x.Dims, want.bytes, want.dims)
			}
		}
	}
	if count[gguf.TypeI2_S] != 210 || count[gguf.TypeF32] != 121 || count[gguf.TypeF16] != 1 || len(count) != 3 {
		t.Errorf("types %v, want 210 I2_S, 121 F32, 1 F16", count)
	}
	m := bind(t, f)
	everyTensorInPlace(t, f, m)
	b := &m.Blocks[29]
	got := fmt.Sprint(m.Arch, m.Name, m.Hidden, m.Vocab, m.Context, len(m.Blocks), b.Heads, b.KVHeads, b.KeyDim, b.FFN, b.Rope.Kind, b.Rope.Base, b.AttnNorm.Eps, b.Activation, m.Head.Tied)
	want := fmt.Sprint("bitnet-b1.58", "bitnet2b", 2560, 128256, 4096, 30, 20, 5, 128, 6912, RopeNeoX, float32(500000), float32(1e-5), ReLU2, true)
	if got != want {
		t.Errorf("bound as %s, want %s", got, want)
	}
}

func writeOfficial(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out := &sparse{f: file}
	w := gguf.NewWriter(out)
	const vocab, merges = 128256, 280147
	for _, kv := range official {
		v := kv.value
		switch kv.key {
		case "tokenizer.ggml.tokens":
			v = words(vocab, "t%d")
		case "tokenizer.ggml.scores":
			v = make([]float32, vocab)
		case "tokenizer.ggml.token_type":
			v = slices.Repeat([]int32{1}, vocab)
		case "tokenizer.ggml.merges":
			v = words(merges, "a %d")
		}
		if err := w.Set(kv.key, v); err != nil {
			t.Fatal(err)
		}
	}
	infos := []gguf.TensorInfo{{Name: "token_embd.weight", Type: gguf.TypeF16, Dims: []uint64{2560, vocab}}}
	blocks := words(30, "%d")
	slices.Sort(blocks)
	for _, b := range blocks {
		for _, x := range officialTensors {
			infos = append(infos, gguf.TensorInfo{Name: "blk." + b + "." + x.name + ".weight", Type: x.typ, Dims: x.dims})
		}
	}
	infos = append(infos, gguf.TensorInfo{Name: "output_norm.weight", Type: gguf.TypeF32, Dims: []uint64{2560}})
	for _, x := range infos {
		if err := w.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range infos {
		size, err := x.Type.Size(x.Dims)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteTensor(x.Name, io.LimitReader(nothing{}, int64(size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(out.at); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func words(n int, format string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}
