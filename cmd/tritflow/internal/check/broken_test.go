package check

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// broken is a file with one fault, and what check must say about it.
type broken struct {
	name  string
	base  string              // tiny (random weights), builtin (trained)
	how   func(f *forge)      // to the file's parts
	patch func([]byte) []byte // to its bytes, after that
	class string              // reason, wrong, warning
	cause string
	says  string   // part of the message
	fixes []string // repaired, with these asked for; nil: by itself
	stays bool     // not to be repaired: the cause is still there, or nothing is written
}

func patch32(b []byte, at int, v uint32) { binary.LittleEndian.PutUint32(b[at:], v) }

func bits(v float64) uint32 { return math.Float32bits(float32(v)) }

// layoutOf stores a matrix in another I2_S layout.
func layoutOf(name string) func(f *forge) {
	return func(f *forge) {
		f.matrices(func(x *forged) { x.data = restore(x.data, int(x.dims[1]), int(x.dims[0]), name) })
	}
}

func restore(data []byte, rows, cols int, layout string) []byte {
	from, _ := quantkern.Lookup("I2_S")
	to, _ := quantkern.Lookup(layout)
	values := make([]float32, rows*cols)
	for r := range rows {
		from.Decode(values[r*cols:][:cols], data, rows, cols, r)
	}
	out := make([]byte, len(data))
	if err := to.Encode(out, values, rows, cols); err != nil {
		panic(err)
	}
	return out
}

func swapNames(a, b string) func(f *forge) {
	return func(f *forge) {
		for _, t := range f.tensors {
			switch {
			case strings.Contains(t.name, a):
				t.name = strings.Replace(t.name, a, b, 1)
			case strings.Contains(t.name, b):
				t.name = strings.Replace(t.name, b, a, 1)
			}
		}
	}
}

