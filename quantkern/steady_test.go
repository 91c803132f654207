package quantkern

import "testing"

// In the steady state no kernel allocates.
func TestKernelsDoNotAllocate(t *testing.T) {
	rng := newRand(30)
	uniform := ternaryMatrix(t, rng, "I2_S", 8, 256, true)
	blocks := ternaryMatrix(t, rng, "TQ2_0", 8, 256, false)
	dense := mustLookup(t, "F16")
	data := make([]byte, dense.Size(8, 256))
	x, w, dst := floats(rng, 512), floats(rng, 256), make([]float32, 256)
	q, s := make([]int8, 512), []float32{1, 2}
	seq := randomSequence(31, 40, 2, 64, 64)
	cos, sin := make([]float32, 32), make([]float32, 32)
	acts := actsOf(q, s, 256)
	var scratch Scratch
	nibbles := mustLookup(t, "Q4_0")
	screen, err := NewScreenInPlace(nibbles, make([]byte, nibbles.Size(8, 256)), 8, 256)
	if err != nil {
		t.Fatal(err)
	}
	var bounded ScreenActs
	ids, vals := TopK(x, 40, nil, nil)
	for _, typ := range KVTypes() {
		kv, table := seq.cache(t, typ, 16)
		for name, fn := range map[string]func(){
			"Dot":                func() { Dot(x, x) },
			"QuantizeRow":        func() { QuantizeRow(q, x) },
			"MulTernary uniform": func() { MulTernary(dst, 8, uniform, 0, 8, acts, &scratch) },
			"MulTernary blocks":  func() { MulTernary(dst, 8, blocks, 0, 8, acts, &scratch) },
			"MulDense":           func() { MulDense(dst, 8, dense, data, 8, 256, 0, 8, x, 2, &scratch) },
			"Screen in place": func() {
				bounded.ResetFor(screen, 2)
				bounded.Quantize(0, x[:256])
				bounded.Quantize(1, x[256:])
				screen.Upper(dst, 8, 0, 2, &bounded, eightBits)
			},
			"RMSNorm":       func() { RMSNorm(dst, x[:256], w, 1e-5) },
			"RopeAngles":    func() { RopeAngles(cos, sin, 77, 64, 1e4, 1, nil) },
			"Rope":          func() { Rope(x[:64], cos, sin, true) },
			"Put " + typ:    func() { kv.Put(table, 39, seq.keys[0], seq.values[0]) },
			"Attend " + typ: func() { Attend(dst[:64], x[:64], kv, table, 1, 39, 0.1, &scratch) },
			"Softmax":       func() { Softmax(dst) },
			"ReLU2Mul":      func() { ReLU2Mul(dst, x[:256], w) },
			"SiLUMul":       func() { SiLUMul(dst, x[:256], w) },
			"TopK":          func() { ids, vals = TopK(x, 40, ids, vals) },
		} {
			if n := testing.AllocsPerRun(20, fn); n != 0 {
				t.Errorf("%s: %g allocations a call", name, n)
			}
		}
	}
}
