package memory

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	meminfo  = "MemTotal:        8192 kB\nMemFree:          100 kB\nMemAvailable:    4096 kB\n" // 8 and 4 MiB
	unified  = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	separate = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory\n"
	unlimited = "9223372036854771712\n" // as version 1 writes it

	mib = 1 << 20
)

func tree(files ...map[string]string) fstest.MapFS {
	root := fstest.MapFS{
		"proc/meminfo": {Data: []byte(meminfo)}, "proc/self/mountinfo": {Data: []byte("23 1 8:1 / / rw - ext4 /dev/root rw\n")},
	}
	for _, set := range files {
		for name, text := range set {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return root
}

// self is what the process sees of itself.
func self(cgroup, mounts string) map[string]string {
	return map[string]string{"proc/self/cgroup": cgroup, "proc/self/mountinfo": "23 1 8:1 / / rw - ext4 /dev/root rw\n" + mounts}
}

// v2 and v1 are a group's files below /sys/fs/cgroup; sizes are words, for they need not be numbers.
func v2(dir, limit, usage, stat string) map[string]string {
	dir = "sys/fs/cgroup/" + dir
	return map[string]string{dir + "memory.max": limit + "\n", dir + "memory.current": usage + "\n", dir + "memory.stat": stat}
}

func v1(dir, limit, usage, stat string) map[string]string {
	dir = "sys/fs/cgroup/memory/" + dir
	return map[string]string{dir + "memory.limit_in_bytes": limit + "\n", dir + "memory.usage_in_bytes": usage + "\n", dir + "memory.stat": stat}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name        string
		root        fstest.MapFS
		total, free uint64
	}{
		{"no control groups", tree(), 8 * mib, 4 * mib},
		{"v2, the group's own limit", tree(
			self("0::/user.slice/app.scope\n", unified),
			v2("user.slice/app.scope/", "3145728", "2097152", "anon 99\ninactive_file 1000000\nactive_file 48576\nfile 5\n"),
			v2("user.slice/", "max", "6000000", ""),
		), 3 * mib, 2 * mib},
		{"v2, an ancestor's limit is less", tree(
			self("0::/a/b/c\n", unified),
			v2("a/b/c/", "4194304", "0", ""),
			v2("a/b/", "max", "0", ""),
			v2("a/", "2097152", "1048576", "inactive_file 0\nactive_file 524288\n"),
		), 2 * mib, 2*mib - mib + mib/2},
		{"v2, one has the least limit, another the least that is free", tree(
			self("0::/a/b\n", unified),
			v2("a/b/", "2097152", "0", ""),
			v2("a/", "3145728", "2621440", ""),
		), 2 * mib, mib / 2},
		{"v2, no limits", tree(
			self("0::/a/b\n", unified), v2("a/b/", "max", "7000000", ""), v2("a/", "max", "7000000", ""),
		), 8 * mib, 4 * mib},
		{"v2, more than the machine has", tree(
			self("0::/a\n", unified), v2("a/", "99999999999", "0", ""),
		), 8 * mib, 4 * mib},
		{"v2, all is used", tree(
			self("0::/a\n", unified), v2("a/", "1048576", "1052672", ""),
		), mib, 1},
		{"v2, more is reclaimable than used", tree(
			self("0::/a\n", unified), v2("a/", "1048576", "4096", "active_file 8192\ninactive_file 8192\n"),
		), mib, mib},
		{"v2, where the kernel slows down comes first", tree(
			self("0::/a/b\n", unified), v2("a/b/", "4194304", "1048576", ""), map[string]string{"sys/fs/cgroup/a/b/memory.high": "2097152\n"},
		), 2 * mib, mib},
		{"v2, where an ancestor is slowed down", tree(
			self("0::/a/b\n", unified), v2("a/b/", "4194304", "0", ""), v2("a/", "max", "1048576", ""),
			map[string]string{"sys/fs/cgroup/a/b/memory.high": "max\n", "sys/fs/cgroup/a/memory.high": "3145728\n"},
		), 3 * mib, 2 * mib},
		{"v2, where the kernel kills comes first", tree(
			self("0::/a\n", unified), v2("a/", "2097152", "1048576", ""), map[string]string{"sys/fs/cgroup/a/memory.high": "3145728\n"},
		), 2 * mib, mib},
		{"v2, a group beside the process's", tree(
			self("0::/a/b\n", unified), v2("a/bc/", "4096", "0", ""), v2("b/", "4096", "0", ""), v2("a/b/c/", "4096", "0", ""),
		), 8 * mib, 4 * mib},
		{"namespace, its root", tree(
			self("0::/\n", unified), v2("", "2097152", "1048576", ""),
		), 2 * mib, mib},
		{"namespace, a process from outside", tree(
			self("0::/../other\n", unified), v2("", "2097152", "1048576", ""), v2("other/", "4096", "4096", ""),
		), 2 * mib, mib},
		{"the path of the host, whose groups are not visible", tree(
			self("0::/docker/4f\n", unified), v2("", "2097152", "1048576", ""),
		), 2 * mib, mib},
		{"a mount that begins at the group", tree(
			self("0::/docker/4f/sub\n", strings.Replace(unified, " / ", " /docker/4f ", 1)),
			v2("", "2097152", "0", ""), v2("sub/", "max", "0", ""), v2("docker/4f/sub/", "4096", "0", ""),
		), 2 * mib, 2 * mib},
		{"a mount that begins at another group", tree(
			self("0::/docker/4f\n", strings.Replace(unified, " / ", " /docker/4 ", 1)),
			v2("", "2097152", "0", ""), v2("f/", "4096", "0", ""),
		), 2 * mib, 2 * mib},
		{"another mount, of a strange group", tree(
			self("0::/a\n", "29 23 0:26 /b /mnt rw - cgroup2 cgroup2 rw\n"+unified),
			v2("a/", "2097152", "0", ""), map[string]string{"mnt/memory.max": "4096"},
		), 2 * mib, 2 * mib},
		{"names with backslashes", tree(
			self("0::/a\\x2db/c\n", strings.Replace(unified, " / ", " /a\\134x2db ", 1)),
			v2("c/", "2097152", "0", ""),
		), 2 * mib, 2 * mib},
		{"v1, an ancestor's limit", tree(
			self("5:cpu,cpuacct:/x\n4:memory:/a/b\n1:name=systemd:/y\n", separate),
			v1("a/b/", unlimited, "3000000", "active_file 7\n"),
			v1("a/", "3145728", "2097152", "active_file 9000000\ntotal_inactive_file 4096\ntotal_active_file 4096\n"),
			v1("", unlimited, "3000000", ""),
			v1("x/", "4096", "0", ""), v1("y/", "4096", "0", ""),
		), 3 * mib, mib + 8192},
		{"v1, no limits", tree(
			self("4:memory:/a\n", separate),
			v1("a/", unlimited, "7000000", "hierarchical_memory_limit "+unlimited), v1("", unlimited, "7000000", ""),
		), 8 * mib, 4 * mib},
		{"v1, the limit of a group that is not visible", tree(
			self("4:memory:/pods/4f\n", strings.Replace(separate, "0:32 / ", "0:32 /pods/4f ", 1)),
			v1("", unlimited, "1048576", "hierarchical_memory_limit 3145728\n"),
		), 3 * mib, 2 * mib},
		{"v1, a path that is not visible", tree(
			self("4:memory:/docker/4f\n", separate), v1("", "2097152", "1048576", ""),
		), 2 * mib, mib},
		{"v1, a mount that begins at another group", tree(
			self("4:memory:/docker/4f\n", strings.Replace(separate, "0:32 / ", "0:32 /docker/4 ", 1)), v1("", "2097152", "1048576", ""),
		), 2 * mib, mib},
		{"hybrid, version 1 counts memory", tree(
			self("4:memory:/a\n0::/s\n", separate+strings.Replace(unified, "/sys/fs/cgroup", "/sys/fs/cgroup/unified", 1)),
			v1("a/", "2097152", "1048576", ""), map[string]string{"sys/fs/cgroup/unified/s/cgroup.procs": "1\n"},
		), 2 * mib, mib},
		{"hybrid, version 2 counts memory", tree(
			self("4:cpu:/a\n0::/s\n", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"+unified),
			v1("a/", "4096", "0", ""), v2("s/", "2097152", "1048576", ""),
		), 2 * mib, mib},
		{"the machine is not known", tree(
			map[string]string{"proc/meminfo": ""}, self("0::/a\n", unified), v2("a/", "2097152", "1048576", ""),
		), 2 * mib, mib},
		{"usage is not known", tree(
			self("0::/a\n", unified), map[string]string{"sys/fs/cgroup/a/memory.max": "2097152"},
		), 2 * mib, 2 * mib},
	} {
		if got := total(c.root); got != c.total {
			t.Errorf("%s: %d bytes in all, want %d", c.name, got, c.total)
		}
		if got := free(c.root); got != c.free {
			t.Errorf("%s: %d bytes free, want %d", c.name, got, c.free)
		}
	}
}

// What cannot be read or understood limits nothing.
func TestGarbage(t *testing.T) {
	if all, now := total(fstest.MapFS{}), free(fstest.MapFS{}); all != 0 || now != 0 {
		t.Errorf("of nothing: %d bytes in all, %d free", all, now)
	}
	const usual = "0::/a\n4:memory:/a\n"
	for _, root := range []fstest.MapFS{
		tree(self("", "")),
		tree(self("0::a\n0:\n:\n::\n4:memory\n0::\n\x00\xff", unified+separate), v2("a/", "4096", "0", "")),
		tree(self("0::/a/../../..//b\n", unified), v2("a/", "4096", "0", "")),
		tree(self(usual, "- - -\n - cgroup2\n1 2 3 / - cgroup2 x rw\n - cgroup2 x rw\n1 2 3 / .. rw - cgroup2 x rw\n1 2 3 / / rw - cgroup2 x rw\n")),
		tree(self(usual, "1 2 3 // //sys// rw - cgroup2 x rw\n1 2 3  /sys/fs/cgroup rw - cgroup2 x rw\n1 2 3 / \\ rw - cgroup x memory\n")),
		tree(self(usual, unified+separate), map[string]string{"sys/fs/cgroup/a/memory.max/x": ""}),
	} {
		check(t, root)
	}
	for _, word := range []string{"", "max", "-1", "0", "4096,4096", "4k", "0x1000", "18446744073709551616", "18446744073709551615", "9223372036854771712", "\x00"} {
		check(t, tree(self(usual, unified+separate), v2("a/", word, "0", ""), v1("a/", word, "0", "hierarchical_memory_limit "+word)))
	}
	// A limit stands whatever is beside it.
	for _, stat := range []string{"active_file", "active_file max\n\n \ninactive_file -5\n", "xactive_file 4096"} {
		for _, usage := range []string{"", "max", "18446744073709551615"} {
			root := tree(self(usual, unified), v2("a/", "2097152", usage, stat))
			if all, now := total(root), free(root); all != 2*mib || now != 2*mib {
				t.Errorf("usage %q, %q: %d bytes in all, %d free", usage, stat, all, now)
			}
		}
	}
}

func check(t *testing.T, root fstest.MapFS) {
	t.Helper()
	if all, now := total(root), free(root); all != 8*mib || now != 4*mib {
		t.Errorf("%d bytes in all, %d free with", all, now)
		for name, f := range root {
			t.Errorf("  %s: %q", name, f.Data)
		}
	}
}

func FuzzLimits(f *testing.F) {
	f.Add("0::/a/b\n4:memory:/c\n", unified+separate, "4096", "inactive_file 5\n")
	f.Add("0::/../..\n", "1 2 3 /../.. // rw - cgroup2 x rw\n", "max", "")
	f.Fuzz(func(t *testing.T, cgroup, mounts, size, stat string) {
		root := tree(self(cgroup, mounts), v2("a/", size, size, stat), v1("c/", size, size, stat), v1("", size, size, stat))
		if all, now := total(root), free(root); all == 0 || all > 8*mib || now == 0 || now > min(all, 4*mib) {
			t.Errorf("%d bytes in all, %d free", all, now)
		}
	})
}

// The kernel under the test is read as it is.
func TestHere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("nothing is known here")
	}
	all, now := Total(), Free()
	if all < 16*mib || now == 0 || now > all {
		t.Errorf("%d bytes in all, %d free", all, now)
	}
	root := os.DirFS("/")
	for _, v := range versions {
		for _, dir := range v.dirs(root) {
			t.Logf("%s: %s: %+v", v.filesystem, dir, v.group(root, dir))
		}
	}
}