func keep(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

const (
	gone  = "tokenizer.ggml."
	b158  = "bitnet-b1.58."
	whole = 0
)

func tokensOf(f *forge) []string { return f.get(keyTokens).([]string) }

var brokenFiles = []broken{
	// The file as such.
	{name: "data cut off", base: "tiny", patch: func(b []byte) []byte { return b[:len(b)*7/10] }, class: "reason", cause: "truncated", says: "the file ends too early", stays: true},
	{name: "header cut off", base: "tiny", patch: keep(5000), class: "reason", cause: "truncated", says: "file ends too early", stays: true},
	{name: "nothing left", base: "tiny", patch: keep(whole), class: "reason", cause: "truncated", stays: true},
	{name: "Git LFS pointer", base: "tiny", patch: func([]byte) []byte {
		return []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
	}, class: "reason", cause: "not-gguf", says: "git lfs pull", stays: true},
	{name: "web page", base: "tiny", patch: func([]byte) []byte { return []byte("<!DOCTYPE html><html>") }, class: "reason", cause: "not-gguf", says: "web page", stays: true},
	{name: "version of the future", base: "tiny", how: func(f *forge) { f.version = 9 }, class: "reason", cause: "version", says: "newer", stays: true},
	{name: "BitNet-rs header", base: "tiny", patch: func(b []byte) []byte {
		extra := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, 32), 4096)
		return slices.Concat(b[:24], extra, b[24:])
	}, class: "reason", cause: "bitnet-rs-header", says: "BitNet-rs", stays: true},
	{name: "big-endian", base: "tiny", how: bigEndian, class: "reason", cause: "big-endian", says: "bytes reversed"},
	{name: "a key twice", base: "tiny", how: func(f *forge) { f.keys = append(f.keys, f.keys[1]) }, class: "reason", cause: "duplicate-name", says: "twice"},
	{name: "alignment 48", base: "tiny", how: func(f *forge) { f.set("general.alignment", uint32(48)) }, class: "reason", cause: "bad-alignment", says: "power of two"},
	{name: "alignment of 4096 not told", base: "tiny", how: func(f *forge) { f.align = 4096 }, class: "reason", cause: "wrong-alignment", says: "laid out for an alignment of 4096"},
	{name: "alignment of 32 called 4096", base: "tiny", how: func(f *forge) { f.set("general.alignment", uint32(4096)) }, class: "reason", cause: "wrong-alignment", says: "every tensor is read from the wrong place"},
	{name: "offset into another tensor", base: "tiny", how: func(f *forge) { f.place(); f.tensor("blk.1.ffn_up.weight").offset -= 4096 }, class: "reason", cause: "wrong-offset", says: "blk.1.ffn_up.weight"},
	{name: "offset not aligned", base: "tiny", how: func(f *forge) { f.place(); f.tensor("blk.2.attn_k.weight").offset += 4 }, class: "reason", cause: "wrong-offset", says: "blk.2.attn_k.weight"},
	{name: "offset beyond the end", base: "tiny", how: func(f *forge) { f.place(); f.tensor("blk.0.attn_q.weight").offset = 1 << 30 }, class: "reason", cause: "wrong-offset", says: "blk.0.attn_q.weight"},
	{name: "file type F16", base: "tiny", how: func(f *forge) { f.set("general.file_type", uint32(1)) }, class: "warning", cause: "wrong-file-type", says: "the matrices are I2_S"},

	// Types.
	{name: "I2_S called TQ2_0", base: "tiny", how: func(f *forge) { f.place(); f.matrices(func(t *forged) { t.id = 35 }) }, class: "reason", cause: "mislabelled-type", says: "I2_S fills the room"},
	{name: "I2_S called type 77", base: "tiny", how: func(f *forge) { f.place(); f.matrices(func(t *forged) { t.id = 77 }) }, class: "reason", cause: "mislabelled-type", says: "labelled type id 77"},
	{name: "F32 norms called F16", base: "tiny", how: func(f *forge) { f.place(); f.each("norm", func(t *forged) { t.id = 1 }) }, class: "reason", cause: "mislabelled-type", says: "F32 fills the room"},
	{name: "F16 embedding called BF16", base: "tiny", how: func(f *forge) { f.tensor("token_embd.weight").id = 30 }, class: "wrong", cause: "mislabelled-type", says: "read as F16"},
	{name: "BF16 embedding called F16", base: "tiny", how: toBF16, class: "wrong", cause: "mislabelled-type", says: "read as BF16"},

	// The network.
	{name: "called llama", base: "tiny", how: func(f *forge) { f.set("general.architecture", "llama") }, class: "reason", cause: "wrong-architecture", says: "those of bitnet-b1.58"},
	{name: "unknown architecture", base: "tiny", how: func(f *forge) { f.set("general.architecture", "bitnet2b") }, class: "reason", cause: "wrong-architecture", says: `is "bitnet2b"`},
	{name: "no architecture", base: "tiny", how: func(f *forge) { f.drop("general.architecture") }, class: "reason", cause: "wrong-architecture", says: "is missing"},
	{name: "sub-norms dropped", base: "tiny", how: func(f *forge) { f.dropTensors("sub_norm") }, class: "reason", cause: "missing-sub-norm", says: "the converter dropped sub-norms", stays: true},
	{name: "one tensor dropped", base: "tiny", how: func(f *forge) { f.dropTensors("blk.1.ffn_gate") }, class: "reason", cause: "missing-tensor", says: "blk.1.ffn_gate.weight is missing", stays: true},
	{name: "names of a checkpoint", base: "tiny", how: checkpoint, class: "reason", cause: "checkpoint-names", says: "Hugging Face"},
	{name: "dimensions turned round", base: "tiny", how: func(f *forge) {
		f.each("", func(t *forged) {
			if len(t.dims) == 2 {
				t.dims = []uint64{t.dims[1], t.dims[0]}
			}
		})
	}, class: "reason", cause: "transposed", says: "wrong order"},
	{name: "embedding under the head's name", base: "tiny", how: func(f *forge) { f.tensor("token_embd.weight").name = "output.weight" }, class: "reason", cause: "missing-embedding", says: "under the wrong name"},
	{name: "too many key heads", base: "tiny", how: func(f *forge) { f.set(b158+"attention.head_count_kv", uint32(4)) }, class: "reason", cause: "contradicting-key", says: "head_count_kv is 4, the tensors' shapes say 2"},
	{name: "too few heads", base: "tiny", how: func(f *forge) { f.set(b158+"attention.head_count", uint32(2)) }, class: "reason", cause: "contradicting-key", says: "head_count is 2, the tensors' shapes say 4"},
	{name: "RoPE of half a head", base: "tiny", how: func(f *forge) { f.set(b158+"rope.dimension_count", uint32(32)) }, class: "reason", cause: "contradicting-key", says: "rope.dimension_count is 32, the tensors' shapes say 64"},
	{name: "wrong width", base: "tiny", how: func(f *forge) { f.set(b158+"embedding_length", uint32(512)) }, class: "reason", cause: "contradicting-key", says: "embedding_length is 512, the tensors' shapes say 256"},
	{name: "wrong FFN width", base: "tiny", how: func(f *forge) { f.set(b158+"feed_forward_length", uint32(768)) }, class: "reason", cause: "contradicting-key", says: "feed_forward_length is 768"},
	{name: "too many blocks", base: "tiny", how: func(f *forge) { f.set(b158+"block_count", uint32(30)) }, class: "reason", cause: "contradicting-key", says: "block_count is 30, the tensors' shapes say 3"},
	{name: "too few blocks", base: "tiny", how: func(f *forge) { f.set(b158+"block_count", uint32(2)) }, class: "wrong", cause: "contradicting-key", says: "the tensors of 3 blocks"},
	{name: "number as text", base: "tiny", how: func(f *forge) { f.set(b158+"rope.freq_base", "500000") }, class: "reason", cause: "bad-key", says: "rope.freq_base"},
	{name: "no epsilon", base: "tiny", how: func(f *forge) { f.drop(b158 + "attention.layer_norm_rms_epsilon") }, class: "reason", cause: "missing-key", says: "is missing", fixes: []string{"bad-key"}},
	{name: "no width", base: "tiny", how: func(f *forge) { f.drop(b158 + "embedding_length") }, class: "reason", cause: "missing-key", says: "embedding_length is missing"},

	// The vocabulary.
	{name: "wrong vocab_size", base: "tiny", how: func(f *forge) { f.set(b158+"vocab_size", uint32(500)) }, class: "reason", cause: "vocabulary-size", says: "says 500 tokens"},
	{name: "tokens without their padding", base: "tiny", how: func(f *forge) {
		f.set(keyTokens, tokensOf(f)[:510])
		f.set(keyTypes, f.get(keyTypes).([]int32)[:510])
	}, class: "reason", cause: "vocabulary-size", says: "has 510 entries"},
	{name: "tokens beyond the embedding", base: "tiny", how: func(f *forge) {
		f.set(keyTokens, append(slices.Clone(tokensOf(f)), "x1", "x2"))
		f.set(keyTypes, append(slices.Clone(f.get(keyTypes).([]int32)), 1, 1))
	}, class: "reason", cause: "vocabulary-size", says: "has 514 entries"},
	{name: "token types too short", base: "tiny", how: func(f *forge) { f.set(keyTypes, f.get(keyTypes).([]int32)[:100]) }, class: "reason", cause: "token-types-length", says: "100 elements for 512 tokens"},
	{name: "no merges", base: "tiny", how: func(f *forge) { f.drop(keyMerges) }, class: "reason", cause: "merges-missing", says: "is missing", fixes: []string{"merges-missing"}},
	{name: "merge without a space", base: "builtin", how: func(f *forge) {
		m := slices.Clone(f.get(keyMerges).([]string))
		m[3] = strings.ReplaceAll(m[3], " ", "")
		f.set(keyMerges, m)
	}, class: "reason", cause: "merges-unparsable", says: "line 3"},
	{name: "begin token outside", base: "builtin", how: func(f *forge) { f.set(gone+"bos_token_id", uint32(128000)) }, class: "reason", cause: "special-id-outside", says: "bos_token_id is 128000 and the vocabulary has 1536"},
	{name: "padding token outside", base: "tiny", how: func(f *forge) { f.set(gone+"padding_token_id", uint32(1<<20)) }, class: "reason", cause: "special-id-outside", says: "padding_token_id"},
	{name: "end token is a word", base: "builtin", how: func(f *forge) { f.set(gone+"eos_token_id", uint32(700)) }, class: "wrong", cause: "special-id-ordinary", says: "the ordinary token"},
	{name: "pre-tokenizer of another model", base: "builtin", how: func(f *forge) { f.set(gone+"pre", "default") }, class: "wrong", cause: "wrong-pre-tokenizer", says: "cuts through"},
	{name: "unknown pre-tokenizer", base: "builtin", how: func(f *forge) { f.set(gone+"pre", "my-own") }, class: "reason", cause: "unknown-pre-tokenizer", says: "my-own", fixes: []string{"unknown-pre-tokenizer"}},
	{name: "unsupported tokenizer", base: "tiny", how: func(f *forge) { f.set(gone+"model", "bert") }, class: "reason", cause: "unsupported-tokenizer", says: "bert", stays: true},
	{name: "template of another model", base: "builtin", how: func(f *forge) { f.set(keyChat, chatFormats[1].source) }, class: "wrong", cause: "foreign-template", says: "which the vocabulary does not have"},
	{name: "placeholder template", base: "builtin", how: func(f *forge) {
		f.set(keyChat, `{{ bos_token }}{% for message in messages %}{{ 'Human: ' + message['content'] + '\n\nBITNETAssistant: ' + eos_token }}{% endfor %}`)
	}, class: "warning", cause: "placeholder-template", says: "placeholder"},
	{name: "template that does not parse", base: "builtin", how: func(f *forge) { f.set(keyChat, "{% for m in messages %}{{ m.content }") }, class: "warning", cause: "broken-template", says: "chat will not work"},

	// The values.
	{name: "layout of ARM", base: "builtin", how: layoutOf("I2_S_B"), class: "wrong", cause: "i2s-layout", says: "stored in layout B"},
	{name: "layout of four rows", base: "builtin", how: layoutOf("I2_S_C"), class: "wrong", cause: "i2s-layout", says: "stored in layout C"},
	{name: "scale in a tensor of its own", base: "tiny", how: func(f *forge) {
		x := f.tensor("blk.0.attn_q.weight")
		scale := slices.Clone(x.data[len(x.data)-32:][:4])
		clear(x.data[len(x.data)-32:])
		f.tensors = append(f.tensors, &forged{"blk.0.attn_q.scale", []uint64{1}, 0, scale, -1})
	}, class: "wrong", cause: "scale-missing", says: "has the scale 0"},
	{name: "first of eight scales lost", base: "tiny", how: func(f *forge) {
		f.matrices(func(x *forged) {
			tail := x.data[len(x.data)-32:]
			for i := 4; i < 32; i += 4 {
				copy(tail[i:], tail[:4])
			}
		})
		x := f.tensor("blk.1.ffn_down.weight")
		patch32(x.data, len(x.data)-32, bits(math.NaN()))
	}, class: "reason", cause: "scale-not-finite", says: "blk.1.ffn_down.weight"},
	{name: "all scales dropped", base: "tiny", how: func(f *forge) {
		f.matrices(func(x *forged) { patch32(x.data, len(x.data)-32, bits(1)) })
	}, class: "wrong", cause: "scales-dropped", says: "exactly 1", stays: true},
	{name: "scales upside down", base: "tiny", how: func(f *forge) {
		f.matrices(func(x *forged) {
			s := math.Float32frombits(binary.LittleEndian.Uint32(x.data[len(x.data)-32:]))
			patch32(x.data, len(x.data)-32, bits(1/float64(s)))
		})
	}, class: "wrong", cause: "scales-inverted", says: "inverse scales", stays: true},
	{name: "NaN in a norm", base: "tiny", how: func(f *forge) { patch32(f.tensor("blk.1.attn_norm.weight").data, 8, bits(math.NaN())) }, class: "reason", cause: "not-finite", says: "row 0, column 2", stays: true},
	{name: "infinity in the embedding", base: "tiny", how: func(f *forge) { binary.LittleEndian.PutUint16(f.tensor("token_embd.weight").data[2000:], 0x7c00) }, class: "reason", cause: "not-finite", says: "token_embd.weight", stays: true},
	{name: "norm of zeros", base: "tiny", how: func(f *forge) { clear(f.tensor("blk.1.ffn_norm.weight").data) }, class: "wrong", cause: "norm-zero", says: "blk.1.ffn_norm.weight", stays: true},
	{name: "norm out of range", base: "tiny", how: func(f *forge) {
		for i := 0; i < 1024; i += 4 {
			patch32(f.tensor("output_norm.weight").data, i, bits(1e20*float64(1+i)))
		}
	}, class: "wrong", cause: "norm-range", says: "no trained norm", stays: true},
	{name: "norm with its bytes turned round", base: "tiny", how: func(f *forge) {
		x := f.tensor("blk.0.attn_norm.weight").data
		for i := 0; i < len(x); i += 4 {
			slices.Reverse(x[i : i+4])
		}
	}, class: "wrong", cause: "norm-byte-order", says: "bytes turned round"},
	{name: "norms without their 1", base: "tiny", how: func(f *forge) {
		f.each("norm.weight", func(x *forged) {
			for i := 0; i < len(x.data); i += 4 {
				v := math.Float32frombits(binary.LittleEndian.Uint32(x.data[i:]))
				patch32(x.data, i, bits(float64(v)-1))
			}
		})
	}, class: "wrong", cause: "norm-around-zero", says: "left out the 1", stays: true},
	{name: "hole in a matrix", base: "tiny", how: func(f *forge) { clear(f.tensor("blk.2.ffn_up.weight").data[4096:20480]) }, class: "wrong", cause: "hole", says: "nothing but zeros", stays: true},
	{name: "noise in a matrix", base: "tiny", how: func(f *forge) {
		x := f.tensor("blk.2.ffn_up.weight").data
		state := uint32(1)
		for i := range x[:len(x)-32] {
			state = state*1664525 + 1013904223
			x[i] = byte(state >> 24)
		}
	}, class: "wrong", cause: "not-ternary", says: "undefined", stays: true},
	{name: "one bad code", base: "tiny", how: func(f *forge) { f.tensor("blk.2.ffn_up.weight").data[7] |= 3 }, class: "warning", cause: "undefined-codes", says: "has 1 codes", stays: true},

	// What only running it shows.
	{name: "gate and up swapped", base: "builtin", how: swapNames("ffn_gate", "ffn_up"), class: "wrong", cause: "gate-up-swapped", says: "ffn_gate and ffn_up"},
	{name: "keys and values swapped", base: "builtin", how: swapNames("attn_k.", "attn_v."), class: "wrong", cause: "kv-swapped", says: "attn_k and attn_v"},
	{name: "rows of Q and K permuted", base: "builtin", how: func(f *forge) {
		for _, name := range []string{"attn_q.", "attn_k."} {
			f.each(name, func(x *forged) {
				body := x.data[:len(x.data)-32]
				copy(body, permuted(body, int(x.dims[1]), 64))
			})
		}
	}, class: "wrong", cause: "rope-order", says: "order of another architecture"},
}

