package topology

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Topology is what the operating system tells; zero values are not known.
type Topology struct {
	CPUs  int    // logical processors that affinity allows
	Cores int    // distinct physical cores among them
	Nodes []Node // memory nodes, ascending
}

// Node is a memory node and its processors.
type Node struct {
	ID     int    `json:"id"`
	CPUs   string `json:"cpus"`   // all of the node, as the kernel lists them: "0-3,8-11"
	Usable int    `json:"usable"` // how many of them affinity allows
	Memory uint64 `json:"memory"` // bytes
}

// Read asks the operating system. Only Linux is asked so far; elsewhere
// nothing is known.
func Read() Topology {
	sys, allowed := system()
	if len(allowed) == 0 {
		return Topology{}
	}
	return read(sys, allowed)
}

// read looks at a tree like /sys/devices/system.
func read(sys fs.FS, allowed []int) Topology {
	return Topology{CPUs: len(allowed), Cores: cores(sys, allowed), Nodes: nodes(sys, allowed)}
}

// cores counts the groups of hardware threads; 0 when one cannot be read.
func cores(sys fs.FS, allowed []int) int {
	siblings := map[string]bool{}
	for _, cpu := range allowed {
		list, err := fs.ReadFile(sys, fmt.Sprintf("cpu/cpu%d/topology/thread_siblings_list", cpu))
		if err != nil {
			return 0
		}
		siblings[strings.TrimSpace(string(list))] = true
	}
	return len(siblings)
}

func nodes(sys fs.FS, allowed []int) []Node {
	dirs, err := fs.Glob(sys, "node/node[0-9]*")
	if err != nil {
		return nil
	}
	var list []Node
	for _, dir := range dirs {
		id, err := strconv.Atoi(strings.TrimPrefix(path.Base(dir), "node"))
		if err != nil {
			continue
		}
		text, err := fs.ReadFile(sys, dir+"/cpulist")
		if err != nil {
			continue
		}
		n := Node{ID: id, CPUs: strings.TrimSpace(string(text)), Memory: memory(sys, dir)}
		of := parseList(n.CPUs)
		for _, cpu := range allowed {
			if slices.Contains(of, cpu) {
				n.Usable++
			}
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Node) int { return a.ID - b.ID })
	return list
}

// memory reads "Node 0 MemTotal: 123 kB".
func memory(sys fs.FS, dir string) uint64 {
	text, err := fs.ReadFile(sys, dir+"/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 5 && f[2] == "MemTotal:" && f[4] == "kB" {
			kib, err := strconv.ParseUint(f[3], 10, 44)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// parseList reads the kernel's form of a list of processors, "0-3,8"; what is
// not of that form is left out.
func parseList(text string) []int {
	const most = 1 << 16 // processors: more than Linux can be built for
	var cpus []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		lo, err := strconv.Atoi(first)
		hi := lo
		if err == nil && isRange {
			hi, err = strconv.Atoi(last)
		}
		if err != nil || lo < 0 || hi >= most {
			continue
		}
		for cpu := lo; cpu <= hi; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}
