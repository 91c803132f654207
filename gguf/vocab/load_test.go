package vocab

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		change keys
		opt    Options
		name   string // in the error
	}{
		{keys{keyModel: "bert"}, Options{}, "bert"},
		{keys{keyModel: "t5"}, Options{}, "t5"},
		{keys{keyPre: "no-such"}, Options{}, "no-such"},
		{keys{keyPre: "superbpe"}, Options{}, "superbpe"},
		{keys{keyPre: "kimi-k2"}, Options{}, "kimi-k2"},
		{keys{keyPre: "afmoe"}, Options{}, "afmoe"},
		{keys{}, Options{Pre: "nor-this"}, "nor-this"},
	} {
		_, err := Load(metadata(t, tinyBPE().with(c.change)), c.opt)
		var un *UnsupportedError
		if !errors.As(err, &un) || un.Name != c.name {
			t.Errorf("%v %v: got %v, want an *UnsupportedError naming %s", c.change, c.opt, err, c.name)
		}
	}
}

func TestBadKeys(t *testing.T) {
	bpe, spm := tinyBPE(), tinySPM()
	short := bpe[keyTypes].([]int32)[1:]
	bad := slices.Clone(bpe[keyTypes].([]int32))
	bad[7] = 9
	nan := slices.Clone(spm[keyScores].([]float32))
	nan[5] = float32(math.NaN())
	for _, c := range []struct {
		base, change keys
		key          string
	}{
		{bpe, keys{keyModel: nil}, keyModel},
		{bpe, keys{keyModel: uint32(1)}, keyModel},
		{bpe, keys{keyTokens: nil}, keyTokens},
		{bpe, keys{keyTokens: []int32{1}}, keyTokens},
		{bpe, keys{keyTypes: short}, keyTypes},
		{bpe, keys{keyTypes: bad}, keyTypes},
		{bpe, keys{keyMerges: nil}, keyMerges},
		{bpe, keys{keyMerges: []string{"a b", "nospace"}}, keyMerges},
		{bpe, keys{keyMerges: []string{"a "}}, keyMerges},
		{bpe, keys{keyMerges: []string{""}}, keyMerges},
		{bpe, keys{"tokenizer.ggml.bos_token_id": uint32(100_000)}, "tokenizer.ggml.bos_token_id"},
		{bpe, keys{"tokenizer.ggml.eot_token_id": "x"}, "tokenizer.ggml.eot_token_id"},
		{bpe, keys{"tokenizer.ggml.fim_pad_token_id": uint32(100_000)}, "tokenizer.ggml.fim_pad_token_id"},
		{bpe, keys{"tokenizer.ggml.add_bos_token": "yes"}, "tokenizer.ggml.add_bos_token"},
		{spm, keys{keyScores: nil}, keyScores},
		{spm, keys{keyScores: []float32{1}}, keyScores},
		{spm, keys{keyScores: nan}, keyScores},
	} {
		_, err := Load(metadata(t, c.base.with(c.change)), Options{})
		var ke *KeyError
		if !errors.As(err, &ke) || ke.Key != c.key {
			t.Errorf("%v: got %v, want a *KeyError naming %s", c.change, err, c.key)
		}
	}
}

func TestDefaults(t *testing.T) {
	ids := keys{"tokenizer.ggml.bos_token_id": nil, "tokenizer.ggml.eos_token_id": nil, "tokenizer.ggml.unknown_token_id": nil, "tokenizer.ggml.add_bos_token": nil}
	type flags struct {
		BOS, EOS       int32
		AddBOS, AddEOS bool
		Prefix, Clean  bool
	}
	for _, c := range []struct {
		name string
		k    keys
		want flags
	}{
		{"gpt2", tinyBPE().with(ids), flags{11, 11, false, false, false, true}},
		{"llama3", tinyBPE().with(ids).with(keys{keyPre: "llama-bpe"}), flags{11, 11, true, false, false, true}},
		{"qwen2", tinyBPE().with(ids).with(keys{keyPre: "qwen2"}), flags{11, 11, false, false, false, false}},
		{"spm", tinySPM().with(ids), flags{1, 2, true, false, true, false}},
		{"explicit", tinySPM().with(keys{
			"tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": true, "tokenizer.ggml.add_space_prefix": false,
			"tokenizer.ggml.bos_token_id": uint32(math.MaxUint32),
		}), flags{none, 2, false, true, false, false}},
	} {
		v := load(t, c.k)
		bos, _ := v.BOS()
		eos, _ := v.EOS()
		got := flags{bos, eos, v.AddBOS(), v.AddEOS(), v.addSpacePrefix, v.cleanSpaces}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, d)
		}
	}
	if v := load(t, tinyBPE().with(ids)); len(v.Warnings()) != 2 || !strings.Contains(v.Warnings()[0], "bos_token_id") {
		t.Errorf("warnings %q", v.Warnings())
	}
}

