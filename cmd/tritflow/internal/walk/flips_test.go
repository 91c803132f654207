package walk_test

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/graph"
	"tritflow/quantkern"
)

// Everything that two forward passes of one network may differ in, where one rounds its
// activations to int8 as the other does, is float noise and, here and there, an activation
// that noise takes over the middle between two integers: a flip. trace shows that nothing
// else is there. It walks over a prompt and compares the input of every product, before and
// after it is rounded, with another engine's, and goes on with the other's code where the two differ, so
// that each difference is met where it arises; all that is left at the end is noise.
const (
	// codeNoise is how far two values may lie from each other in units of their int8 codes:
	// sums of float32 in another order, through a softmax and a square.
	codeNoise = 2e-3
	// logitNoise is how far the logits may, which the same codes lead to.
	logitNoise = 2e-4
)

// flip is an activation that two engines round to different integers.
type flip struct {
	Prompt   int     `json:"prompt"`
	Position int     `json:"position"`
	Input    string  `json:"input"`
	Element  int     `json:"element"`
	Here     float64 `json:"here"`  // times scale, before rounding
	There    float64 `json:"there"` // the other engine's
}

// other is another engine's inputs of all products, by point, as values and as codes, and its
// logits.
type other struct {
	inputs map[walk.Point][]float32
	codes  map[walk.Point][]int8
	logits []float32
}

// traced is what trace found on a prompt.
type traced struct {
	flips    []flip
	code     float64 // largest distance of values, in codes
	furthest float64 // of a flip's value from the middle
	logit    float64 // largest of logits after the other's codes
	own      float64 // mean distance of logits after the walk's own
	names    []int32 // likeliest tokens of the walk's own
}

// inputs are the points whose values products read.
var inputs = []string{walk.AttnNorm, walk.AttnSub, walk.FFNNorm, walk.FFNSub}

