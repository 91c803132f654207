package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pip stands in for the one that fetches: it makes a package with a header and a compiler.
const pip = `#!/bin/sh
while [ "$1" != --dest ]; do shift; done
mkdir -p "$2" && python3 - "$2/a.whl" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("nvidia/cu13/include/cuda.h", "")
    z.writestr("nvidia/cu13/bin/nvcc", "#!/bin/sh\necho nvcc")
PY
`

// .ci/cuda-toolkit replaces what it made itself, however its folder is named, and nothing else.
func TestToolkitFolder(t *testing.T) {
	for _, tool := range []string{"bash", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	script, err := filepath.Abs("../../../.ci/cuda-toolkit")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "pip"), []byte(pip), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, c := range []struct {
		name, before, suffix string
		refused              bool
	}{
		{name: "new"},
		{name: "new, slash", suffix: "/"},
		{name: "older", before: "packages"},
		{name: "older, slash", before: "packages", suffix: "/"},
		{name: "libraries alone", before: "tritflow-0123456789ab"},
		{name: "somebody else's", before: "thesis", refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "kit")
			old := filepath.Join(dir, c.before)
			if c.before != "" {
				if err := os.Mkdir(dir, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(old, []byte("old\n"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			said, err := exec.Command("bash", script, dir+c.suffix).CombinedOutput()
			if (err != nil) != c.refused {
				t.Errorf("error %v: %s", err, said)
			}
			if c.refused {
				if _, err := os.Stat(old); err != nil || !strings.Contains(string(said), dir+" holds other things") {
					t.Errorf("error %v, said %s", err, said)
				}
				return
			}
			for _, name := range []string{"bin/nvcc", "include/cuda.h", "packages"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
