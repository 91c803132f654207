package builtin

import (
	"bytes"
	"errors"
	"testing"

	"tritflow/gguf"
)

func TestDigest(t *testing.T) {
	if err := verify(mini); err != nil {
		t.Error(err)
	}
	for _, at := range []int{0, len(mini) / 2, len(mini) - 1} {
		damaged := bytes.Clone(mini)
		damaged[at] ^= 1
		var de *DigestError
		if err := verify(damaged); !errors.As(err, &de) || de.Got == SHA256 {
			t.Errorf("bit %d flipped: %v", 8*at, err)
		}
	}
}

func TestWriteTo(t *testing.T) {
	var b bytes.Buffer
	if n, err := WriteTo(&b); err != nil || n != int64(len(mini)) || !bytes.Equal(b.Bytes(), mini) {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
}

func TestOpen(t *testing.T) {
	f, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	if arch, err := f.Metadata().Str("general.architecture"); err != nil || arch != "bitnet-b1.58" {
		t.Errorf("architecture %q, %v", arch, err)
	}
	tokens, err := f.Metadata().Strings("tokenizer.ggml.tokens")
	if err != nil || len(tokens) != 1536 || tokens[0] != "<|begin_of_text|>" {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	if f.Name() != Name || f.Version() != 3 || f.Size() != uint64(len(mini)) || len(f.Tensors()) != 68 {
		t.Errorf("%s: version %d, %d bytes, %d tensors", f.Name(), f.Version(), f.Size(), len(f.Tensors()))
	}
	for name, want := range map[string]gguf.Type{"token_embd.weight": gguf.TypeF16, "blk.5.ffn_down.weight": gguf.TypeI2_S, "output_norm.weight": gguf.TypeF32} {
		if ts, ok := f.Tensor(name); !ok || ts.Type != want {
			t.Errorf("%s: %+v", name, ts)
		}
	}
}
