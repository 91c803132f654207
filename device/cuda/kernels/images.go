package kernels

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

//go:embed image
var files embed.FS

// Image is one source compiled for one target.
type Image struct {
	Name   string // of the source: "probe"
	Target string // "compute_80", "sm_90a"
	Data   []byte // PTX or a cubin
}

// target is what a name like "sm_90a" says.
type target struct {
	virtual    bool // PTX, which the driver compiles
	capability int  // 90
	exact      bool // features of this capability alone (the a)
}

func parseTarget(name string) (target, error) {
	number, virtual := strings.CutPrefix(name, "compute_")
	if !virtual {
		var ok bool
		if number, ok = strings.CutPrefix(name, "sm_"); !ok {
			return target{}, fmt.Errorf("kernels: target %q: want compute_N or sm_N", name)
		}
	}
	number, exact := strings.CutSuffix(number, "a")
	n, err := strconv.Atoi(number)
	if err != nil {
		return target{}, fmt.Errorf("kernels: target %q has no number", name)
	}
	return target{virtual, n, exact}, nil
}

// runs tells whether a card can run what was compiled for the target: PTX on every newer
// card, a cubin within its major version only, and what is exact nowhere else.
func (t target) runs(capability int) bool {
	switch {
	case t.exact:
		return capability == t.capability
	case t.virtual:
		return capability >= t.capability
	default:
		return capability/10 == t.capability/10 && capability >= t.capability
	}
}

// Images lists the images of a source that a card of the given capability (90 for 9.0)
// can load, the best first: the newest target, compiled ones before PTX.
func Images(name string, capability int) ([]Image, error) {
	return images(files, name, capability)
}

func images(files fs.FS, name string, capability int) ([]Image, error) {
	found, err := fs.Glob(files, "image/"+name+".*")
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	var list []Image
	rank := map[string]int{}
	for _, path := range found {
		// probe.sm_90a.cubin
		parts := strings.Split(strings.TrimPrefix(path, "image/"), ".")
		if len(parts) != 3 {
			continue
		}
		t, err := parseTarget(parts[1])
		if err != nil {
			return nil, err
		}
		if !t.runs(capability) {
			continue
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, fmt.Errorf("kernels: %w", err)
		}
		list = append(list, Image{name, parts[1], data})
		rank[parts[1]] = 4*t.capability + 2*btoi(t.exact) + btoi(!t.virtual)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("kernels: nothing of %q was built for compute capability %d.%d", name, capability/10, capability%10)
	}
	slices.SortFunc(list, func(a, b Image) int { return cmp.Compare(rank[b.Target], rank[a.Target]) })
	return list, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
