package hf

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
)

const real = "../../../shared/vocab/"

// realVocab opens one of the real vocabularies that lie beside the repository.
func realVocab(t *testing.T, name string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(real+name, gguf.Options{})
	if err != nil {
		t.Skipf("real vocabularies are not beside the repository: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// folder writes files into a folder that has no weights.
func folder(t *testing.T, vocabSize int, files map[string][]byte) *Folder {
	t.Helper()
	f := &Folder{Path: t.TempDir(), Config: &Config{Vocab: vocabSize}}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(f.Path, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// load makes a tokenizer of what the folder gave.
func load(t *testing.T, tok *Tokenizer) *vocab.Vocab {
	t.Helper()
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range tok.Keys {
		if err := w.Set(k.Name, k.Value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse("keys", b.Bytes(), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vocab.Load(f.Metadata(), vocab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return v
}

// cases compares ids with llama.cpp's for the 46 texts beside a vocabulary.
func cases(t *testing.T, v *vocab.Vocab, name string) {
	t.Helper()
	in, err := os.ReadFile(real + name + ".inp")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(real + name + ".out")
	if err != nil {
		t.Fatal(err)
	}
	texts := strings.Split(string(in), "\n__ggml_vocab_test__\n")
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	n := 0
	for i, line := range lines {
		var want []int32
		for _, f := range strings.Fields(line) {
			var id int32
			if _, err := fmt.Sscan(f, &id); err != nil {
				t.Fatal(err)
			}
			want = append(want, id)
		}
		if got := v.Encode(texts[i], vocab.EncodeOptions{}); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", texts[i], got, want)
		}
		n++
	}
	if n < 40 {
		t.Errorf("%d cases", n)
	}
}

// TestRanks: tiktoken's list of Llama 3 becomes the vocabulary that llama.cpp knows.
func TestRanks(t *testing.T) {
	raw, err := os.ReadFile(real + "llama3-tiktoken.model")
	if err != nil {
		t.Skipf("real vocabularies are not beside the repository: %v", err)
	}
	tok, err := folder(t, 128256, map[string][]byte{"tokenizer.model": raw}).Tokenizer("")
	if err != nil {
		t.Fatal(err)
	}
	v := load(t, tok)
	cases(t, v, "ggml-vocab-llama-bpe.gguf")
	if v.Text(128009) != "<|eot_id|>" || v.Type(128009) != vocab.Control || !v.AddBOS() && v.Pre() != "llama-bpe" {
		t.Errorf("%q", v.Text(128009))
	}
}

// TestSentencePiece: a model of Llama 2's kind, written as a protocol buffer out
// of the vocabulary that llama.cpp made of it.
func TestSentencePiece(t *testing.T) {
	f := realVocab(t, "ggml-vocab-llama-spm.gguf")
	texts, err := f.Metadata().Strings("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	scores, _ := f.Metadata().Floats("tokenizer.ggml.scores")
	types, _ := f.Metadata().Ints("tokenizer.ggml.token_type")
	model := proto(texts, scores, types, bpeKind)
	dir := folder(t, len(texts)+2, map[string][]byte{
		"tokenizer.model":       model,
		"tokenizer_config.json": []byte(`{"bos_token":{"content":"<s>"},"eos_token":"</s>","unk_token":"<unk>","add_bos_token":true,"added_tokens_decoder":{"32000":{"content":"<pad>","special":true}}}`),
	})
	tok, err := dir.Tokenizer("")
	if err != nil {
		t.Fatal(err)
	}
	v := load(t, tok)
	cases(t, v, "ggml-vocab-llama-spm.gguf")
	if v.Text(32000) != "<pad>" || v.Type(32000) != vocab.Control || v.Text(32001) != "[PAD32001]" || v.Type(32001) != vocab.Unused || len(tok.Notes) != 1 {
		t.Errorf("%q, %q, notes %q", v.Text(32000), v.Text(32001), tok.Notes)
	}
	for name, bad := range map[string][]byte{"unigram": proto(texts, scores, types, unigramModel), "cut": model[:len(model)/2+1], "noise": []byte("\x0a\xff\xff\xff\xff\xff")} {
		var e *Error
		if _, err := folder(t, 32000, map[string][]byte{"tokenizer.model": bad}).Tokenizer(""); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// proto writes a SentencePiece model.
func proto(texts []string, scores []float32, types []int64, kind byte) []byte {
	message := func(id byte, b []byte) []byte {
		return append(binary.AppendUvarint([]byte{id<<3 | wireBytes}, uint64(len(b))), b...)
	}
	var out []byte
	for i, text := range texts {
		p := message(1, []byte(text))
		p = binary.LittleEndian.AppendUint32(append(p, 2<<3|wire32), math.Float32bits(scores[i]))
		p = append(p, 3<<3|wireVarint, byte(types[i]))
		out = append(out, message(1, p)...)
	}
	out = append(out, message(2, []byte{3<<3 | wireVarint, kind})...)
	return append(out, message(3, []byte{3<<3 | wireVarint, 1})...)
}

// TestTokenizerJSON: byte-level vocabularies as tokenizer.json has them are told
// by how they cut, with merges in either form.
func TestTokenizerJSON(t *testing.T) {
	const level = `{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}`
	for _, c := range []struct {
		name, pre, want string
		pairs           bool
	}{
		{"ggml-vocab-gpt-2.gguf", level, "gpt-2", false},
		{"ggml-vocab-starcoder.gguf", `{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},` + level + `]}`, "smollm", true},
	} {
		t.Run(c.want, func(t *testing.T) {
			f := realVocab(t, c.name)
			texts, err := f.Metadata().Strings("tokenizer.ggml.tokens")
			if err != nil {
				t.Fatal(err)
			}
			merges, _ := f.Metadata().Strings("tokenizer.ggml.merges")
			ids, list := map[string]int{}, make([]any, len(merges))
			for i, s := range texts {
				ids[s] = i
			}
			for i, m := range merges {
				if list[i] = m; c.pairs {
					list[i] = strings.SplitN(m, " ", 2)
				}
			}
			raw, err := json.Marshal(map[string]any{"added_tokens": []any{}, "normalizer": nil,
				"pre_tokenizer": json.RawMessage(c.pre), "model": map[string]any{"type": "BPE", "vocab": ids, "merges": list}})
			if err != nil {
				t.Fatal(err)
			}
			tok, err := folder(t, len(texts), map[string][]byte{"tokenizer.json": raw}).Tokenizer("")
			if err != nil {
				t.Fatal(err)
			}
			v := load(t, tok)
			if v.Pre() != c.want {
				t.Errorf("pre-tokenizer %q", v.Pre())
			}
			cases(t, v, c.name)
		})
	}
}

// TestPiecesInJSON: a SentencePiece vocabulary that was saved as tokenizer.json.
func TestPiecesInJSON(t *testing.T) {
	raw := []byte(`{"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],
		"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
		"pre_tokenizer":null,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]},
		"model":{"type":"BPE","byte_fallback":true,"vocab":{"<unk>":0,"<s>":1,"</s>":2,"<0x41>":3,"▁a":4,"b":5,"▁ab":6,"▁":7,"a":8},"merges":["▁ a","▁a b"]}}`)
	tok, err := folder(t, 9, map[string][]byte{"tokenizer.json": raw, "tokenizer_config.json": []byte(`{"bos_token":"<s>","eos_token":"</s>"}`)}).Tokenizer("")
	if err != nil {
		t.Fatal(err)
	}
	v := load(t, tok)
	if got := v.Encode("ab A", vocab.EncodeOptions{AddSpecial: true}); !slices.Equal(got, []int32{1, 6, 7, 3}) {
		t.Errorf("%v", got)
	}
	if v.Model() != "llama" || v.Type(3) != vocab.Byte || v.Type(0) != vocab.Unknown {
		t.Errorf("%s, types %v %v", v.Model(), v.Type(3), v.Type(0))
	}
}

// TestSpecial: where ids, flags and templates come from.
func TestSpecial(t *testing.T) {
	const bpe = `{"added_tokens":[{"id":2,"content":"<b>","special":true},{"id":3,"content":"<e>","special":true},{"id":4,"content":"<u>","special":false}],
		"pre_tokenizer":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}}`
	for _, c := range []struct {
		name     string
		files    map[string]string
		bos, eos IDs
		want     map[string]any
	}{
		{"of the settings", map[string]string{"tokenizer_config.json": `{"bos_token":"<b>","eos_token":{"content":"<e>"},"add_bos_token":true,"chat_template":"T"}`}, IDs{0}, IDs{0},
			map[string]any{"tokenizer.ggml.bos_token_id": uint32(2), "tokenizer.ggml.eos_token_id": uint32(3), "tokenizer.ggml.add_bos_token": true, "tokenizer.chat_template": "T", "tokenizer.ggml.eot_token_id": uint32(0)}},
		{"of the config", map[string]string{}, IDs{2}, IDs{3, 4},
			map[string]any{"tokenizer.ggml.bos_token_id": uint32(2), "tokenizer.ggml.eos_token_id": uint32(3), "tokenizer.ggml.eot_token_id": uint32(4)}},
		{"out of range", map[string]string{"generation_config.json": `{"eos_token_id":99}`}, IDs{-1}, IDs{3},
			map[string]any{"tokenizer.ggml.eos_token_id": uint32(3)}},
		{"named templates", map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tools","template":"A"},{"name":"default","template":"B"}]}`}, nil, nil,
			map[string]any{"tokenizer.chat_template": "B"}},
		{"template beside", map[string]string{"chat_template.jinja": "J"}, nil, nil, map[string]any{"tokenizer.chat_template": "J"}},
		{"template beside another", map[string]string{"chat_template.jinja": "J", "tokenizer_config.json": `{"chat_template":"T"}`}, nil, nil,
			map[string]any{"tokenizer.chat_template": "J"}},
		{"template in JSON", map[string]string{"chat_template.json": `{"chat_template":"K"}`}, nil, nil, map[string]any{"tokenizer.chat_template": "K"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string][]byte{"tokenizer.json": []byte(bpe)}
			for name, s := range c.files {
				files[name] = []byte(s)
			}
			f := folder(t, 5, files)
			f.Config.BOS, f.Config.EOS = c.bos, c.eos
			tok, err := f.Tokenizer("")
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]any{}
			for _, k := range tok.Keys {
				switch k.Name {
				case "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.merges":
				case "tokenizer.ggml.token_type":
					if d := cmp.Diff([]int32{normal, normal, control, control, userDefined}, k.Value); d != "" {
						t.Error(d)
					}
				default:
					got[k.Name] = k.Value
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestRanksRefused: lists that are not Llama 3's, or not lists.
func TestRanksRefused(t *testing.T) {
	line := func(s string, n int) string {
		return fmt.Sprintf("%s %d\n", base64.StdEncoding.EncodeToString([]byte(s)), n)
	}
	for name, raw := range map[string]string{
		"short": line("a", 0) + line("b", 1), "gap": line("a", 0) + line("b", 2), "no base64": line("a", 0) + "? 1\n",
	} {
		var e *Error
		if _, err := folder(t, 8, map[string][]byte{"tokenizer.model": []byte(raw)}).Tokenizer(""); !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A token so long that finding its halves would take minutes.
	long := line("a", 0) + line("aa", 1) + line(strings.Repeat("a", 1<<17), 2)
	var e *Error
	if _, err := folder(t, 8, map[string][]byte{"tokenizer.model": []byte(long)}).Tokenizer("gpt-2"); !errors.As(err, &e) {
		t.Errorf("a long token: %v", err)
	}
	tok, err := folder(t, 3, map[string][]byte{"tokenizer.model": []byte(line("a", 0) + line("b", 1) + line("ab", 2))}).Tokenizer("gpt-2")
	if err != nil {
		t.Fatal(err)
	}
	if got := load(t, tok).Encode("abab", vocab.EncodeOptions{}); !slices.Equal(got, []int32{2, 2}) {
		t.Errorf("%v", got)
	}
}

// FuzzSafetensors: no header makes reading panic or take memory that the file does not justify.
func FuzzSafetensors(f *testing.F) {
	header := `{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}`
	f.Add(append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), make([]byte, 16)...))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f{}"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "x.safetensors")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		tensors, err := readHeader(file)
		if err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, x := range tensors {
			if x.Bytes() > int64(len(data)) {
				t.Fatalf("%s has %d bytes in a file of %d", x.Name, x.Bytes(), len(data))
			}
			if _, err := x.ReadAt(make([]byte, x.Bytes()), 0); err != nil && x.Bytes() > 0 {
				t.Fatal(err)
			}
		}
	})
}

// FuzzSentencePiece: the same for models of SentencePiece.
func FuzzSentencePiece(f *testing.F) {
	f.Add(proto([]string{"<unk>", "a"}, []float32{0, -1}, []int64{2, 1}, bpeKind))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := readSentencePiece("x", data); err != nil {
			if e := (*Error)(nil); !errors.As(err, &e) {
				t.Fatalf("%v", err)
			}
		}
	})
}
