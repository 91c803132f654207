package cpu

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/quantkern"
)

// TestScreenBitsChosen: few greedy rows read six bits; what these leave decides
// whether the next passes do, and a while later they are tried again.
func TestScreenBitsChosen(t *testing.T) {
	const rows, cols = 6400, 256
	s, err := quantkern.NewScreen(rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	var c screenBits
	c.init(0, &linear{matrix: &matrix{data: make([]byte, 2*rows*cols), rows: rows, cols: cols}})
	few, many := 50, rows/4
	pass := func(n, most, exact int, failed bool) quantkern.Bounds {
		state := screenState{screenOperands: screenOperands{copy: s, bounds: c.choose(s, n, most)}}
		c.learn(&state, exact, failed)
		return state.bounds
	}
	six, all := quantkern.Bounds{Bits: 6}, quantkern.Bounds{Bits: 8}
	several := quantkern.Bounds{Bits: 8, Coarse: s.Coarse()}
	for range 2 * sixAgain {
		if b := pass(1, 1, few, false); b != six {
			t.Fatalf("one row: %+v", b)
		}
	}
	if b := pass(fineRows, 1, few, false); b != six {
		t.Errorf("%d rows: %+v", fineRows, b)
	}
	if b := pass(fineRows+1, 1, few, false); b != several {
		t.Errorf("%d rows: %+v", fineRows+1, b)
	}
	pass(1, 1, 4*few, false)
	if b := pass(1, 1, few, false); b != six {
		t.Errorf("after one pass that left more: %+v", b)
	}
	for _, failed := range []bool{false, true} {
		left := many
		if failed {
			left = few
		}
		for range 5 * sixMemory {
			if pass(1, 40, left, failed) == all {
				break
			}
		}
		again := 1
		for ; pass(1, 40, left, false) == all; again++ {
			if b := pass(1, 1, few, false); b != six {
				t.Fatalf("greedy rows between others: %+v", b)
			}
		}
		if again < sixAgain-1 || again > sixAgain+1 {
			t.Errorf("six bits are tried again after %d passes", again)
		}
		c.kinds[1] = sixBits{}
	}
	for _, fixed := range []int{6, 8} {
		c.fixed = fixed
		for range 3 {
			if b := pass(1, 1, many, true); b.Bits != fixed || b.Coarse {
				t.Errorf("%d bits are wanted: %+v", fixed, b)
			}
		}
	}
}

// TestScreenBitsFollowAHead: a head whose rows are close together leaves so many
// rows of six bits that passes read all; the answers are the same.
func TestScreenBitsFollowAHead(t *testing.T) {
	if tier, _ := quantkern.Tier(); tier == "generic" {
		t.Skip("slow without vector kernels")
	}
	const rows, cols = 6000, 256
	base := activationRows(1, cols)[0]
	g := testHead(t, "F16", rows, cols, func(r *rand.Rand, _, col int) float32 { return base[col] + 0.15*float32(r.NormFloat64()) })
	x := activationRows(2, cols)[1:]
	full := openScreened(t, "2", device.ScreenOff)
	defer closeAll(t, full)
	h, err := full.LoadHead(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	_, want := answers(t, full, h, x, top(1))
	d := openScreened(t, "2", device.ScreenNow)
	defer closeAll(t, d)
	if h, err = d.LoadHead(context.Background(), g); err != nil {
		t.Fatal(err)
	}
	var spared []uint64
	for range 3 {
		before := d.Screening().Spared
		if _, got := answers(t, d, h, x, top(1)); !slices.Equal(got[0].Top, want[0].Top) {
			t.Fatalf("%v, want %v", got[0].Top, want[0].Top)
		}
		spared = append(spared, d.Screening().Spared-before)
	}
	if spared[0] <= spared[2] {
		t.Errorf("passes spared %v bytes", spared)
	}
	if s := d.Screening(); s.Screened != 3 || s.Full != 0 {
		t.Errorf("counters %+v", s)
	}
}
