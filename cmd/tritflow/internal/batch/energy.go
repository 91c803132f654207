package batch

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Energy reads what a machine's processors have used, where the machine tells
// and the user may read it (Linux: intel-rapl, which AMD has too).
type Energy struct {
	zones []zone
}

// zone is a counter of microjoules that begins again at 0 after most.
type zone struct {
	path       string
	most, last uint64
	used       uint64
}

// energyRoot is where Linux shows the counters of processor packages.
const energyRoot = "/sys/class/powercap"

// StartEnergy begins to count.
func StartEnergy() *Energy { return startEnergy(energyRoot) }

func startEnergy(root string) *Energy {
	e := &Energy{}
	// intel-rapl:0 is a package; intel-rapl:0:1 would be a part of it.
	paths, err := filepath.Glob(filepath.Join(root, "intel-rapl:*"))
	if err != nil {
		return e
	}
	for _, p := range paths {
		if strings.Count(filepath.Base(p), ":") != 1 {
			continue
		}
		z := zone{path: filepath.Join(p, "energy_uj")}
		most, ok := counter(filepath.Join(p, "max_energy_range_uj"))
		last, ok2 := counter(z.path)
		if ok && ok2 {
			z.most, z.last = most, last
			e.zones = append(e.zones, z)
		}
	}
	return e
}

func counter(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// Tick must be called more often than the counters begin again (minutes).
func (e *Energy) Tick() {
	for i := range e.zones {
		z := &e.zones[i]
		now, ok := counter(z.path)
		if !ok {
			continue
		}
		if now < z.last {
			z.used += z.most - z.last + now
		} else {
			z.used += now - z.last
		}
		z.last = now
	}
}

// Joules since the start, all packages together; nil where nothing is told.
func (e *Energy) Joules() *float64 {
	if len(e.zones) == 0 {
		return nil
	}
	e.Tick()
	var sum uint64
	for _, z := range e.zones {
		sum += z.used
	}
	j := float64(sum) / 1e6
	return &j
}
