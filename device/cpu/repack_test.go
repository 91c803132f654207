package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// TestRepackedLinear compares a linear whose trits were copied to another
// layout with one that reads them in place, and looks at what the ledger says.
func TestRepackedLinear(t *testing.T) {
	const rows, cols, n = 32, 512, 3
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = 0.5 * float32(r.IntN(3)-1)
	}
	for i := 0; i < len(values); i += 64 {
		values[i] = 0.5
	}
	x := make([]float32, n*cols)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	for _, tier := range quantkern.Tiers() {
		for _, typ := range []string{"TQ1_0", "I2_S", "I2_S_C", "TL1", "TL2", "Q2_0", "Q2_0_128", "IQ1_BN", "IQ2_BN"} {
			t.Run(tier+"/"+typ, func(t *testing.T) {
				restore, err := quantkern.UseTier(tier)
				if err != nil {
					t.Fatal(err)
				}
				defer restore()
				d := open(t, "2")
				defer closeAll(t, d)
				h := holding{all: &d.weights}
				weight := tensor(t, typ, values, rows, cols)
				spec := graph.Linear{Weight: weight, In: cols, Out: rows}
				fast, err := h.linear(&spec)
				if err != nil {
					t.Fatal(err)
				}
				now := d.ledger.Snapshot().Now
				mapped, copied := now["mapped"], now["weights"]
				if fast.codec.Name == typ {
					if mapped != int64(len(weight.Data)) || copied != 0 {
						t.Errorf("%d bytes mapped and %d copied, %d are there", mapped, copied, len(weight.Data))
					}
				} else if mapped != 0 || copied != int64(len(fast.data)) {
					t.Errorf("%d bytes mapped and %d copied, the copy has %d", mapped, copied, len(fast.data))
				}
				if copying := tier != "generic" && typ != "I2_S"; copying != (fast.codec.Name != typ) {
					t.Errorf("%s on %s became %s", typ, tier, fast.codec.Name)
				}
				plain, err := h.matrix(weight, rows, cols)
				if err != nil {
					t.Fatal(err)
				}
				in := input{n: n, width: cols, acts: &quantkern.Acts{}}
				in.acts.Reset(n, cols)
				for i := range n {
					in.acts.Quantize(i, x[i*cols:(i+1)*cols])
				}
				var scratch quantkern.Scratch
				want, got := make([]float32, n*rows), make([]float32, n*rows)
				(&linear{matrix: plain}).mul(want, rows, 0, rows, &in, &scratch)
				fast.mul(got, rows, 0, rows, &in, &scratch)
				for i := range want {
					if math.Float32bits(want[i]) != math.Float32bits(got[i]) {
						t.Fatalf("output %d is %v, in place %v", i, got[i], want[i])
					}
				}
				h.release()
				for use, bytes := range d.ledger.Snapshot().Now {
					if bytes != 0 && use != device.Activations.String() {
						t.Errorf("%s: %d bytes after release", use, bytes)
					}
				}
			})
		}
	}
}

// TestRepackFault: pages of the file that are gone while trits are copied end
// the loading, not the program.
func TestRepackFault(t *testing.T) {
	if quantkern.Tiers()[0] == "generic" {
		t.Skip("plain Go repacks nothing")
	}
	d := open(t, "2")
	defer closeAll(t, d)
	d.weights.each = func(int, func(lo, hi int)) error { return &gguf.FaultError{} }
	h := holding{all: &d.weights}
	w := tensor(t, "TQ1_0", make([]float32, 4*256), 4, 256)
	restore, err := quantkern.UseTier(quantkern.Tiers()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer restore()
	if l, err := h.linear(&graph.Linear{Weight: w, In: 256, Out: 4}); err == nil {
		t.Fatalf("a linear of %s", l.codec.Name)
	}
	if now := d.ledger.Snapshot().Now; now["weights"] != 0 || now["mapped"] != 0 {
		t.Errorf("memory of a linear that was not loaded: %v", now)
	}
}
