package topology

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// machine is a tree of two nodes with two cores each, of two threads: core c
// has processors c and c+4.
func machine() fstest.MapFS {
	sys := fstest.MapFS{}
	put := func(name, text string) { sys[name] = &fstest.MapFile{Data: []byte(text + "\n")} }
	for cpu := range 8 {
		put(fmt.Sprintf("cpu/cpu%d/topology/thread_siblings_list", cpu), fmt.Sprintf("%d,%d", cpu%4, cpu%4+4))
	}
	put("node/node0/cpulist", "0-1,4-5")
	put("node/node0/meminfo", "Node 0 MemTotal:       1024 kB\nNode 0 MemFree: 5 kB")
	put("node/node10/cpulist", "2-3,6-7")
	put("node/node10/meminfo", "Node 10 MemTotal:       many kB")
	put("node/possible", "0,10")
	return sys
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		allowed []int
		cores   int
		usable  [2]int
	}{
		{[]int{0, 1, 2, 3, 4, 5, 6, 7}, 4, [2]int{4, 4}},
		{[]int{0, 4}, 1, [2]int{2, 0}}, // both threads of a core
		{[]int{1, 2, 3, 7}, 3, [2]int{1, 3}},
		{[]int{6}, 1, [2]int{0, 1}},
	} {
		got := read(machine(), c.allowed)
		want := Topology{CPUs: len(c.allowed), Cores: c.cores, Nodes: []Node{
			{ID: 0, CPUs: "0-1,4-5", Usable: c.usable[0], Memory: 1 << 20},
			{ID: 10, CPUs: "2-3,6-7", Usable: c.usable[1]},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.allowed, diff)
		}
	}
}

// What the kernel does not tell is not known, and no error.
func TestReadNothing(t *testing.T) {
	if diff := cmp.Diff(Topology{CPUs: 2}, read(fstest.MapFS{}, []int{0, 1})); diff != "" {
		t.Error(diff)
	}
	sys := machine()
	delete(sys, "cpu/cpu3/topology/thread_siblings_list")
	delete(sys, "node/node0/cpulist")
	if got := read(sys, []int{2, 3}); got.Cores != 0 || len(got.Nodes) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{
		"0-2,5": {0, 1, 2, 5}, "7": {7}, "": nil, "x,3": {3}, "2-x": nil, "-1": nil, "3-1": nil, "0-99999999": nil,
	} {
		if diff := cmp.Diff(want, parseList(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}
