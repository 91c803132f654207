package check

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"tritflow/cmd/tritflow/internal/layout/i2slayout"
	"tritflow/gguf"
	"tritflow/gguf/vocab"
)

// Engine is whether another engine will run the file.
type Engine struct {
	Name     string   `json:"name"`
	Loads    bool     `json:"loads"`
	Right    bool     `json:"right"`    // and will answer as the model should
	Reasons  []string `json:"reasons"`  // why it refuses
	Garbage  []string `json:"garbage"`  // why it answers wrongly
	Warnings []string `json:"warnings"` // what else it does with the file
	Basis    string   `json:"basis"`    // which state of that engine this is about
}

// engineRules is what an engine takes (formats.md 1.2, 1.3, 6, 7.3; its
// snapshots are named in basis).
type engineRules struct {
	name, basis string
	ids         []uint32 // of tensor types
	archs       []string
	noPre       []string // pre-tokenizers of the table that it lacks
	wide        bool     // I2_S needs columns in groups of 128
	contiguous  bool     // tensors must lie one behind the other
	siluDefault bool     // takes silu where the activation is not said
}

// common are the ids of types that all engines know.
var common = []uint32{0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30}

var engines = []engineRules{
	{name: "llama.cpp", basis: "ggml-org/llama.cpp of summer 2026", ids: slices.Concat(common, []uint32{34, 35, 39, 40, 41, 42}),
		archs: []string{"llama", "bitnet", "qwen2", "qwen3", "gemma3", "falcon", "gpt2", "mpt", "starcoder", "phi3"}, noPre: []string{"falcon_e"}, contiguous: true, siluDefault: true},
	{name: "bitnet.cpp", basis: "microsoft/BitNet of July 2026 with its llama.cpp fork", ids: slices.Concat(common, []uint32{31, 32, 33, 34, 35, 36, 37, 38, 39}),
		archs: []string{"llama", "bitnet", "bitnet-25", "bitnet-b1.58", "qwen2", "qwen3", "gemma3", "falcon", "gpt2", "mpt", "starcoder", "phi3"},
		noPre: []string{"falcon_e"}, wide: true, siluDefault: true},
	{name: "ik", basis: "ikawrakow/ik_llama.cpp of August 2026", ids: slices.Concat(common, []uint32{31, 32, 33, 36, 39, 41, 134, 135, 335}),
		archs: []string{"llama", "bitnet", "bitnet-25", "bitnet-b1.58", "qwen2", "qwen3", "gemma3", "falcon", "gpt2", "starcoder", "phi3"}, noPre: []string{"falcon_e"}, wide: true},
}

// Engines lists the names that Options.Against can have.
func Engines() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.name)
	}
	return names
}

// against applies an engine's rules to a file that could be read.
func (r *Report) against(f *gguf.File, name string) {
	i := slices.IndexFunc(engines, func(e engineRules) bool { return e.name == name })
	if i < 0 {
		return
	}
	rules := &engines[i]
	e := &Engine{Name: rules.name, Basis: rules.basis, Reasons: []string{}, Garbage: []string{}, Warnings: []string{}}
	r.Engine = e
	e.types(rules, f)
	e.place(rules, f)
	e.network(rules, f)
	e.tokenizer(rules, f)
	for _, p := range r.Reasons {
		switch p.Kind {
		case "file":
			e.refuse("%s", p.Message)
		case "network", "vocabulary":
			if p.Cause != "unknown-architecture" && p.Cause != "unsupported-tokenizer" {
				e.refuse("%s", p.Message)
			}
		}
	}
	for _, p := range r.Wrong {
		if p.Cause == "i2s-layout" && rules.name == "bitnet.cpp" {
			continue // said with the engine's own words
		}
		e.garble("%s", p.Message)
	}
	e.Loads = len(e.Reasons) == 0
	e.Right = e.Loads && len(e.Garbage) == 0
}

func (e *Engine) refuse(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(e.Reasons, text) {
		e.Reasons = append(e.Reasons, text)
	}
}

func (e *Engine) garble(format string, args ...any) {
	e.Garbage = append(e.Garbage, fmt.Sprintf(format, args...))
}

func (e *Engine) warn(format string, args ...any) {
	e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...))
}

