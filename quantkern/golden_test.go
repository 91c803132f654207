package quantkern

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

var updateGolden = flag.Bool("update", false, "write the hashes of the float kernels anew")

const goldenFile = "testdata/kernel_hashes.json"

// hashBits is FNV-1a over the bits of the values.
func hashBits(values ...[]float32) string {
	h := fnv.New64a()
	for _, v := range values {
		for _, f := range v {
			b := math.Float32bits(f)
			h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
		}
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// kernelHashes runs every float kernel over pseudo-random inputs.
func kernelHashes(t *testing.T) map[string]string {
	rng := newRand(50)
	hashes := map[string]string{}
	each := func(fn func(float32) float32) (out []float32) {
		for b := uint32(0); b < infBits; b += 40009 {
			v := math.Float32frombits(b)
			out = append(out, fn(v), fn(-v))
		}
		return slices.DeleteFunc(out, func(f float32) bool { return f != f })
	}
	for name, fn := range map[string]func(float32) float32{"Exp": Exp, "Log": Log, "Sin": Sin, "Cos": Cos,
		"Pow": func(x float32) float32 { return Pow(x, 0.37) + Pow(1.5, x) }} {
		hashes[name] = hashBits(each(fn))
	}

	var dots, norms, softmaxes, gates, scales, quantized []float32
	for n := 1; n <= 300; n++ {
		x, y, z := floats(rng, n), floats(rng, n), floats(rng, n)
		dots = append(dots, Dot(x, y))
		q := make([]int8, n)
		scales = append(scales, QuantizeRow(q, x))
		for _, v := range q {
			quantized = append(quantized, float32(v))
		}
		RMSNorm(z, x, y, 1e-5)
		norms = append(norms, z...)
		SiLUMul(z, x, y)
		gates = append(gates, z...)
		ReLU2Mul(z, x, y)
		gates = append(gates, z...)
		Add(z, x)
		gates = append(gates, z...)
		top, sum := Softmax(x)
		softmaxes = append(append(softmaxes, x...), top, float32(sum))
	}
	hashes["Dot"], hashes["RMSNorm"], hashes["Softmax"] = hashBits(dots), hashBits(norms), hashBits(softmaxes)
	hashes["gates and sums"], hashes["QuantizeRow"] = hashBits(gates), hashBits(scales, quantized)

	var angles, rotated []float32
	cos, sin := make([]float32, 64), make([]float32, 64)
	for pos := int32(0); pos < 200000; pos += 997 {
		RopeAngles(cos, sin, pos, 128, 500000, 1, nil)
		angles = append(append(angles, cos...), sin...)
		for _, neox := range []bool{true, false} {
			head := floats(rng, 130)
			Rope(head, cos, sin, neox)
			rotated = append(rotated, head...)
		}
	}
	hashes["RopeAngles"], hashes["Rope"] = hashBits(angles), hashBits(rotated)

	seq := randomSequence(51, 50, 2, 72, 40)
	for _, typ := range []string{"f32", "f16"} {
		kv, table := seq.cache(t, typ, 16)
		hashes["Attend "+typ] = hashBits(seq.attend(kv, table, 0.02, new(Scratch)))
	}

	const n, rows, cols = 3, 12, 512
	dst := make([]float32, n*rows)
	for name, w := range map[string]*Ternary{
		"MulTernary uniform": ternaryMatrix(t, newRand(52), "I2_S", rows, cols, true),
		"MulTernary blocks":  ternaryMatrix(t, newRand(53), "TQ1_0", rows, cols, false),
	} {
		MulTernary(dst, rows, w, 0, rows, actsOf(int8s(newRand(54), n*cols), []float32{3.7, 0.2, 111}, cols), new(Scratch))
		hashes[name] = hashBits(dst)
	}
	for _, name := range []string{"F32", "F16", "Q8_0"} {
		c := mustLookup(t, name)
		data := make([]byte, c.Size(rows, cols))
		if err := c.Encode(data, floats(newRand(55), rows*cols), rows, cols); err != nil {
			t.Fatal(err)
		}
		MulDense(dst, rows, c, data, rows, cols, 0, rows, floats(newRand(56), n*cols), n, new(Scratch))
		hashes["MulDense "+name] = hashBits(dst)
	}
	return hashes
}

// TestKernelHashes holds every processor to the same bits: the hashes in
// testdata were written on one and must come out on all (-update writes them).
func TestKernelHashes(t *testing.T) {
	got := kernelHashes(t)
	if *updateGolden {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d kernels are hashed, %s has %d", len(got), goldenFile, len(want))
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if got[name] != want[name] {
			t.Errorf("%s: hash %s, want %s", name, got[name], want[name])
		}
	}
}
