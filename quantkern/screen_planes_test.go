package quantkern

import (
	"math/rand/v2"
	"testing"
)

// TestScreenPlanes: every code in every place means itself with eight bits and the
// middle of four codes with six, whatever lies around it.
func TestScreenPlanes(t *testing.T) {
	const cols, rows = 2 * screenChunk, 3 * screenRows
	s, err := NewScreen(rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	codes := make([]int8, cols*screenRows)
	for q := -codeMost; q <= codeMost; q++ {
		for row := range screenRows {
			for i := range codes {
				codes[i] = int8(r.IntN(2*codeMost+1) - codeMost)
				if i/screenChunk%screenRows == row {
					codes[i] = int8(q)
				}
			}
			g := r.IntN(s.Groups())
			s.putPlanes(g, codes)
			six, low := s.planes(g)
			for c := range s.chunks {
				for _, bits := range []int{LeastBits, MostBits} {
					var v [screenRows][screenChunk]int32
					factors(&v, six, low, c, bits)
					for at, code := range codes[c*screenRows*screenChunk:][:screenRows*screenChunk] {
						want := int32(code)
						if bits == LeastBits {
							want = 2*(want&^3) + 3
						}
						if got := v[at/screenChunk][at%screenChunk]; got != want || got > sixMost || got < -sixMost {
							t.Fatalf("%d bits of %d in row %d: %d, want %d", bits, code, at/screenChunk, got, want)
						}
					}
				}
			}
		}
	}
}

// TestScreenWords: each value of a chunk has a word of its own in it.
func TestScreenWords(t *testing.T) {
	used := map[int]bool{}
	for j := range 3 * screenChunk {
		w := wordOf(j)
		if used[w] || w/screenChunk != j/screenChunk {
			t.Errorf("value %d is at %d", j, w)
		}
		used[w] = true
	}
}

// TestScreenReads: six bits are three quarters of the codes.
func TestScreenReads(t *testing.T) {
	s, err := NewScreen(1001, 640)
	if err != nil {
		t.Fatal(err)
	}
	six, all := s.Reads(Bounds{Bits: LeastBits}), s.Reads(Bounds{Bits: MostBits})
	const groups = 251
	if want := groups * 640 * screenRows; all-six != want/4 || all != want+4*groups*screenCoefs {
		t.Errorf("%d bytes of six bits, %d of eight", six, all)
	}
	if held := ScreenBytes(1001, 640); held != all+4*groups*screenCoefs {
		t.Errorf("%d bytes are held", held)
	}
}

// TestScreenTightest: where what six bits miss of a row points along the activations, or
// against them, the bounds reach the product and hold.
func TestScreenTightest(t *testing.T) {
	const rows, cols = 2 * screenRows, 256
	r := rand.New(rand.NewPCG(3, 4))
	x, w := make([]float32, cols), make([]float32, rows*cols)
	for j := range x {
		x[j] = float32(2*r.IntN(2) - 1)
	}
	for row := range rows {
		for j := range cols {
			q := 4 * (r.IntN(62) - 31)
			if (x[j] > 0) == (row%2 == 0) {
				q += 3 // above the middle, as x is
			}
			w[row*cols+j] = float32(q)
		}
		w[row*cols+r.IntN(cols)] = codeMost // the scale is 1
	}
	c := screenCase{codec: mustLookup(t, "F32"), data: bytesOf(w), rows: rows, cols: cols, x: x, n: 1}
	logits := c.logits()
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			s, six := c.screen(t), precision{Bounds: Bounds{Bits: LeastBits}}
			_, upper := c.shortlists(s, 1, 1, six, false)
			var a ScreenActs
			a.Reset(1, cols)
			a.Quantize(0, x)
			step := float64(a.Step(0, six.Bounds))
			for row, u := range upper {
				low, d := float64(s.lower(row, u, a.fine.widths, six.Bounds))*step, float64(logits[row])
				up := float64(u) * step
				if d < low || d > up {
					t.Errorf("%s, row %d: %v is not within [%v, %v]", tier, row, d, low, up)
				}
				if near := min(up-d, d-low) / (up - low); near > 0.02 {
					t.Errorf("%s, row %d: %v lies in the middle of [%v, %v]", tier, row, d, low, up)
				}
			}
		})
	}
}
