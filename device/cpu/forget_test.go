package cpu

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"weak"

	"tritflow/device"
	"tritflow/quantkern"
)

// TestUnloadForgets: what a part had copied is garbage as soon as it is closed, whatever workers took of it.
func TestUnloadForgets(t *testing.T) {
	value := func(r *rand.Rand, _, _ int) float32 { return 0.5 * float32(r.IntN(3)-1) }
	for _, workers := range []string{"1", "2"} {
		d := openScreened(t, workers, device.ScreenNow)
		// A function of its own, so that nothing here holds the parts.
		screen, repacked := func() (weak.Pointer[quantkern.Screen], weak.Pointer[quantkern.Ternary]) {
			load := func(typ string) *head {
				p, err := d.LoadHead(t.Context(), testHead(t, typ, 2000, 256, value))
				if err != nil {
					t.Fatal(err)
				}
				answers(t, d, p, activationRows(1, 256), top(1))
				return p.(*head)
			}
			dense, ternary := load("F16"), load("TQ1_0")
			screen, repacked := weak.Make(dense.screening.ready.Load()), weak.Make(ternary.out.ternary)
			for _, p := range []*head{dense, ternary} {
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
			return screen, repacked
		}()
		runtime.GC()
		if screen.Value() != nil {
			t.Errorf("%s workers: the closed head's copy is still held", workers)
		}
		if repacked.Value() != nil {
			t.Errorf("%s workers: the closed head's matrix is still held", workers)
		}
		closeAll(t, d)
	}
}
