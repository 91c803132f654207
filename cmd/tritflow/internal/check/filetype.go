package check

import (
	"fmt"
	"strings"

	"tritflow/gguf"
)

// fileTypes are the values of general.file_type and the type that most
// matrices of such a file have. Those of bitnet.cpp's fork collide with
// llama.cpp's from 36 on.
var fileTypes = map[uint64]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K", 12: "Q3_K", 13: "Q3_K",
	14: "Q4_K", 15: "Q4_K", 16: "Q5_K", 17: "Q5_K", 18: "Q6_K", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "TL1", 39: "TL2", 40: "I2_S",
}

func fileTypeName(n uint64, ternary bool) string {
	switch name, ok := fileTypes[n]; {
	case !ok:
		return fmt.Sprint(n)
	case n == 38 && !ternary:
		return "MXFP4"
	default:
		return name
	}
}

// fileType compares general.file_type with what most bytes of the matrices are
// stored as, where both are of the plain kinds that cannot be meant otherwise.
func (r *Report) fileType(f *gguf.File) {
	n, err := f.Metadata().Uint("general.file_type")
	if err != nil {
		return
	}
	bytes := map[string]int{}
	total := 0
	for _, t := range f.Tensors() {
		if _, inBlock := blockOf(t.Name); !inBlock || len(t.Dims) < 2 {
			continue
		}
		name := t.Type.String()
		if strings.HasPrefix(name, "I2_S") {
			name = "I2_S"
		}
		bytes[name] += max(t.Elements(), 0)
		total += max(t.Elements(), 0)
	}
	most, share := "", 0
	for name, b := range bytes {
		if b > share {
			most, share = name, b
		}
	}
	said, known := fileTypes[n]
	if !known || most == "" || 10*share < 9*total || said == most || !strict(said) && !strict(most) {
		return
	}
	want, ok := fileTypeOf(most)
	if !ok {
		return
	}
	p := r.warn("file", "wrong-file-type", "", "general.file_type is %d (%s), but the matrices are %s; programs that go by the key are misled", n, said, most)
	p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("set it to %d", want), Lossless: true, apply: func(d *draft) error {
		d.set("general.file_type", uint32(want))
		return nil
	}}
}

// strict types are those of which a file is made throughout.
func strict(name string) bool {
	switch name {
	case "F32", "F16", "BF16", "I2_S", "TQ1_0", "TQ2_0", "TL1", "TL2":
		return true
	}
	return false
}

func fileTypeOf(name string) (uint64, bool) {
	for n, t := range fileTypes {
		if t == name && strict(name) {
			return n, true
		}
	}
	return 0, false
}
