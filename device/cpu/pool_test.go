package cpu

import (
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"tritflow/device"
)

func activations(l *device.Ledger) int64 { return l.Snapshot().Now["activations"] }

// TestPool: buffers come back, the smallest that fits is taken, and outgrown
// ones do not pile up.
func TestPool(t *testing.T) {
	var l device.Ledger
	p := pool{ledger: &l}
	small, large := p.get(10), p.get(100)
	p.put(large)
	p.put(small)
	if got := p.get(8); len(got) != 8 || unsafe.SliceData(got) != unsafe.SliceData(small) {
		t.Error("the smaller buffer was not taken for the smaller need")
	}
	if got := p.get(11); unsafe.SliceData(got) != unsafe.SliceData(large) {
		t.Error("the larger buffer was not taken for the larger need")
	}
	p.put(small)
	p.put(large)
	for n := 200; n <= 2000; n += 200 {
		p.put(p.get(n))
	}
	if got, most := activations(&l), int64(4*(2000+100)); got > most {
		t.Errorf("%d bytes after growing, at most %d are of use", got, most)
	}
	out := p.get(5)
	p.close()
	if activations(&l) != int64(4*cap(out)) {
		t.Errorf("after close %d bytes are counted, %d are out", activations(&l), 4*cap(out))
	}
	p.put(out)
	if activations(&l) != 0 {
		t.Errorf("%d bytes are still counted", activations(&l))
	}
}

// TestPoolKeepsApart: no two buffers in use share memory, and the count is
// zero in the end, whatever the order.
func TestPoolKeepsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l device.Ledger
		p := pool{ledger: &l}
		var out [][]float32
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(out) > 0 && rapid.Bool().Draw(t, "put") {
				k := rapid.IntRange(0, len(out)-1).Draw(t, "which")
				want := out[k][0]
				for _, v := range out[k] {
					if v != want {
						t.Fatal("a buffer was written by another owner")
					}
				}
				p.put(out[k])
				out = append(out[:k], out[k+1:]...)
				continue
			}
			b := p.get(rapid.IntRange(1, 50).Draw(t, "n"))
			for j := range b {
				b[j] = float32(i)
			}
			out = append(out, b)
		}
		p.close()
		for _, b := range out {
			p.put(b)
		}
		if activations(&l) != 0 {
			t.Fatalf("%d bytes are still counted", activations(&l))
		}
	})
}
