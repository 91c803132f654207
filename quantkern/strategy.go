package quantkern

import (
	"path"
	"reflect"
	"runtime"
)

// Access is the form in which a product reads weights, or keys.
type Access string

// The forms.
const (
	InPlace Access = "in place"           // as they lie in the file or the page
	Decoded Access = "decoded row by row" // to float32, or to words of trits, in scratch memory
	Copied  Access = "repacked as I2_S"   // from a copy that Repack makes at load
)

// Strategy says how something is multiplied: the kernel, as its package in
// quantkern and its name ("avx512.I2Sx6" takes six activation rows), or
// "generic" for plain Go, and what it reads. It is asked of the functions that
// choose the kernels, not of a list beside them.
type Strategy struct {
	Kernel string
	Access Access
}

// Strategy is how MulTernary multiplies n ≥ 1 activation rows.
func (w *Ternary) Strategy(n int) Strategy {
	if p := &active.panels; p.inTiles(n, w.Cols) {
		if p.takes(w) {
			return Strategy{p.kernelName(w, n), InPlace}
		}
		return Strategy{generic.name, Decoded}
	}
	t, ok := ternaryKernels(w)
	switch {
	case !ok:
		return Strategy{generic.name, Decoded}
	case n == 1 && t.row != nil:
		return Strategy{kernelName(t.row), InPlace}
	default:
		tile, _ := t.pick(n)
		return Strategy{kernelName(tile), InPlace}
	}
}

// LoadedStrategy is Strategy of what Repack makes of the matrix.
func (w *Ternary) LoadedStrategy(n int) Strategy {
	if w.gainsFromBlocks() {
		tile, _ := active.tiles["I2_S"].pick(n)
		return Strategy{kernelName(tile), Copied}
	}
	if !w.gainsFromI2S() {
		return w.Strategy(n)
	}
	copied := *w
	if c, err := Lookup("I2_S"); err == nil {
		copied.Codec = c
	}
	s := copied.Strategy(n)
	s.Access = Copied
	return s
}

// WordsBytes is what MulTernary takes of a worker's Scratch for n ≥ 1 activation rows where plain Go multiplies what
// Repack makes of the matrix, or the rows of it that are no whole group of four; 0: kernels do it all.
func (w *Ternary) WordsBytes(n int) int {
	if w.Rows%4 == 0 && w.LoadedStrategy(n).Access != Decoded {
		return 0
	}
	groups := groupsOf(w.Cols)
	return 8*(n+1)*groupWords*groups + groupValues*groups + chunkCodes + 4*blocksOf(w)
}

// DenseStrategy is how MulDense multiplies n ≥ 1 activation rows.
func DenseStrategy(c *Codec, data []byte, rows, cols, n int) Strategy {
	if p := active.packed[c.Name]; n <= maxFused && p.takes(cols) && p.stream != nil {
		return Strategy{p.streamName, InPlace}
	}
	t, size := denseKernels(c, data, rows, cols)
	s := Strategy{generic.name, Decoded}
	if size > 0 || floatsInPlace(c, data, rows*cols) != nil {
		s.Access = InPlace
	}
	if t.one != nil {
		tile, _ := t.pick(n)
		s.Kernel = kernelName(tile)
	}
	return s
}

// Strategy is how single rows are looked up with Decode.
func (c *Codec) Strategy() Strategy {
	if p := active.packed[c.Name]; p.decode != nil {
		return Strategy{p.decodeName, Decoded}
	}
	return Strategy{generic.name, Decoded}
}

// Strategy is how Attend multiplies a query with the keys.
func (k *KVPages) Strategy() Strategy {
	s := Strategy{generic.name, Decoded}
	if t := k.dots(); t.one != nil {
		tile, _ := t.pick(1)
		s.Kernel = kernelName(tile)
	}
	if k.kind == kvF32 || k.kind == kvF16 && s.Kernel != generic.name {
		s.Access = InPlace
	}
	return s
}

// kernelName is the name of a function of a tier's package.
func kernelName(f any) string {
	return path.Base(runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name())
}
