// Package memory says how many bytes of the host's memory this process may take: those of
// the machine, or fewer where its control group or one above that has a limit (containers,
// slices of systemd), beyond which the kernel kills, or takes memory back and lets processes
// wait. Only Linux tells; elsewhere nothing is known, and neither is what cannot be read.
package memory

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Total is how many bytes the process may take in all; 0 = not known.
func Total() uint64 { return total(os.DirFS("/")) }

// Free is how many bytes it could take now without swapping; 0 = not known.
func Free() uint64 { return free(os.DirFS("/")) }

func total(root fs.FS) uint64 {
	least := machine(root, "MemTotal:")
	for _, g := range groups(root) {
		least = smaller(least, g.limit)
	}
	return least
}

func free(root fs.FS) uint64 {
	least := machine(root, "MemAvailable:")
	for _, g := range groups(root) {
		least = smaller(least, g.free())
	}
	return least
}

// smaller is the smaller of two numbers of which 0 is not known.
func smaller(a, b uint64) uint64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func machine(root fs.FS, key string) uint64 {
	return value(read(root, "proc/meminfo"), key) << 10
}

// group is a control group; its limit is 0 where it has none.
type group struct{ limit, usage, reclaimable uint64 }

func (g group) free() uint64 {
	if g.limit == 0 {
		return 0
	}
	used := g.usage - min(g.usage, g.reclaimable)
	return max(1, g.limit-min(g.limit, used)) // a full group is known to be full
}

// version is what a version of control groups calls things.
type version struct {
	controller string // that has the limits, in /proc/self/cgroup
	filesystem string
	limits     []string
	usage      string
	files      []string // of memory.stat: pages of files, mapped models among them, which the kernel takes back
}

// A hybrid system mounts both, and one of them counts memory.
var versions = []version{
	{"", "cgroup2", []string{"memory.max", "memory.high"}, "memory.current", []string{"inactive_file", "active_file"}},
	{"memory", "cgroup", []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"}},
}

// groups are the process's group and all above it, as far as they are visible.
func groups(root fs.FS) []group {
	var list []group
	for _, v := range versions {
		for _, dir := range v.dirs(root) {
			list = append(list, v.group(root, dir))
		}
	}
	return list
}

func (v *version) group(root fs.FS, dir string) group {
	stat := read(root, dir+"/memory.stat")
	g := group{usage: number(read(root, dir+"/"+v.usage))}
	for _, name := range v.limits {
		g.limit = smaller(g.limit, number(read(root, dir+"/"+name)))
	}
	// Version 1 tells the least limit of all above, of those too that a container does not see.
	g.limit = smaller(g.limit, value(stat, "hierarchical_memory_limit"))
	for _, key := range v.files {
		g.reclaimable += value(stat, key)
	}
	return g
}

// dirs are the folders of the process's group and of those above it, up to the mount's root. A
// mount may begin at a group below the hierarchy's root; one that does not show the process's
// group shows with its root what a container is meant to see, unless another mount knows better.
func (v *version) dirs(root fs.FS) []string {
	own := v.own(root)
	var seen, roots []string
	for line := range strings.Lines(read(root, "proc/self/mountinfo")) {
		mount, kind, _ := strings.Cut(line, " - ")
		m, k := strings.Fields(mount), strings.Fields(kind)
		if len(m) < 5 || len(k) < 3 || k[0] != v.filesystem || v.controller != "" && !lists(k[2], v.controller) {
			continue
		}
		point := strings.TrimPrefix(unescape.Replace(m[4]), "/")
		roots = append(roots, point)
		below, visible := under(own, unescape.Replace(m[3]))
		if !visible {
			continue
		}
		for ; below != "."; below = path.Dir(below) {
			seen = append(seen, path.Join(point, below))
		}
		seen = append(seen, point)
	}
	if len(seen) > 0 {
		return seen
	}
	return roots
}

// own is the path of the process's group in its hierarchy, the hierarchy's root where it is not known.
func (v *version) own(root fs.FS) string {
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		// Outside of the root of the process's namespace paths begin with "/..".
		if len(f) == 3 && lists(f[1], v.controller) && strings.HasPrefix(f[2], "/") && !strings.HasPrefix(f[2], "/..") {
			return path.Clean(f[2])
		}
	}
	return "/"
}

// under is the path of dir from top on, "." where they are the same.
func under(dir, top string) (below string, ok bool) {
	top = strings.TrimSuffix(top, "/")
	if dir == top {
		return ".", true
	}
	below, ok = strings.CutPrefix(dir, top+"/")
	return path.Clean(below), ok
}

// unescape undoes what mountinfo does to names; those of systemd's units have backslashes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func lists(list, name string) bool {
	return slices.Contains(strings.Split(list, ","), name)
}

func read(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(text)
}

// value is the number after a key at the beginning of a line.
func value(text, key string) uint64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			return number(f[1])
		}
	}
	return 0
}

// number is 0 for what is none, "max" for example, and for those of 2^53 and more: version 1
// writes nearly 2^63 where there is no limit.
func number(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 53)
	if err != nil {
		return 0
	}
	return n
}
