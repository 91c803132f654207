package main

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
	"tritflow/quantkern"
)

// steps is a device that does something else from each of these numbers of rows on.
type steps struct {
	from  []int
	most  int // 0: all
	asked int
}

func (s *steps) Strategy(_ device.Layer, rows int) (device.Strategy, error) {
	s.asked++
	if s.most > 0 && rows > s.most {
		return device.Strategy{}, errors.New("too many rows")
	}
	n, _ := slices.BinarySearch(s.from, rows+1)
	return device.Strategy{Kernel: fmt.Sprint("way ", n), Access: "in place"}, nil
}

// TestAsk: every way of a range is found, in order, by asking seldom.
func TestAsk(t *testing.T) {
	for _, c := range []struct {
		steps []int
		want  []string
		asked int
	}{
		{nil, []string{"way 0"}, 9},
		{[]int{5, 65}, []string{"way 1"}, 9},
		{[]int{9}, []string{"way 1"}, 9},
		{[]int{10}, []string{"way 0", "way 1"}, 9},
		{[]int{17}, []string{"way 0", "way 1"}, 15},
		{[]int{64}, []string{"way 0", "way 1"}, 15},
		{[]int{17, 18, 33, 53}, []string{"way 0", "way 1", "way 2", "way 3", "way 4"}, 32},
	} {
		s := &steps{from: c.steps}
		var u kernelUse
		if err := u.ask(s, device.Layer{}, 9, 64); err != nil || !slices.Equal(u.Kernels, c.want) || s.asked > c.asked {
			t.Errorf("steps at %v: %q, %d times asked, error %v", c.steps, u.Kernels, s.asked, err)
		}
	}
	for _, most := range []int{3, 10, 30} {
		var u kernelUse
		if err := u.ask(&steps{most: most}, device.Layer{}, 9, 64); err == nil {
			t.Errorf("up to %d rows: %q", most, u.Kernels)
		}
	}
}

// TestAskMachine: with every set of kernels of this machine, nothing is missed.
func TestAskMachine(t *testing.T) {
	m, err := graph.Bind(gguftest.Open(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, tier := range quantkern.Tiers() {
		restore, err := quantkern.UseTier(tier)
		if err != nil {
			t.Fatal(err)
		}
		devs, err := openMachine()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range devs {
			askAll(t, m, d)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		restore()
	}
}

func askAll(t *testing.T, m *graph.Model, d device.Device) {
	t.Helper()
	s := d.(device.Strategist)
	for _, l := range device.Layers(m, d.Info().KVTypes...) {
		for _, size := range batchSizes {
			var few, all kernelUse
			if err := few.ask(s, l, size.from, size.to); err != nil {
				t.Fatal(err)
			}
			for rows := size.from; rows <= size.to; rows++ {
				way, err := s.Strategy(l, rows)
				if err != nil {
					t.Fatal(err)
				}
				all.note(way)
			}
			if !slices.Equal(few.Kernels, all.Kernels) {
				t.Errorf("%s on %s (%s) with %s rows: %q, of %q", l.Kind, d.Info().Name, d.Info().Tier, size.name, few.Kernels, all.Kernels)
			}
		}
	}
}
