package requant

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
	"tritflow/quantkern"
)

// fixture writes a file of a few blocks' matrices. Their scales are no half
// precision numbers but for one matrix; shapes have several row
// groups, and a remainder of TL2.
func fixture(t *testing.T, dir string, typ gguf.Type) string {
	t.Helper()
	path := filepath.Join(dir, "from-"+typ.String()+".gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Abort() }()
	set := func(key string, v any) {
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	set("general.architecture", "bitnet")
	set("general.name", "fixture")
	set("some.array", []string{"a", "b"})
	var tensors []*Tensor
	var layouts Layouts
	for i, s := range []struct {
		name       string
		rows, cols int
		scale      float32
	}{
		{"attn_q", 64, 256, 0.0123456}, {"attn_k", 32, 512, 0.5}, {"ffn_gate", 96, 768, 1.75e-3}, {"ffn_down", 192, 512, 3.1e-2}, {"attn_v", 32, 256, 1e-9},
	} {
		state := uint64(i + 1)
		trits := make([]int8, s.rows*s.cols)
		for j := range trits {
			state = state*6364136223846793005 + 1442695040888963407
			trits[j] = int8(state>>40%3) - 1
		}
		src := quantkern.TritSource{Rows: s.rows, Cols: s.cols, Scale: s.scale, Trits: func(dst []int8, r int) error {
			copy(dst, trits[r*s.cols:])
			return nil
		}}
		weight, scale, err := FromTrits("blk.0."+s.name+".weight", src, typ, false)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, weight)
		if scale != nil {
			tensors = append(tensors, scale)
		}
		if err := layouts.See(typ, s.rows, s.cols); err != nil {
			t.Fatal(err)
		}
	}
	tensors = append(tensors, Scalar("blk.0.other", 7))
	layouts.Write(set)
	for _, x := range tensors {
		if err := x.Add(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range tensors {
		if err := x.Write(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// convert runs a whole conversion as the command does.
func convert(ctx context.Context, in, out string, opt Options) (err error) {
	f, err := gguf.Open(in, gguf.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p, err := NewPlan(ctx, f, opt)
	if err != nil {
		return err
	}
	w, err := gguf.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	w.Check(func(path string) error { return p.Verify(ctx, path) })
	if err := p.Write(ctx, w, nil); err != nil {
		return err
	}
	return w.Close()
}

// weights are the effective numbers of every matrix of a file: its trits, and
// its scale times that of the tensor beside it.
func weights(t *testing.T, path string) (trits map[string][]int8, scales map[string]float32) {
	t.Helper()
	f, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	trits, scales = map[string][]int8{}, map[string]float32{}
	for _, x := range f.Tensors() {
		if !isMatrix(x) {
			continue
		}
		c, err := quantkern.Lookup(x.Codec())
		if err != nil {
			t.Fatal(err)
		}
		own := float32(1)
		if s, ok := f.Tensor(scaleName(x.Name)); ok {
			v := make([]float32, 1)
			sc, err := quantkern.Lookup(s.Codec())
			if err != nil {
				t.Fatal(err)
			}
			sc.Decode(v, s.Data, 1, 1, 0)
			own = v[0]
		}
		all := make([]int8, x.Elements())
		if !c.Ternary {
			row := make([]float32, x.Cols())
			for r := range x.Rows() {
				c.Decode(row, x.Data, x.Rows(), x.Cols(), r)
				for i, v := range row {
					all[r*x.Cols()+i] = sign(v)
					scales[x.Name] = max(scales[x.Name], v*own)
				}
			}
			trits[x.Name] = all
			continue
		}
		w, err := quantkern.NewTernary(c, x.Data, x.Rows(), x.Cols())
		if err != nil {
			t.Fatal(err)
		}
		for r := range x.Rows() {
			w.Trits(all[r*x.Cols():(r+1)*x.Cols()], r)
		}
		trits[x.Name], scales[x.Name] = all, w.Scale*own
	}
	return trits, scales
}

func types(t *testing.T) []gguf.Type {
	t.Helper()
	var all []gguf.Type
	for _, n := range MatrixNames() {
		typ, err := MatrixType(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, typ)
	}
	return all
}

// TestEveryPair goes from every type to every other and back: trits and scales
// are the same to the bit, also those of types that hold less of a scale, and the way
// back gives the bytes that were there.
func TestEveryPair(t *testing.T) {
	dir := t.TempDir()
	for _, from := range types(t) {
		start := fixture(t, dir, from)
		wantTrits, wantScales := weights(t, start)
		if len(wantTrits) != 5 {
			t.Fatalf("%v: %d matrices", from, len(wantTrits))
		}
		original, err := os.ReadFile(start)
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range types(t) {
			what := fmt.Sprintf("%v → %v", from, to)
			there, back := filepath.Join(dir, "there.gguf"), filepath.Join(dir, "back.gguf")
			if err := convert(t.Context(), start, there, Options{Type: to}); err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			gotTrits, gotScales := weights(t, there)
			for name, want := range wantTrits {
				if !slices.Equal(gotTrits[name], want) {
					t.Errorf("%s: %s has other trits", what, name)
				}
				if gotScales[name] != wantScales[name] {
					t.Errorf("%s: %s has the scale %v, not %v", what, name, gotScales[name], wantScales[name])
				}
			}
			if err := convert(t.Context(), there, back, Options{Type: from}); err != nil {
				t.Errorf("%s and back: %v", what, err)
				continue
			}
			again, err := os.ReadFile(back)
			if err != nil {
				t.Fatal(err)
			}
			// general.file_type is written where the fixture has none.
			if tail := 4096; string(again[len(again)-tail:]) != string(original[len(original)-tail:]) {
				t.Errorf("%s and back: other bytes", what)
			}
			backTrits, backScales := weights(t, back)
			for name, want := range wantTrits {
				if !slices.Equal(backTrits[name], want) || math.Float32bits(backScales[name]) != math.Float32bits(wantScales[name]) {
					t.Errorf("%s and back: %s is another", what, name)
				}
			}
		}
	}
}

// builtinFile writes the model inside the program to a file.
func builtinFile(t *testing.T, dir string) string {
	t.Helper()
	f, err := builtin.Open()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "builtin.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(t.Context(), w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMetadataStays: keys, tensors beside the matrices and the order stay.
func TestMetadataStays(t *testing.T) {
	dir := t.TempDir()
	in, out := builtinFile(t, dir), filepath.Join(dir, "out.gguf")
	if err := convert(t.Context(), in, out, Options{Type: gguf.TypeTL2, Embedding: gguf.TypeQ8_0}); err != nil {
		t.Fatal(err)
	}
	a, b := gguftest.Open(t, in), gguftest.Open(t, out)
	for _, key := range a.Metadata().Keys() {
		if key == gguf.I2SLayoutKey {
			continue
		}
		x, _ := a.Metadata().Get(key)
		y, ok := b.Metadata().Get(key)
		if !ok || key != fileTypeKey && x.String() != y.String() {
			t.Errorf("%s is %v, was %v", key, y, x)
		}
	}
	if ft, err := b.Metadata().Uint(fileTypeKey); err != nil || ft != 39 {
		t.Errorf("file type %d, %v", ft, err)
	}
	m, err := graph.Bind(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Embed.Weight.Type != gguf.TypeQ8_0 || m.Blocks[0].Q.Weight.Type != gguf.TypeTL2 || m.Blocks[0].Q.Weight.Tile == "" {
		t.Errorf("embedding %v, query %v %q", m.Embed.Weight.Type, m.Blocks[0].Q.Weight.Type, m.Blocks[0].Q.Weight.Tile)
	}
	for _, x := range a.Tensors() {
		y, ok := b.Tensor(x.Name)
		if !ok {
			t.Errorf("%s is gone", x.Name)
		} else if !isMatrix(x) && x.Name != "token_embd.weight" && string(x.Data) != string(y.Data) {
			t.Errorf("%s has other bytes", x.Name)
		}
	}
}

// one writes a file with one matrix of values and, if it is given, the tensor
// beside it.
func one(t *testing.T, typ gguf.Type, rows, cols int, value func(r, c int) float32, beside *Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "one.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	x, err := FromValues("blk.3.attn_q.weight", Values{Rows: rows, Cols: cols, Row: func(dst []float32, r int) error {
		for c := range dst {
			dst[c] = value(r, c)
		}
		return nil
	}}, typ)
	if err != nil {
		t.Fatal(err)
	}
	all := []*Tensor{x}
	if beside != nil {
		all = append(all, beside)
	}
	for _, x := range all {
		if err := x.Add(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range all {
		if err := x.Write(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func wave(r, c int) float32 { return float32(math.Sin(float64(r*31+c*7))) / 10 }

func tern(r, c int) float32 { return float32((r*5+c*c)%3-1) * 0.25 }

// TestRefuses: what would become garbage is not written, and the reason names the
// tensor.
func TestRefuses(t *testing.T) {
	damaged := func(path string, at int, b byte) string {
		f := gguftest.Open(t, path)
		x, _ := f.Tensor("blk.3.attn_q.weight")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(data[int(x.Offset)+at:], []byte{b, b, b, b})
		bad := filepath.Join(t.TempDir(), "bad.gguf")
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return bad
	}
	i2s, narrow := one(t, gguf.TypeI2_S, 8, 256, tern, nil), one(t, gguf.TypeI2_S, 8, 128, tern, nil)
	for name, c := range map[string]struct {
		in   string
		opt  Options
		want string
	}{
		"not ternary":      {one(t, gguf.TypeF16, 32, 256, wave, nil), Options{Type: gguf.TypeI2_S}, "not ternary"},
		"undefined codes":  {damaged(i2s, 3, 0xff), Options{Type: gguf.TypeTQ2_0}, "stand for no trit"},
		"scale lost":       {damaged(i2s, 8*256/4, 0), Options{Type: gguf.TypeI2_S_B}, "lost it"},
		"scale not finite": {damaged(i2s, 8*256/4, 0xff), Options{Type: gguf.TypeI2_S_B}, "lost it"},
		"shape of TL2":     {i2s, Options{Type: gguf.TypeTL2}, "multiples of 32"},
		"shape of TQ1_0":   {narrow, Options{Type: gguf.TypeTQ1_0}, "multiple of 256"},
		"two scales": {one(t, gguf.TypeI2_S, 32, 256, func(r, c int) float32 { return tern(r, c) / 3 }, Scalar("blk.3.attn_q.scale", 0.3)),
			Options{Type: gguf.TypeTQ2_0}, "room for neither"},
		"several scales": {one(t, gguf.TypeQ2_0, 32, 256, func(r, c int) float32 { return tern(r, c) * float32(1+c/64) }, nil),
			Options{Type: gguf.TypeI2_S}, "several scales"},
		"not a number": {one(t, gguf.TypeF32, 32, 256, func(r, c int) float32 {
			if r == 5 && c == 6 {
				return float32(math.NaN())
			}
			return wave(r, c)
		}, nil), Options{Type: gguf.TypeI2_S, Absmean: true}, "row 5, column 6"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := convert(t.Context(), c.in, filepath.Join(dir, "out.gguf"), c.opt)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "blk.3.attn_q.weight") && name != "several scales" {
				t.Errorf("%v, want %q", err, c.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestTwoScales: a tensor beside the weights stays where the type has an F32
// scale of its own, and joins it where one of both is 1.
func TestTwoScales(t *testing.T) {
	in := one(t, gguf.TypeI2_S, 32, 256, tern, Scalar("blk.3.attn_q.scale", 0.3))
	out := filepath.Join(t.TempDir(), "out.gguf")
	for _, to := range []gguf.Type{gguf.TypeTL1, gguf.TypeTQ2_0} {
		if err := convert(t.Context(), in, out, Options{Type: to}); err != nil {
			t.Fatal(err)
		}
		f := gguftest.Open(t, out)
		if s, ok := f.Tensor("blk.3.attn_q.scale"); !ok || len(s.Data) != 4 {
			t.Errorf("%v: the scale beside is gone", to)
		}
	}
	// 1 in the blocks, 0.3 beside them, is 0.3 in I2_S.
	in = one(t, gguf.TypeTQ2_0, 32, 256, func(r, c int) float32 { return 4 * tern(r, c) }, Scalar("blk.3.attn_q.scale", 0.3))
	if err := convert(t.Context(), in, out, Options{Type: gguf.TypeI2_S}); err != nil {
		t.Fatal(err)
	}
	if _, ok := gguftest.Open(t, out).Tensor("blk.3.attn_q.scale"); ok {
		t.Error("the scale is beside the weights and should be in them")
	}
	if _, scales := weights(t, out); scales["blk.3.attn_q.weight"] != 0.3 {
		t.Errorf("scale %v", scales)
	}
}

// TestTilesOfOthers: a TL1 file that does not say its tiles, and has not those that tritflow
// would choose, is read by its statistics and written again with tiles that it says.
func TestTilesOfOthers(t *testing.T) {
	const rows, cols = 640, 1024
	c, err := quantkern.Lookup("TL1:320/64/64")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	trits := make([]int8, rows*cols)
	for i := range trits {
		if zeros := 0.2 + 0.2*float64(i/cols%7)/7 + 0.2*float64(i%cols%5)/5; r.Float64() >= zeros {
			trits[i] = int8(2*r.IntN(2) - 1)
		}
	}
	data := make([]byte, c.Size(rows, cols))
	src := quantkern.TritSource{Rows: rows, Cols: cols, Scale: 0.5, Trits: func(dst []int8, r int) error {
		copy(dst, trits[r*cols:])
		return nil
	}}
	if err := c.EncodeTernary(data, src, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "out.gguf")
	w, err := gguf.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	x := Copy(info("blk.0.ffn_up.weight", gguf.TypeTL1, rows, cols), data)
	if err := errors.Join(x.Add(w), x.Write(t.Context(), w), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, to := range []gguf.Type{gguf.TypeNone, gguf.TypeTL1, gguf.TypeI2_S} {
		if err := convert(t.Context(), in, out, Options{Type: to, Embedding: gguf.TypeF16}); err != nil {
			t.Fatal(err)
		}
		if got, _ := weights(t, out); !slices.Equal(got["blk.0.ffn_up.weight"], trits) {
			t.Errorf("to %v: other trits", to)
		}
		if y, _ := gguftest.Open(t, out).Tensor("blk.0.ffn_up.weight"); (y.Tile != "") != (to != gguf.TypeI2_S) {
			t.Errorf("to %v: tile %q", to, y.Tile)
		}
	}
}

func TestRoundScales(t *testing.T) {
	in := one(t, gguf.TypeI2_S, 32, 256, func(r, c int) float32 { return tern(r, c) * 1.2345678 }, nil)
	out := filepath.Join(t.TempDir(), "out.gguf")
	for _, to := range []gguf.Type{gguf.TypeTQ1_0, gguf.TypeIQ1_BN, gguf.TypeF16} {
		if err := convert(t.Context(), in, out, Options{Type: to, RoundScales: true}); err != nil {
			t.Fatal(err)
		}
		want := quantkern.F16ToF32(quantkern.F32ToF16(0.25 * 1.2345678))
		if _, scales := weights(t, out); scales["blk.3.attn_q.weight"] != want {
			t.Errorf("%v: scale %v, want %v", to, scales, want)
		}
		if _, ok := gguftest.Open(t, out).Tensor("blk.3.attn_q.scale"); ok {
			t.Errorf("%v: a scale is beside the weights", to)
		}
	}
}

// TestScalesBeyondHalf: rounding that makes a scale 0 or infinite would lose the matrix.
func TestScalesBeyondHalf(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.gguf")
	for _, scale := range []float32{1e-9, 1e6} {
		in := one(t, gguf.TypeI2_S, 32, 256, func(r, c int) float32 { return tern(r, c) * scale }, nil)
		for _, to := range []gguf.Type{gguf.TypeTQ1_0, gguf.TypeQ2_0, gguf.TypeIQ1_BN, gguf.TypeF16} {
			var re *RefusedError
			if err := convert(t.Context(), in, out, Options{Type: to, RoundScales: true}); !errors.As(err, &re) || !strings.Contains(re.Reason, "half precision") {
				t.Errorf("scale %v as %v: %v", scale, to, err)
			}
			if err := convert(t.Context(), in, out, Options{Type: to}); err != nil {
				t.Errorf("scale %v beside %v: %v", scale, to, err)
			}
		}
	}
}

// TestHeadOfNoOwn: a type for a head that the file does not have changes nothing.
func TestHeadOfNoOwn(t *testing.T) {
	in := one(t, gguf.TypeI2_S, 32, 256, tern, nil)
	var re *RefusedError
	err := convert(t.Context(), in, filepath.Join(t.TempDir(), "out.gguf"), Options{Type: gguf.TypeTL1, Head: gguf.TypeQ8_0})
	if !errors.As(err, &re) || re.Tensor != headName || !strings.Contains(re.Hint, "--embedding") {
		t.Errorf("%v", err)
	}
}

// TestAbsmean compares with the rule, written down once more, in double precision.
func TestAbsmean(t *testing.T) {
	const rows, cols = 32, 256
	in := one(t, gguf.TypeF32, rows, cols, wave, nil)
	out := filepath.Join(t.TempDir(), "out.gguf")
	if err := convert(t.Context(), in, out, Options{Type: gguf.TypeI2_S, Absmean: true}); err != nil {
		t.Fatal(err)
	}
	mean := 0.0
	for i := range rows * cols {
		mean += math.Abs(float64(wave(i/cols, i%cols)))
	}
	m := float32(mean / (rows * cols))
	trits, scales := weights(t, out)
	if got := scales["blk.3.attn_q.weight"]; math.Abs(float64(got-m)) > 1e-8 {
		t.Errorf("scale %v, want %v", got, m)
	}
	for i, got := range trits["blk.3.attn_q.weight"] {
		want := math.RoundToEven(float64(wave(i/cols, i%cols)) / float64(m))
		if want = max(-1, min(1, want)); float64(got) != want {
			t.Fatalf("value %d: trit %d, want %v", i, got, want)
		}
	}
}

// TestInterrupted: a conversion that is cancelled leaves what was there.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	in, out := fixture(t, t.TempDir(), gguf.TypeI2_S), filepath.Join(dir, "out.gguf")
	if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := gguftest.Open(t, in)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := NewPlan(ctx, f, Options{Type: gguf.TypeTL2})
	if err != nil {
		t.Fatal(err)
	}
	w, err := gguf.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Write(ctx, w, func(int, int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("writing: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestVerifyNotices what changed between writing and checking.
func TestVerifyNotices(t *testing.T) {
	dir := t.TempDir()
	in, out := fixture(t, dir, gguf.TypeI2_S), filepath.Join(dir, "out.gguf")
	f := gguftest.Open(t, in)
	p, err := NewPlan(t.Context(), f, Options{Type: gguf.TypeTQ2_0})
	if err != nil {
		t.Fatal(err)
	}
	if err := convert(t.Context(), in, out, Options{Type: gguf.TypeTQ2_0}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	g := gguftest.Open(t, out)
	x, _ := g.Tensor("blk.0.ffn_gate.weight")
	s, _ := g.Tensor("blk.0.ffn_gate.scale")
	for what, at := range map[string]uint64{"trits": x.Offset + 5, "scale of a block": x.Offset + 65, "scale beside": s.Offset + 1} {
		bad := slices.Clone(good)
		bad[at] ^= 0x41
		path := filepath.Join(dir, "bad.gguf")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var ve *VerifyError
		if err := p.Verify(t.Context(), path); !errors.As(err, &ve) || ve.Tensor != "blk.0.ffn_gate.weight" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := p.Verify(t.Context(), out); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	var ne *NameError
	for _, n := range []string{"", "i2s", "q2_k", "tl3", "iq2_s"} {
		if _, err := MatrixType(n); !errors.As(err, &ne) {
			t.Errorf("%q: %v", n, err)
		}
	}
	if typ, err := MatrixType("Q2_0"); err != nil || typ != gguf.TypeQ2_0 {
		t.Errorf("%v, %v", typ, err)
	}
	for _, n := range TableNames() {
		if _, err := TableType(n); err != nil {
			t.Errorf("%q: %v", n, err)
		}
	}
}