// permuted brings rows that stand half a head apart together, as converters do
// for architecture llama. Written otherwise than the repair.
func permuted(b []byte, rows, width int) []byte {
	size := len(b) / rows
	var out []byte
	for head := 0; head < rows; head += width {
		for i := range width / 2 {
			for _, r := range []int{head + i, head + i + width/2} {
				out = append(out, b[r*size:(r+1)*size]...)
			}
		}
	}
	return out
}

func bigEndian(f *forge) {
	f.order = binary.BigEndian
	for _, t := range f.tensors {
		width := map[uint32]int{0: 4, 1: 2}[t.id]
		if t.id == 36 {
			tail := t.data[len(t.data)-32:]
			for i := 0; i < 32; i += 4 {
				slices.Reverse(tail[i : i+4])
			}
			continue
		}
		for i := 0; i < len(t.data); i += width {
			slices.Reverse(t.data[i : i+width])
		}
	}
}

// toBF16 stores the embedding in the other half precision; its values stay
// those of F16 that BF16 can hold, so that the logits can be compared with
// those of a file that is labelled rightly.
func toBF16(f *forge) {
	x := f.tensor("token_embd.weight")
	for i := 0; i < len(x.data); i += 2 {
		v := quantkern.F16ToF32(binary.LittleEndian.Uint16(x.data[i:]))
		binary.LittleEndian.PutUint16(x.data[i:], uint16(math.Float32bits(v)>>16))
	}
}

