package convert

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/convert/hftest"
	"tritflow/gguf"
	"tritflow/quantkern"
)

// TestFullFolder makes a folder out of the file that TRITFLOW_FULL names, in the
// style TRITFLOW_FULL_STYLE, at TRITFLOW_FULL_DIR. With TRITFLOW_FULL_OUT it
// compares that file, which convert made of the folder, with the first: for
// sizes that are too large for everyday tests.
func TestFullFolder(t *testing.T) {
	from, dir := os.Getenv("TRITFLOW_FULL"), os.Getenv("TRITFLOW_FULL_DIR")
	if from == "" || dir == "" {
		t.Skip("set TRITFLOW_FULL to a GGUF file and TRITFLOW_FULL_DIR to a folder to be made")
	}
	f, err := gguf.Open(from, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	style := hftest.Style(os.Getenv("TRITFLOW_FULL_STYLE"))
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := hftest.Write(dir, f, hftest.Options{Style: style, Shards: 4}); err != nil {
			t.Fatal(err)
		}
	}
	out := os.Getenv("TRITFLOW_FULL_OUT")
	if out == "" {
		return
	}
	g, err := gguf.Open(out, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	matrices, trits := 0, 0
	for i, x := range f.Tensors() {
		y, ok := g.Tensor(x.Name)
		if !ok {
			t.Fatalf("no tensor %s", x.Name)
		}
		if x.Type.String() != "I2_S" {
			continue
		}
		a, b := ternary(t, x), ternary(t, y)
		rowA, rowB := make([]int8, a.Cols), make([]int8, a.Cols)
		var all []int8
		for r := range a.Rows {
			a.Trits(rowA, r)
			if b.Trits(rowB, r); !slices.Equal(rowA, rowB) {
				t.Fatalf("%s: row %d has other trits", x.Name, r)
			}
			if style == hftest.Masters && strings.HasPrefix(x.Name, "blk.0.") {
				all = append(all, rowA...)
			}
		}
		want := a.Scale
		if style == hftest.Masters {
			if want = b.Scale; len(all) > 0 { // the means of one block are enough to go through again
				want = meanOf(t, f, f.Tensors()[i], all, a.Scale)
			}
		}
		if b.Scale != want {
			t.Errorf("%s: scale %v, want %v", x.Name, b.Scale, want)
		}
		matrices++
		trits += a.Rows * a.Cols
	}
	t.Logf("%d matrices with %d trits are equal", matrices, trits)
}

func ternary(t *testing.T, x *gguf.Tensor) *quantkern.Ternary {
	t.Helper()
	c, err := quantkern.Lookup(x.Type.String())
	if err != nil {
		t.Fatal(err)
	}
	w, err := quantkern.NewTernary(c, x.Data, x.Rows(), x.Cols())
	if err != nil {
		t.Fatal(err)
	}
	return w
}
