package vocab

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"tritflow/gguf"
)

// keys are metadata for a file made in a test.
type keys map[string]any

// with is a copy with other keys; a nil value takes a key away.
func (k keys) with(more keys) keys {
	out := keys{}
	for name, v := range k {
		out[name] = v
	}
	for name, v := range more {
		out[name] = v
		if v == nil {
			delete(out, name)
		}
	}
	return out
}

// metadata writes a file without tensors and reads it back.
func metadata(t testing.TB, k keys) *gguf.Metadata {
	t.Helper()
	var buf bytes.Buffer
	w := gguf.NewWriter(&buf)
	for name, v := range k {
		if err := w.Set(name, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse("test", buf.Bytes(), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f.Metadata()
}

func load(t testing.TB, k keys) *Vocab {
	t.Helper()
	v, err := Load(metadata(t, k), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tokenList builds parallel arrays.
type tokenList struct {
	texts  []string
	types  []int32
	scores []float32
}

func (l *tokenList) add(typ TokenType, score float32, texts ...string) {
	for _, s := range texts {
		l.texts = append(l.texts, s)
		l.types = append(l.types, int32(typ))
		l.scores = append(l.scores, score)
	}
}

// tinyBPE is a byte-level vocabulary: all bytes, a few merges, special tokens.
//
//	0 <s>  1 </s>  2 <|eot_id|>  3 <ud> (user-defined)  4 … 259 bytes  260 …
func tinyBPE() keys {
	var l tokenList
	l.add(Control, 0, "<s>", "</s>", "<|eot_id|>")
	l.add(UserDefined, 0, "<ud>")
	for b := range 256 {
		l.add(Normal, 0, string(byteLevel.toRune[b]))
	}
	merges := []string{"a b", "b c", "ab c", "Ġ ab", "Ġab c", "x x", "xx xx"}
	for _, m := range merges {
		l.add(Normal, 0, strings.Replace(m, " ", "", 1))
	}
	return keys{
		"general.architecture": "bitnet-b1.58",
		keyModel:               "gpt2", keyPre: "gpt-2",
		keyTokens: l.texts, keyTypes: l.types, keyMerges: merges,
		"tokenizer.ggml.bos_token_id": uint32(0), "tokenizer.ggml.eos_token_id": uint32(1), "tokenizer.ggml.eot_token_id": uint32(2),
		"tokenizer.ggml.add_bos_token": true,
	}
}

// tinySPM is a SentencePiece vocabulary with byte tokens.
//
//	0 <unk>  1 <s>  2 </s>  3 … 258 bytes  259 …
func tinySPM() keys {
	var l tokenList
	l.add(Unknown, 0, "<unk>")
	l.add(Control, 0, "<s>", "</s>")
	for b := range 256 {
		l.add(Byte, 0, fmt.Sprintf("<0x%02X>", b))
	}
	l.add(Normal, -9, "a", "b", "c", "▁")
	l.add(Normal, -1, "bc") // 263: before "ab"
	l.add(Normal, -2, "ab")
	l.add(Normal, -3, "▁a")
	l.add(Normal, -4, "▁abc")
	return keys{
		"general.architecture": "llama", keyModel: "llama",
		keyTokens: l.texts, keyTypes: l.types, keyScores: l.scores,
		"tokenizer.ggml.bos_token_id": uint32(1), "tokenizer.ggml.eos_token_id": uint32(2), "tokenizer.ggml.unknown_token_id": uint32(0),
	}
}

// spell shows ids as token texts.
func spell(v *Vocab, ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = v.Text(id)
	}
	return strings.Join(texts, "|")
}

func TestEncodeSynthetic(t *testing.T) {
	bpe, spm := load(t, tinyBPE()), load(t, tinySPM())
	parse, both := EncodeOptions{ParseSpecial: true}, EncodeOptions{AddSpecial: true, ParseSpecial: true}
	for _, c := range []struct {
		name, text string
		v          *Vocab
		opt        EncodeOptions
		want       string
	}{
		{"merge order", "abc", bpe, EncodeOptions{}, "abc"},
		{"lower rank first", "abcb", bpe, EncodeOptions{}, "abc|b"},
		{"leftmost among equals", "xxx", bpe, EncodeOptions{}, "xx|x"},
		{"two levels", "xxxxxxx", bpe, EncodeOptions{}, "xxxx|xx|x"},
		{"space belongs to the word", "ab ab", bpe, EncodeOptions{}, "ab|Ġab"},
		{"bytes of a code point", "é", bpe, EncodeOptions{}, "Ã|©"},
		{"invalid UTF-8", "a\xff", bpe, EncodeOptions{}, "a|ï|¿|½"},
		{"BOS", "a", bpe, EncodeOptions{AddSpecial: true}, "<s>|a"},
		{"BOS alone", "", bpe, EncodeOptions{AddSpecial: true}, "<s>"},
		{"nothing", "", bpe, EncodeOptions{}, ""},
		{"special as text", "<s>", bpe, EncodeOptions{}, "<|s|>"},
		{"special parsed", "a<|eot_id|>b", bpe, parse, "a|<|eot_id|>|b"},
		{"no dedupe of BOS in text", "<s>a", bpe, both, "<s>|<s>|a"},
		{"user-defined always", "a<ud>b", bpe, EncodeOptions{}, "a|<ud>|b"},
		{"specials side by side", "<s></s><s>", bpe, parse, "<s>|</s>|<s>"},
		{"space prefix", "abc", spm, EncodeOptions{}, "▁abc"},
		{"higher score first", "xabc", spm, EncodeOptions{}, "▁|<0x78>|a|bc"},
		{"inner space", "a a", spm, EncodeOptions{}, "▁a|▁a"},
		{"byte fallback", "é", spm, EncodeOptions{}, "▁|<0xC3>|<0xA9>"},
		{"prefix after special", "a</s>a", spm, both, "<s>|▁a|</s>|▁a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := spell(c.v, c.v.Encode(c.text, c.opt)); got != c.want {
				t.Errorf("%q: %s, want %s", c.text, got, c.want)
			}
		})
	}
}

// TestLongWord: a word of 100 kB merges in n log n; a quadratic way would take
// minutes.
func TestLongWord(t *testing.T) {
	for _, v := range []*Vocab{load(t, tinyBPE()), load(t, tinySPM()), mini(t)} {
		text := strings.Repeat("abcabx", 100_000/6)
		ids := v.Encode(text, EncodeOptions{})
		if got := v.Decode(ids, false); got != text {
			t.Errorf("%s: came back changed", v.Model())
		}
	}
}

func TestDecodeSynthetic(t *testing.T) {
	bpe, spm := load(t, tinyBPE()), load(t, tinySPM())
	id := func(v *Vocab, text string) int32 {
		id, ok := v.ID(text)
		if !ok {
			t.Fatalf("no token %q", text)
		}
		return id
	}
	ids := []int32{0, id(bpe, "Ġab"), 3, id(bpe, "!"), 2, -1, 99999}
	if got := bpe.Decode(ids, false); got != " ab<ud>!" {
		t.Errorf("plain: %q", got)
	}
	if got := bpe.Decode(ids, true); got != "<s> ab<ud>!<|eot_id|>" {
		t.Errorf("special: %q", got)
	}
	// The prefixed space goes, whether or not BOS stands before it.
	for _, special := range []bool{false, true} {
		want := "a a"
		if special {
			want = "<s> a a" // as coded in llama.cpp, the first piece is the token's text
		}
		if got := spm.Decode([]int32{1, id(spm, "▁a"), id(spm, "▁a")}, special); got != want {
			t.Errorf("special %v: %q, want %q", special, got, want)
		}
	}
	if got := string(spm.Piece(id(spm, "▁a"), false)); got != " a" {
		t.Errorf("streaming piece %q keeps its space", got)
	}
	if got := string(spm.Piece(3+0x0a, false)); got != "\n" {
		t.Errorf("byte token %q", got)
	}
}

// TestRoundTrip: with special tokens added, decoding without them gives the
// text back, spaces at both ends included.
func TestRoundTrip(t *testing.T) {
	bpe := load(t, tinyBPE().with(keys{keyPre: "qwen2"})) // its texts are not cleaned up
	spm := load(t, tinySPM())
	for _, text := range []string{"", " ", "a", " a", "  a  b ", "é\n\t😀", "it 's . !", "▁"} {
		for _, v := range []*Vocab{bpe, spm} {
			want := text
			if v == spm {
				want = strings.ReplaceAll(text, "▁", " ") // SPM cannot tell the two apart
			}
			if got := v.Decode(v.Encode(text, EncodeOptions{AddSpecial: true}), false); got != want {
				t.Errorf("%s: %q came back as %q", v.Model(), text, got)
			}
		}
	}
}

func TestCleanSpaces(t *testing.T) {
	for in, want := range map[string]string{
		"a . b , c ! d ? e":       "a. b, c! d? e",
		"it 's I 'm we 're I 've": "it's I'm we're I've",
		"don 't we 'll I 'd":      "don 't we 'll I 'd",
		"a ' b ' c":               "a'b'c",
		"  .":                     " .",
		" ' ' ":                   "'' ",
		"":                        "",
	} {
		if got := cleanSpaces(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestStream(t *testing.T) {
	v := load(t, tinyBPE())
	s := v.NewStream(false)
	var got []string
	for _, b := range []byte("aé€😀") {
		got = append(got, s.Push(int32(4+int(b))))
	}
	want := []string{"a", "", "é", "", "", "€", "", "", "", "😀"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("pieces %q, want %q", got, want)
	}
	// A broken start comes out as soon as it is known to be broken.
	if got := s.Push(4+0xe2) + s.Push(4+'x'); got != "\uFFFDx" {
		t.Errorf("broken character: %q", got)
	}
	s.Push(4 + 0xf0)
	s.Push(4 + 0x9f)
	if got := s.Flush(); got != "\uFFFD\uFFFD" {
		t.Errorf("flushed %q", got)
	}
	if got := s.Flush(); got != "" {
		t.Errorf("flushed twice: %q", got)
	}
}