// types: an unknown id is refused at once.
func (e *Engine) types(rules *engineRules, f *gguf.File) {
	told := map[gguf.Type]bool{}
	for _, t := range f.Tensors() {
		if t.Type == gguf.TypeNone || told[t.Type] {
			continue
		}
		told[t.Type] = true
		i2s := t.Type.ID() == gguf.TypeI2_S.ID()
		switch {
		case !slices.Contains(rules.ids, t.Type.ID()):
			e.refuse("it does not know type %v (id %d, for example %s)", t.Type, t.Type.ID(), t.Name)
		case t.Type.String() == "MXFP4" && rules.name == "bitnet.cpp":
			e.refuse("type id 39 means TL2 there, MXFP4 in this file")
		case t.Type.String() == "TL2" && rules.name != "bitnet.cpp":
			e.refuse("type id 39 means MXFP4 there, TL2 in this file")
		case t.Type.String() == "Q2_0_128" && rules.name == "llama.cpp":
			e.refuse("Q2_0 has blocks of 64 there, of 128 in this file (PrismML's)")
		case i2s && rules.wide && t.Cols()%128 != 0:
			e.refuse("its I2_S kernels need columns in multiples of 128, %s has %d", t.Name, t.Cols())
		case i2s && rules.name == "bitnet.cpp":
			e.layout(t.Type.String())
		case i2s && t.Type.String() != "I2_S":
			e.garble("it reads I2_S in layout A, the file has %s", i2slayout.Letter(t.Type.String()))
		}
	}
}

// layout: what the byte order means for bitnet.cpp depends on its build.
func (e *Engine) layout(name string) {
	switch {
	case name == "I2_S" && runtime.GOARCH == "arm64":
		e.garble("ARM builds since November 2025 read I2_S in layout B, the file has A: they print noise; x86 builds are right")
	case name == "I2_S":
		e.warn("ARM builds since November 2025 read I2_S in layout B and print noise with this file; x86 builds are right")
	case name == "I2_S_B" && runtime.GOARCH != "arm64":
		e.garble("x86 builds read I2_S in layout A, the file has B")
	case name == "I2_S_C":
		e.garble("only builds without ACT_PARALLEL read layout C")
	}
}

// place: llama.cpp wants tensors in file order and without gaps.
func (e *Engine) place(rules *engineRules, f *gguf.File) {
	if f.Version() < 2 {
		e.refuse("it refuses GGUF version %d", f.Version())
	}
	if !rules.contiguous || len(f.Tensors()) == 0 {
		return
	}
	align := uint64(32)
	if a, err := f.Metadata().Uint("general.alignment"); err == nil && a > 0 {
		align = a
	}
	at := f.Tensors()[0].Offset
	file := f.Tensors()[0].File
	for _, t := range f.Tensors() {
		if t.File != file { // of a split model: each part counts for itself
			file, at = t.File, t.Offset
		}
		size, err := t.Type.Size(t.Dims)
		if err != nil || !slices.Contains(rules.ids, t.Type.ID()) {
			return // refused already, and its idea of the size is not known
		}
		if t.Offset != at {
			e.refuse("tensor %s does not lie directly behind the one before it, which it insists on", t.Name)
			return
		}
		at = padTo(at+size, align)
	}
}

func (e *Engine) network(rules *engineRules, f *gguf.File) {
	md := f.Metadata()
	arch, err := md.Str("general.architecture")
	if err != nil {
		e.refuse("general.architecture is missing")
		return
	}
	if !slices.Contains(rules.archs, arch) {
		e.refuse("it does not know the architecture %q (as far as this program knows)", arch)
		return
	}
	_, said := md.Get(arch + ".hidden_activation")
	if slices.Contains(bitnetArchs, arch) && !said && rules.siluDefault {
		e.garble("its newest version takes silu where %s.hidden_activation is missing, and this model has relu2 (microsoft/BitNet issue 602); `tritflow check --repair --fix no-activation` writes the key", arch)
	}
	if slices.Contains(bitnetArchs, arch) && rules.name == "ik" {
		for _, t := range f.Tensors() {
			if strings.HasSuffix(t.Name, ".scale") {
				e.garble("it does not read scale tensors of architecture %s (%s)", arch, t.Name)
				break
			}
		}
	}
}

func (e *Engine) tokenizer(rules *engineRules, f *gguf.File) {
	md := f.Metadata()
	model, err := md.Str(keyModel)
	if err != nil {
		e.refuse("the file has no tokenizer")
		return
	}
	if model != "gpt2" {
		return
	}
	pre, err := md.Str("tokenizer.ggml.pre")
	switch {
	case err != nil:
		e.warn("without tokenizer.ggml.pre it takes \"default\"")
		if v, err := vocab.Load(md, vocab.Options{}); err == nil && v.Pre() != "default" {
			e.garble("without tokenizer.ggml.pre it splits text as \"default\", and this vocabulary is made for %q: numbers and punctuation come out otherwise than in training", v.Pre())
		}
	case slices.Contains(rules.noPre, pre) || !slices.Contains(vocab.PreTokenizers(), pre):
		e.refuse("it does not know the pre-tokenizer %q", pre)
	}
}
