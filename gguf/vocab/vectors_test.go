package vocab

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// vectors is where the real vocabularies lie; they are other people's data and
// not part of the repository.
const vectors = "../../../shared/vocab"

func openVectors(t testing.TB, name string) *gguf.File {
	t.Helper()
	path := filepath.Join(vectors, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the real vocabularies are not here (%s)", vectors)
	}
	return gguftest.Open(t, path)
}

// readCases reads the texts and ids that belong to a vocabulary.
func readCases(t *testing.T, name string) (texts []string, ids [][]int32) {
	t.Helper()
	inp, err := os.ReadFile(filepath.Join(vectors, name+".inp"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(filepath.Join(vectors, name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	const end = "\n__ggml_vocab_test__\n"
	texts = strings.Split(strings.TrimSuffix(string(inp), end), end)
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		row := []int32{}
		for _, f := range strings.Fields(line) {
			id, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			row = append(row, int32(id))
		}
		ids = append(ids, row)
	}
	if len(texts) != 46 || len(ids) != 46 {
		t.Fatalf("%s: %d texts and %d id lines, want 46", name, len(texts), len(ids))
	}
	return texts, ids
}

// TestVectors compares with llama.cpp's ids for 46 texts of each vocabulary,
// and turns them back.
func TestVectors(t *testing.T) {
	for _, name := range []string{"falcon", "gpt-2", "llama-bpe", "llama-spm", "starcoder"} {
		t.Run(name, func(t *testing.T) {
			file := "ggml-vocab-" + name + ".gguf"
			f := openVectors(t, file)
			v, err := Load(f.Metadata(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			texts, want := readCases(t, file)
			for i, text := range texts {
				got := v.Encode(text, EncodeOptions{})
				if d := cmp.Diff(want[i], got); d != "" {
					t.Errorf("case %d %q: ids differ (-want +got)\n%s", i, text, d)
				}
				// Piece by piece nothing is cleaned up, so every text comes
				// back; SPM has a space in front that encoding put there.
				back := streamed(v, got)
				if v.addSpacePrefix && text != "" {
					back = strings.TrimPrefix(back, " ")
				}
				if back != text {
					t.Errorf("case %d: %q came back as %q", i, text, back)
				}
				if d := v.Decode(got, false); !v.cleanSpaces && d != text {
					t.Errorf("case %d: %q was decoded as %q", i, text, d)
				} else if v.cleanSpaces && d != cleanSpaces(text) {
					t.Errorf("case %d: %q was decoded as %q, want %q", i, text, d, cleanSpaces(text))
				}
			}
		})
	}
}

func streamed(v *Vocab, ids []int32) string {
	s := v.NewStream(false)
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(s.Push(id))
	}
	b.WriteString(s.Flush())
	return b.String()
}

func TestBertRefused(t *testing.T) {
	f := openVectors(t, "ggml-vocab-bert-bge.gguf")
	_, err := Load(f.Metadata(), Options{})
	var un *UnsupportedError
	if !errors.As(err, &un) || un.Name != "bert" {
		t.Fatalf("got %v, want an *UnsupportedError naming bert", err)
	}
}

// TestMissingPre: GPT-NeoX names no pre-tokenizer and is not Llama 3.
func TestMissingPre(t *testing.T) {
	v, err := Load(openVectors(t, "ggml-vocab-gpt-neox.gguf").Metadata(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Pre() != "default" || !strings.Contains(strings.Join(v.Warnings(), "\n"), `"default" taken`) {
		t.Errorf("pre %q, warnings %q", v.Pre(), v.Warnings())
	}
	// Its runs of spaces are user-defined tokens, found without being asked for.
	if got, want := v.Encode("a"+strings.Repeat(" ", 24)+"b", EncodeOptions{}), int32(50254); len(got) != 3 || got[1] != want {
		t.Errorf("ids %v, want %d in the middle", got, want)
	}
}

func BenchmarkLoad(b *testing.B) {
	f := openVectors(b, "ggml-vocab-llama-bpe.gguf")
	for b.Loop() {
		if _, err := Load(f.Metadata(), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	v, err := Load(openVectors(b, "ggml-vocab-llama-bpe.gguf").Metadata(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	text := strings.Repeat("The quick brown fox jumps over 1234 lazy dogs; isn't it nice? Ein Übermut.\n", 100)
	v.Encode(text, EncodeOptions{}) // makes the tables
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		v.Encode(text, EncodeOptions{})
	}
}