func checkpoint(f *forge) {
	back := map[string]string{}
	for hf, name := range hfNames {
		if !strings.Contains(hf, "inner_attn_ln") && !strings.Contains(hf, "ffn_layernorm") {
			back[name] = hf
		}
	}
	for _, t := range f.tensors {
		parts := strings.SplitN(strings.TrimSuffix(t.name, ".weight"), ".", 3)
		switch {
		case t.name == "token_embd.weight":
			t.name = "model.embed_tokens.weight"
		case t.name == "output_norm.weight":
			t.name = "model.norm.weight"
		default:
			t.name = "model.layers." + parts[1] + "." + back[parts[2]] + ".weight"
		}
	}
}

// TestBrokenFiles: check names the cause of every fault, mends what can be
// mended, and then the logits are those of the file before it was broken.
func TestBrokenFiles(t *testing.T) {
	bases := map[string][]byte{"tiny": tiny(t), "builtin": builtinBytes(t)}
	want := map[string][]uint32{}
	for name, data := range bases {
		want[name] = logitsOf(t, store(t, "good.gguf", data), gguf.Options{})
	}
	repaired := 0
	for i, c := range brokenFiles {
		if testing.Short() && i%8 != 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			f := forgeOf(t, bases[c.base])
			if c.how != nil {
				c.how(f)
			}
			data := f.bytes()
			if c.patch != nil {
				data = c.patch(data)
			}
			path := store(t, "broken.gguf", data)
			out := path + ".mended"
			rep, err := Repair(t.Context(), path, out, gguf.Options{}, Options{}, c.fixes)
			if err != nil {
				t.Fatal(err)
			}
			list := map[string][]Problem{"reason": rep.Before.Reasons, "wrong": rep.Before.Wrong, "warning": rep.Before.Warnings}[c.class]
			if !slices.ContainsFunc(list, func(p Problem) bool { return p.Cause == c.cause && strings.Contains(p.Message, c.says) }) {
				t.Fatalf("no %s %s %q in\n%s", c.class, c.cause, c.says, tell(rep.Before))
			}
			if c.stays {
				if rep.After != nil && rep.After.OK && rep.After.Healthy && rep.After.find(c.cause) == nil {
					t.Errorf("mended although it cannot be: %+v", rep.Done)
				}
				return
			}
			if rep.After == nil || !rep.After.OK || !rep.After.Healthy || rep.After.find(c.cause) != nil {
				t.Fatalf("not mended: %+v\nbefore %s\nafter %s", rep.Done, tell(rep.Before), tell(rep.After))
			}
			expect := want[c.base]
			if c.cause == "mislabelled-type" && strings.Contains(c.says, "BF16") {
				f.tensor("token_embd.weight").id = 30
				expect = logitsOf(t, store(t, "right.gguf", f.bytes()), gguf.Options{})
			}
			if !slices.Equal(logitsOf(t, out, gguf.Options{}), expect) {
				t.Errorf("the mended file has other logits: %+v", rep.Done)
			}
			repaired++
		})
	}
	t.Logf("%d broken files, %d mended with the logits of the original", len(brokenFiles), repaired)
}

func tell(r *Report) string {
	if r == nil {
		return "nothing"
	}
	var b strings.Builder
	for _, p := range r.Problems() {
		b.WriteString("  " + p.Kind + "/" + p.Cause + " " + p.Message + "\n")
	}
	return b.String()
}