func trace(t *testing.T, m *graph.Model, prompt int, ids []int32, o *other) (*traced, error) {
	t.Helper()
	r := &traced{}
	own, err := walk.Run(t.Context(), m, ids, walk.Options{KV: "f32"})
	if err != nil {
		return nil, err
	}
	for i, v := range own {
		r.own += math.Abs(float64(v)-float64(o.logits[i])) / float64(len(own))
	}
	for row := range slices.Chunk(own, m.Vocab) {
		r.names = append(r.names, likeliest(row))
	}
	same, err := walk.Run(t.Context(), m, ids, walk.Options{KV: "f32", Visit: func(p walk.Point, values []float32, width int) error {
		if !slices.Contains(inputs, p.Name) {
			return nil
		}
		there, codes := o.inputs[p], o.codes[p]
		if len(there) != len(values) || len(codes) != len(values) {
			return fmt.Errorf("%s: %d values here, %d and %d there", p, len(values), len(there), len(codes))
		}
		for at := 0; at < len(values); at += width {
			if err := r.compare(prompt, at/width, p, values[at:at+width], there[at:at+width], codes[at:at+width]); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return r, err
	}
	for i, v := range same {
		r.logit = max(r.logit, math.Abs(float64(v)-float64(o.logits[i])))
	}
	if !(r.logit <= logitNoise) {
		return r, fmt.Errorf("prompt %d: with the same int8 codes in all layers the logits are %g apart", prompt, r.logit)
	}
	return r, nil
}

// compare compares a row of one input with the other engine's, whose codes it then leads to.
func (r *traced) compare(prompt, pos int, p walk.Point, here, there []float32, codes []int8) error {
	own := make([]int8, len(here))
	sa, sb := quantkern.QuantizeRow(own, here), quantkern.QuantizeRow(make([]int8, len(there)), there)
	for i, code := range codes {
		x, y := float64(here[i]*sa), float64(there[i]*sb)
		r.code = max(r.code, math.Abs(x-y))
		if !(math.Abs(x-y) <= codeNoise) {
			return fmt.Errorf("prompt %d, position %d, %s, element %d: %g here and %g there (in codes) is no rounding", prompt, pos, p, i, x, y)
		}
		if own[i] == code {
			continue
		}
		middle := math.Min(float64(own[i]), float64(code)) + 0.5
		if d := int(own[i]) - int(code); d*d != 1 || math.Abs(x-middle) > codeNoise || math.Abs(y-middle) > codeNoise {
			return fmt.Errorf("prompt %d, position %d, %s, element %d: %g became %d here and %g became %d there", prompt, pos, p, i, x, own[i], y, code)
		}
		r.furthest = max(r.furthest, math.Abs(x-middle), math.Abs(y-middle))
		r.flips = append(r.flips, flip{prompt, pos, p.String(), i, x, y})
		here[i] = float32(code) / sa
	}
	return nil
}

func likeliest(row []float32) int32 {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return int32(best)
}

// listen walks and keeps what another engine would give: its own values, each moved by
// noise of a part of itself.
func listen(t *testing.T, m *graph.Model, ids []int32, noise float64) *other {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	o := &other{map[walk.Point][]float32{}, map[walk.Point][]int8{}, nil}
	var err error
	o.logits, err = walk.Run(t.Context(), m, ids, walk.Options{KV: "f32", Visit: func(p walk.Point, values []float32, width int) error {
		if slices.Contains(inputs, p.Name) {
			for i := range values {
				values[i] *= float32(1 + noise*(2*rng.Float64()-1))
			}
			o.inputs[p] = slices.Clone(values)
			codes := make([]int8, len(values))
			for at := 0; at < len(values); at += width {
				quantkern.QuantizeRow(codes[at:at+width], values[at:at+width])
			}
			o.codes[p] = codes
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestFlipsAreFound: an engine with the same codes has none, one with float noise has some
// and nothing but them, and a value that is another is no flip.
func TestFlipsAreFound(t *testing.T) {
	_, m := open(t, "")
	ids := tokens(40, m.Vocab)
	r, err := trace(t, m, 0, ids, listen(t, m, ids, 0))
	if err != nil || len(r.flips) != 0 || r.logit != 0 || r.own != 0 {
		t.Fatalf("%+v, %v: want the very same", r, err)
	}
	o := listen(t, m, ids, 1e-6)
	if r, err = trace(t, m, 0, ids, o); err != nil || len(r.flips) == 0 || r.own == 0 {
		t.Fatalf("%d flips, %v: want some", len(r.flips), err)
	}
	at := walk.Point{Name: walk.FFNSub, Layer: 3}
	o.codes[at][1000]++
	if _, err := trace(t, m, 0, ids, o); err == nil {
		t.Error("a code that is another was taken for a rounding")
	}
	o.codes[at][1000]--
	o.inputs[at][1000] += 0.05
	if _, err := trace(t, m, 0, ids, o); err == nil {
		t.Error("a value that is another was taken for a rounding")
	}
	o = listen(t, m, ids, 0)
	for i := range o.logits {
		o.logits[i] *= 1.001
	}
	if _, err := trace(t, m, 0, ids, o); err == nil {
		t.Error("logits that are others were taken for a rounding")
	}
}

// TestFlipsAgainstPyTorch traces every difference from the trainer's exact forward pass on
// prompts and its greedy answers: how many is TRITFLOW_FLIPS, 5 by default and 100 at most.
// TRITFLOW_TORCH is a Python with the packages of gguf/builtin/train/requirements.txt.
func TestFlipsAgainstPyTorch(t *testing.T) {
	python := os.Getenv("TRITFLOW_TORCH")
	if python == "" {
		t.Skip("no PyTorch: set TRITFLOW_TORCH to a Python with the packages of gguf/builtin/train/requirements.txt")
	}
	count := cmp.Or(os.Getenv("TRITFLOW_FLIPS"), "5")
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), python, "-m", "tritrain", "inputs", "--out", folder, "--prompts", count)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(root, "gguf/builtin/train"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var items []struct {
		IDs    []int32
		Answer int
	}
	raw, err := os.ReadFile(filepath.Join(folder, "items.json"))
	if err == nil {
		err = json.Unmarshal(raw, &items)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := strconv.Atoi(count); err != nil || len(items) != n {
		t.Fatalf("%d prompts, want %s", len(items), count)
	}
	_, m := open(t, "")
	var all []flip
	equal, tokens, departed, itself, noise, furthest, logits, own := 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0
	for i, item := range items {
		o, err := readOther(filepath.Join(folder, fmt.Sprintf("%03d.bin", i)), m, len(item.IDs))
		if err != nil {
			t.Fatal(err)
		}
		r, err := trace(t, m, i, item.IDs, o)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(r.flips) == 0 {
			equal++
			if r.own > logitNoise {
				t.Errorf("prompt %d: no flip, but the logits are %g apart", i, r.own)
			}
		}
		for pos := item.Answer - 1; pos < len(item.IDs); pos++ {
			tokens++
			there := likeliest(o.logits[pos*m.Vocab:][:m.Vocab])
			if pos+1 < len(item.IDs) && there != item.IDs[pos+1] {
				itself++
				t.Logf("prompt %d, position %d: PyTorch, which answered %d, now prefers %d; tritflow %d", i, pos, item.IDs[pos+1], there, r.names[pos])
			}
			if r.names[pos] != there {
				departed++
				t.Logf("prompt %d departs at position %d", i, pos)
				if len(r.flips) == 0 {
					t.Errorf("prompt %d: another token without a flip", i)
				}
			}
		}
		all = append(all, r.flips...)
		noise, furthest, logits, own = max(noise, r.code), max(furthest, r.furthest), max(logits, r.logit), own+r.own/float64(len(items))
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("TRITFLOW_FLIPS_JSON"); path != "" {
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d prompts, %d of them without a flip; %d flips, the furthest %.2g of a code from a middle; values at most %.2g of a code apart",
		len(items), equal, len(all), furthest, noise)
	t.Logf("logits on average %.2g apart, after the other's codes at most %.2g; %d of %d likeliest tokens differ, %d from PyTorch's earlier answers in both", own, logits, departed, tokens, itself)
}

// readOther reads what `python -m tritrain inputs` writes.
func readOther(path string, m *graph.Model, n int) (*other, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	next := func(width int) ([]float32, error) {
		values := make([]float32, n*width)
		if len(raw) < 4*len(values) {
			return nil, fmt.Errorf("%s: %d bytes are left, %d are needed", path, len(raw), 4*len(values))
		}
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		raw = raw[4*len(values):]
		return values, nil
	}
	o := &other{map[walk.Point][]float32{}, map[walk.Point][]int8{}, nil}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		for j, width := range []int{b.Hidden, b.Heads * b.ValueDim, b.Hidden, b.FFN} {
			p := walk.Point{Name: inputs[j], Layer: i}
			if o.inputs[p], err = next(width); err != nil {
				return nil, err
			}
			codes := make([]int8, n*width)
			if len(raw) < len(codes) {
				return nil, fmt.Errorf("%s: the codes of %s are not there", path, p)
			}
			for i := range codes {
				codes[i] = int8(raw[i])
			}
			o.codes[p], raw = codes, raw[len(codes):]
		}
	}
	if o.logits, err = next(m.Vocab); err == nil && len(raw) > 0 {
		err = fmt.Errorf("%s: %d bytes too many", path, len(raw))
	}
	return o, err
}
