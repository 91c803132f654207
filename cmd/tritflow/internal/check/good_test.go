package check

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/graph"
)

// shared is where models and vocabularies lie that are not part of the repository.
const shared = "../../../../../shared/"

// harmless are warnings that good files give: what they leave to the reader.
var harmless = []string{"no-activation", "assumed", "no-template", "no-pre", "vocabulary", "placeholder-template"}

// clean fails unless a file has nothing wrong with it.
func clean(t *testing.T, path string) {
	t.Helper()
	r, err := Path(t.Context(), path, gguf.Options{}, Options{Trials: TrialsAll})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || !r.Healthy || slices.ContainsFunc(r.Warnings, func(p Problem) bool { return !slices.Contains(harmless, p.Cause) }) {
		t.Errorf("%s: false alarm\n%s", path, tell(r))
	}
}

// TestEmbeddingsPredictNothing: a network without a head is not tried on text.
func TestEmbeddingsPredictNothing(t *testing.T) {
	for _, name := range []string{"tiny-gemma3-embedding", "tiny-qwen3-embedding", "tiny-qwen3-mean"} {
		r, err := Path(t.Context(), filepath.Join("../../../../graph/testdata", name+".gguf"), gguf.Options{}, Options{Trials: TrialsAll})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK || !r.Healthy || r.Trial != nil {
			t.Errorf("%s: %s", name, tell(r))
		}
	}
}

// TestNoFalseAlarmOnSynthetic: random weights of every type and architecture
// prove nothing, and nothing must be read into them.
func TestNoFalseAlarmOnSynthetic(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	tiny, err := graph.ShapeByName("tiny")
	if err != nil {
		t.Fatal(err)
	}
	small, err := graph.ShapeByName("small")
	if err != nil {
		t.Fatal(err)
	}
	small.Blocks = 2
	for _, typ := range []string{"I2_S", "TQ1_0", "TQ2_0", "F16", "BF16", "F32", "Q8_0", "Q6_K", "Q4_0", "Q4_1"} {
		for _, shape := range []graph.Shape{tiny, small} {
			for _, arch := range []string{"bitnet-b1.58", "bitnet", "llama"} {
				shape.Arch, shape.OwnHead = arch, arch == "llama"
				t.Run(strings.Join([]string{typ, shape.Name, arch}, " "), func(t *testing.T) {
					ty, ok := gguf.TypeByName(typ)
					if !ok {
						t.Fatal("no such type")
					}
					var b bytes.Buffer
					w := gguf.NewWriter(&b)
					if err := synth.Write(t.Context(), w, synth.Options{Shape: shape, Type: ty, Seed: 7}); err != nil {
						t.Skip(err)
					}
					if err := w.Close(); err != nil {
						t.Fatal(err)
					}
					clean(t, store(t, "synth.gguf", b.Bytes()))
				})
			}
		}
	}
}

func TestNoFalseAlarmOnTrained(t *testing.T) {
	clean(t, store(t, "builtin.gguf", builtinBytes(t)))
	const smol = "../../../../models/SmolLM2-135M-Instruct.Q4_1.gguf" // of `just fetch-models`
	if _, err := os.Stat(smol); err != nil {
		t.Log("SmolLM2 is not here: only the built-in model was looked at")
		return
	}
	clean(t, smol)
	// What is mixed up in it is found out too.
	data, err := os.ReadFile(smol)
	if err != nil {
		t.Fatal(err)
	}
	for cause, how := range map[string]func(f *forge){
		"gate-up-swapped":  swapNames("ffn_gate", "ffn_up"),
		"kv-swapped":       swapNames("attn_k.", "attn_v."),
		"wrong-activation": func(f *forge) { f.set("llama.hidden_activation", "relu2") },
		"rope-order":       func(f *forge) { neox(f) },
	} {
		f := forgeOf(t, data)
		how(f)
		rep, err := Repair(t.Context(), store(t, "smol.gguf", f.bytes()), filepath.Join(t.TempDir(), "out.gguf"), gguf.Options{}, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Before.find(cause) == nil || rep.After == nil || !rep.After.Healthy {
			t.Errorf("%s: before %s\nafter %s", cause, tell(rep.Before), tell(rep.After))
		}
	}
}

// neox undoes the permutation of a converter for architecture llama.
func neox(f *forge) {
	for _, name := range []string{"attn_q.", "attn_k."} {
		f.each(name, func(x *forged) {
			const width = 64
			rows := int(x.dims[1])
			size := len(x.data) / rows
			var out []byte
			for head := 0; head < rows; head += width {
				for _, odd := range []int{0, 1} {
					for i := range width / 2 {
						r := head + 2*i + odd
						out = append(out, x.data[r*size:(r+1)*size]...)
					}
				}
			}
			x.data = out
		})
	}
}

func TestNoFalseAlarmOnReferences(t *testing.T) {
	paths, _ := filepath.Glob(shared + "reference/*.gguf")
	more, _ := filepath.Glob(shared + "reference/arch/*.gguf")
	if len(paths) == 0 {
		t.Skip("reference models are not beside the repository")
	}
	for _, path := range append(paths, more...) {
		f, err := gguf.Open(path, gguf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		arch, _ := f.Metadata().Str("general.architecture")
		f.Close()
		if slices.Contains(graph.Architectures(), arch) {
			clean(t, path)
		}
	}
}

// TestVocabularies: files without tensors will not run, and that is all there
// is to say about them.
func TestVocabularies(t *testing.T) {
	paths, _ := filepath.Glob(shared + "vocab/*.gguf")
	if len(paths) == 0 {
		t.Skip("vocabularies are not beside the repository")
	}
	for _, path := range paths {
		r, err := Path(t.Context(), path, gguf.Options{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"no-tensors"}
		if strings.Contains(path, "bert") {
			want = []string{"unsupported-tokenizer", "no-tensors"}
		}
		var got []string
		for _, p := range slices.Concat(r.Reasons, r.Wrong) {
			got = append(got, p.Cause)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v\n%s", path, got, tell(r))
		}
	}
}

// TestPreTokenizersOfRealVocabularies: the names that cut through the tokens of
// Llama 3 are found out, whichever they are.
func TestPreTokenizersOfRealVocabularies(t *testing.T) {
	path := shared + "vocab/ggml-vocab-llama-bpe.gguf"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skip("vocabularies are not beside the repository")
	}
	for _, pre := range []string{"default", "gpt-2", "qwen2", "falcon", "smollm", "deepseek-llm"} {
		f := forgeOf(t, data)
		f.set("tokenizer.ggml.pre", pre)
		r, err := Path(t.Context(), store(t, "vocab.gguf", f.bytes()), gguf.Options{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := r.find("wrong-pre-tokenizer")
		if p == nil || p.Fix == nil || !strings.Contains(p.Fix.What, "llama-bpe") {
			t.Errorf("%s for Llama 3: %s", pre, tell(r))
		}
	}
	f := forgeOf(t, data)
	f.drop("tokenizer.ggml.pre")
	r, err := Path(t.Context(), store(t, "vocab.gguf", f.bytes()), gguf.Options{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.find("no-pre"); p == nil || p.Fix == nil || !strings.Contains(p.Fix.What, "llama-bpe") {
		t.Errorf("no name for Llama 3: %s", tell(r))
	}
}
