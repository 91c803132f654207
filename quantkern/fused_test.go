package quantkern

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// The compiler fuses a product and a sum unless the product is converted
// explicitly, on arm64 always and on amd64 from GOAMD64=v3 on. Tests of values
// see only fusions that change a bit; this one reads the instructions.
func TestNothingIsFused(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package twice")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command to compile with")
	}
	// FMADDS, FNMSUBD …; VFMADD231SD …; not the integer MADD.
	fused := regexp.MustCompile(`(?m)^.*\tV?FN?M(?:ADD|SUB)\w*\t.*$`)
	for _, target := range [][]string{{"GOARCH=arm64"}, {"GOARCH=amd64", "GOAMD64=v3"}} {
		cmd := exec.Command(tool, "build", "-gcflags=-S", "-o", os.DevNull, ".")
		cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), target...)
		listing, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", target, err, listing)
		}
		if len(listing) < 10000 {
			t.Fatalf("%v: the compiler listed nothing:\n%s", target, listing)
		}
		for _, line := range fused.FindAll(listing, 5) {
			t.Errorf("%v: %s", target, line)
		}
	}
}