// TestLlama3WithoutPre: the official BitNet 2B-4T file names no pre-tokenizer.
func TestLlama3WithoutPre(t *testing.T) {
	k := tinyBPE().with(keys{keyPre: nil})
	texts := slices.Clone(k[keyTokens].([]string))
	types := slices.Clone(k[keyTypes].([]int32))
	if v := load(t, k); v.Pre() != "default" || v.AddBOS() != true {
		t.Errorf("small vocabulary: pre %q", v.Pre())
	}
	for len(texts) < 128256 {
		texts = append(texts, "filler"+strings.Repeat("x", len(texts)%7)+string(rune(0x4e00+len(texts)%20000)))
		types = append(types, int32(Normal))
	}
	texts[128000] = "<|begin_of_text|>"
	k = k.with(keys{keyTokens: texts, keyTypes: types})
	v := load(t, k)
	if v.Pre() != "llama-bpe" || len(v.Warnings()) == 0 {
		t.Errorf("Llama 3's: pre %q, warnings %q", v.Pre(), v.Warnings())
	}
	v, err := Load(metadata(t, k), Options{Pre: "default"})
	if err != nil || v.Pre() != "default" || !strings.Contains(strings.Join(v.Warnings(), ""), "as asked") {
		t.Errorf("overridden: %v %v", v, err)
	}
}

func TestEOG(t *testing.T) {
	k := tinyBPE()
	texts := append(slices.Clone(k[keyTokens].([]string)), "<|im_end|>", "<fim>")
	types := append(slices.Clone(k[keyTypes].([]int32)), int32(Normal), int32(Normal))
	n := int32(len(texts))
	v := load(t, k.with(keys{keyTokens: texts, keyTypes: types, "tokenizer.ggml.fim_rep_token_id": uint32(n - 1)}))
	if d := cmp.Diff([]int32{1, 2, n - 2, n - 1}, v.EOG()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if !v.IsEOG(1) || v.IsEOG(0) || v.IsEOG(-1) {
		t.Error("IsEOG")
	}
	if v.Type(n-2) != Control || len(v.Piece(n-2, false)) != 0 {
		t.Error("a token that ends generation by its text must be a control token")
	}
	v.EOG()[0] = 7
	if v.EOG()[0] == 7 {
		t.Error("EOG gives the vocabulary's own slice away")
	}
}

// TestStrip: attributes of special tokens that two families have by name.
func TestStrip(t *testing.T) {
	parse := EncodeOptions{ParseSpecial: true}
	v := load(t, tinyBPE().with(keys{"general.name": "Phi-3 mini"}))
	if got := spell(v, v.Encode("a </s> \n b<s> c", parse)); got != "a|Ġ|</s>|b|<s>|Ġ|c" {
		t.Errorf("rstrip: %s", got)
	}
	k := tinyBPE()
	texts := slices.Clone(k[keyTokens].([]string))
	texts[2] = "<mask>"
	v = load(t, k.with(keys{keyTokens: texts, keyPre: "jina-v2-de"}))
	if got := spell(v, v.Encode("a  <mask> b", parse)); got != "a|<mask>|Ġ|b" {
		t.Errorf("lstrip: %s", got)
	}
}

// TestMergesOfNoTokens: merges may pass through texts that are no tokens, and
// what stays such a text is dropped byte by byte as far as bytes are no tokens.
func TestMergesOfNoTokens(t *testing.T) {
	var l tokenList
	l.add(Normal, 0, "a", "b", "c", "abc", "z", "z")
	v := load(t, keys{keyModel: "gpt2", keyPre: "gpt-2", keyTokens: l.texts, keyTypes: l.types, keyMerges: []string{"a b", "ab c", "a b"}})
	for text, want := range map[string]string{"abc": "abc", "ab": "a|b", "é": "", "aéc": "a|c"} {
		if got := spell(v, v.Encode(text, EncodeOptions{})); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if id, _ := v.ID("z"); id != 5 {
		t.Errorf("a text that stands twice is token %d, want the later one", id)
	}
	if _, ok := v.ID("ab"); ok {
		t.Error("ab is no token")
	}
}
