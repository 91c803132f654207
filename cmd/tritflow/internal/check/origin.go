package check

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"tritflow/gguf"
)

// Origin is which program wrote a file, as far as its traces tell.
type Origin struct {
	Program string   `json:"program"` // "" where nothing tells
	Marks   []string `json:"marks"`   // how one can tell
	Sure    float64  `json:"sure"`
}

// placeholderTemplate is in the template that Microsoft's converter writes
// into every file and that no model was trained with.
const placeholderTemplate = "BITNETAssistant"

// origin goes by keys and habits of writers (formats.md 1.3, 2.1, 2.9, 3, 6, 7).
func origin(f *gguf.File) *Origin {
	md := f.Metadata()
	str := func(key string) string { s, _ := md.Str(key); return s }
	has := func(key string) bool { _, ok := md.Get(key); return ok }
	count := map[string]int{}
	for _, t := range f.Tensors() {
		count[t.Type.String()]++
	}
	o := &Origin{Marks: []string{}}
	say := func(program string, sure float64, marks ...string) *Origin {
		o.Program, o.Sure, o.Marks = program, sure, append(marks, o.Marks...)
		return o
	}
	name, arch := str("general.name"), str("general.architecture")
	i2s := count["I2_S"] + count["I2_S_B"] + count["I2_S_C"]
	if i2s > 0 {
		o.Marks = append(o.Marks, fillers(f)...)
	}
	switch {
	case strings.HasPrefix(str("general.description"), "random weights, seed "):
		return say("tritflow synth", 0.99, fmt.Sprintf("general.description %q", str("general.description")))
	case name == "bitnet2b" && arch == "bitnet-b1.58" && !has("tokenizer.ggml.pre"):
		sure, marks := 0.95, []string{`general.name "bitnet2b", architecture bitnet-b1.58`, "no tokenizer.ggml.pre"}
		if len(f.Tensors()) == 332 && i2s == 210 && count["F32"] == 121 && count["F16"] == 1 && len(md.Keys()) == 24 {
			sure = 0.99
			marks = append(marks, "24 keys and 332 tensors (210 I2_S, 121 F32, 1 F16) as in the published file")
		}
		return say("Microsoft's converter: the official BitNet b1.58 2B-4T file", sure, marks...)
	case name == "bitnet2b_2501" || arch == "bitnet-25":
		return say("Microsoft's converter: an early upload of BitNet b1.58 2B-4T", 0.9, fmt.Sprintf("architecture %s, general.name %q", arch, name))
	case count["TL1"]+count["TL2"] > 0:
		return say("bitnet.cpp's Python converter", 0.95, "tensors of type TL1 or TL2, which nothing else writes")
	case count["IQ1_BN"]+count["IQ2_BN"]+count["IQ2_BN_R4"] > 0:
		return say("ik_llama.cpp", 0.95, "tensors of type IQ1_BN or IQ2_BN, which nothing else writes")
	case count["Q2_0_128"] > 0:
		return say("PrismML's llama.cpp (Ternary-Bonsai files)", 0.9, "Q2_0 with 128 weights a block")
	case strings.Contains(str("tokenizer.chat_template"), placeholderTemplate):
		return say("bitnet.cpp's converter", 0.9, "the placeholder "+placeholderTemplate+" in the chat template")
	case i2s > 0 && str("tokenizer.ggml.pre") == "falcon_e":
		return say("bitnet.cpp's converter (Falcon-E)", 0.9, `I2_S tensors and pre-tokenizer "falcon_e"`)
	case str("general.name") == "tritflow mini":
		return say("tritflow's trainer: the model inside the program", 0.95, `general.name "tritflow mini"`)
	case i2s > 0:
		return say("bitnet.cpp (llama-quantize or a converter) or a program after its example", 0.6, "I2_S tensors, which llama.cpp does not know")
	case has("general.size_label") || has("general.basename") || has("quantize.imatrix.file"):
		return say("llama.cpp (convert_hf_to_gguf, since 2024)", 0.8, "the keys general.size_label or general.basename")
	case arch == "bitnet" && str("bitnet.rope.scaling.type") == "linear":
		return say("llama.cpp's or bitnet.cpp's converter for 1bitLLM models", 0.7, "bitnet.rope.scaling.type is linear, with a factor of 1")
	case has("general.quantization_version"):
		return say("llama.cpp or a program after its example", 0.5, "general.quantization_version")
	}
	return o
}

// fillers looks at what stands behind the scales of I2_S tensors.
func fillers(f *gguf.File) []string {
	zero, copies, other := 0, 0, 0
	for _, t := range f.Tensors() {
		if !strings.HasPrefix(t.Type.String(), "I2_S") || len(t.Data) < 32 {
			continue
		}
		tail := t.Data[len(t.Data)-32:]
		switch {
		case !slices.ContainsFunc(tail[4:], func(b byte) bool { return b != 0 }):
			zero++
		case repeated(tail):
			copies++
		default:
			other++
		}
	}
	switch {
	case copies > 0 && zero+other == 0:
		return []string{"the scale stands eight times behind each I2_S tensor, as an old converter wrote it"}
	case zero > 0 && copies+other == 0:
		return []string{"zeros behind the scale of each I2_S tensor, as current converters write"}
	case other > 0:
		return []string{fmt.Sprintf("bytes without meaning behind the scales of %s", plural(other, "I2_S tensor"))}
	}
	return nil
}

func repeated(tail []byte) bool {
	for i := 4; i+4 <= len(tail); i += 4 {
		if binary.LittleEndian.Uint32(tail[i:]) != binary.LittleEndian.Uint32(tail) {
			return false
		}
	}
	return true
}
