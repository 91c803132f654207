package quantkern

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestIQ2SSearch compares the encoder's pick with all 1,024 entries, and what a
// normal distribution loses with what it is known to cost at 2.5 bits.
func TestIQ2SSearch(t *testing.T) {
	near, levels := iq2sNearest(), iq2sLevels()
	r := rand.New(rand.NewPCG(8, 9))
	var picked, best float64
	for range 2000 {
		var x [iq2sGroup]float32
		for j := range x {
			x[j] = abs32(float32(r.NormFloat64())) * 22
		}
		_, miss := iq2sPick(&x, near, levels)
		least := math.Inf(1)
		for _, l := range levels {
			sum := 0.0
			for j := range l {
				d := float64(x[j] - l[j])
				sum += float64(d * d)
			}
			least = min(least, sum)
		}
		if float64(miss) < least*(1-1e-5) {
			t.Fatalf("error %v below the least, %v", miss, least)
		}
		picked, best = picked+float64(miss), best+least
	}
	if picked > 1.01*best {
		t.Errorf("the nearest entries miss %.4f of what all of them would", picked/best-1)
	}

	c, n := mustLookup(t, "IQ2_S"), 64*256
	src := make([]float32, n)
	for i := range src {
		src[i] = float32(r.NormFloat64()) * 0.05
	}
	data := make([]byte, c.Size(64, 256))
	if err := c.Encode(data, src, 64, 256); err != nil {
		t.Fatal(err)
	}
	var miss, all float64
	for i, v := range decodeAll(c, data, 64, 256) {
		d := float64(v - src[i])
		miss, all = miss+float64(d*d), all+float64(float64(src[i])*float64(src[i]))
	}
	if lost := miss / all; lost > 0.075 {
		t.Errorf("%.4f of the squares are lost", lost)
	} else {
		t.Logf("%.4f of the squares are lost", lost)
	}
}

// TestIQ2SExact: what the type can hold comes back all but exactly.
func TestIQ2SExact(t *testing.T) {
	c := mustLookup(t, "IQ2_S")
	var v blockVectors
	readJSON(t, "testdata/ggml_blocks.json", &v)
	for _, x := range v.Dequant {
		if x.Type != "iq2_s" {
			continue
		}
		data := make([]byte, c.Size(1, len(x.Values)))
		if err := c.Encode(data, x.Values, 1, len(x.Values)); err != nil {
			t.Fatal(err)
		}
		var miss, all float64
		for i, got := range decodeAll(c, data, 1, len(x.Values)) {
			d := float64(got - x.Values[i])
			miss, all = miss+float64(d*d), all+float64(float64(x.Values[i])*float64(x.Values[i]))
		}
		if miss/all > 0.01 {
			t.Errorf("%.5f of the squares are lost", miss/all)
		}
	}
}
