package cpu

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tritflow/device"
	"tritflow/device/devtest"
	"tritflow/graph"
	"tritflow/quantkern"
)

// openScreened opens a device whose heads are screened from the start.
func openScreened(t testing.TB, arg, mode string) *cpuDevice {
	t.Helper()
	d := open(t, arg)
	if err := d.SetScreening(mode); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestScreenedConformance: the whole suite on a device that screens all it can.
func TestScreenedConformance(t *testing.T) {
	devtest.Run(t, func(t testing.TB) device.Device { return openScreened(t, "2", device.ScreenNow) })
}

// testHead is a head alone: norm weights of one, random matrix rows.
func testHead(t testing.TB, typ string, rows, cols int, value func(r *rand.Rand, row, col int) float32) *graph.Head {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = value(r, i/cols, i%cols)
	}
	ones := slices.Repeat([]float32{1}, cols)
	return &graph.Head{
		Norm:  graph.Norm{Weight: tensor(t, "F32", ones, 1, cols), Eps: 1e-5},
		Out:   graph.Linear{Weight: tensor(t, typ, w, rows, cols), Out: rows, In: cols},
		Vocab: rows,
	}
}

// answers runs a head over rows of activations, one sequence each, and returns
// the candidates.
func answers(t testing.TB, d *cpuDevice, p device.Head, x [][]float32, outs []device.Output) (*device.Batch, []device.Scores) {
	t.Helper()
	chunks := make([]devtest.Chunk, len(x))
	for i := range chunks {
		chunks[i] = devtest.Chunk{ID: uint64(i), Tokens: []int32{0}}
	}
	b := devtest.NewBatch(device.Output{}, chunks...)
	for i := range outs {
		b.Outputs[i] = outs[i]
		b.Outputs[i].Row = int32(i)
	}
	h := newHidden(&d.pool, len(x), len(x[0]))
	for i := range x {
		copy(h.data[i*len(x[0]):], x[i])
	}
	l, err := p.Forward(context.Background(), b, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	scores := make([]device.Scores, len(outs))
	for i := range scores {
		sc, err := l.Row(i)
		if err == nil {
			scores[i] = device.Scores{Full: slices.Clone(sc.Full), Top: slices.Clone(sc.Top)}
		}
	}
	return b, scores
}

func activationRows(n, cols int) [][]float32 {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	x := make([][]float32, n)
	for i := range x {
		x[i] = make([]float32, cols)
		for j := range x[i] {
			x[i][j] = float32(r.NormFloat64())
		}
	}
	return x
}

func top(k ...int) []device.Output {
	outs := make([]device.Output, len(k))
	for i := range k {
		outs[i].TopK = k[i]
	}
	return outs
}

// TestScreenedEqualsFull: candidates and their logits have the bits of the full
// head, whatever the type, the number of outputs, workers and tier.
func TestScreenedEqualsFull(t *testing.T) {
	normal := func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64()) * 0.03 }
	twins := func(r *rand.Rand, row, col int) float32 {
		return float32(rand.New(rand.NewPCG(uint64(row/5), uint64(col))).NormFloat64()) * 0.03
	}
	for _, c := range []struct {
		name, typ  string
		rows, cols int
		value      func(r *rand.Rand, row, col int) float32
	}{
		{"normal", "F16", 3000, 256, normal},
		{"odd", "F16", 2999, 80, normal},
		{"five of each", "F16", 4000, 64, twins},
		{"blocks", "Q8_0", 3000, 96, normal},
		{"nibbles", "Q4_0", 3000, 256, normal},
		{"odd nibbles", "Q4_0", 2999, 128, normal},
		{"five of each, nibbles", "Q4_0", 4000, 384, twins},
		{"short nibbles", "Q4_0", 2000, 96, normal}, // a copy
		{"flat nibbles", "Q4_0", 2000, 128, func(*rand.Rand, int, int) float32 { return -0.5 }},
		{"all equal", "F16", 2000, 64, func(*rand.Rand, int, int) float32 { return 0.5 }},
		{"zero", "F32", 2000, 64, func(*rand.Rand, int, int) float32 { return 0 }},
	} {
		for _, tier := range quantkern.Tiers() {
			restore, err := quantkern.UseTier(tier)
			if err != nil {
				t.Fatal(err)
			}
			g := testHead(t, c.typ, c.rows, c.cols, c.value)
			for _, workers := range []string{"1", "3"} {
				for _, outs := range [][]device.Output{top(1), top(40), top(1, 40, 7, 1, 2, 62)} {
					x := activationRows(len(outs), c.cols)
					var want []device.Scores
					for _, bits := range []int{-1, 0, 6, 8} { // off, chosen, fixed
						mode := device.ScreenNow
						if bits < 0 {
							mode = device.ScreenOff
						}
						d := openScreened(t, workers, mode)
						d.screenBits = max(bits, 0)
						p, err := d.LoadHead(context.Background(), g)
						if err != nil {
							t.Fatal(err)
						}
						_, got := answers(t, d, p, x, outs)
						s := d.Screening()
						closeAll(t, d)
						if want == nil {
							want = got
							continue
						}
						for i := range want {
							if !slices.Equal(want[i].Top, got[i].Top) || got[i].Top == nil {
								t.Fatalf("%s on %s with %s workers: output %d of %d bits is %v, want %v", c.name, tier, workers, i, bits, got[i].Top, want[i].Top)
							}
						}
						if s.State != "ready" || s.Screened+s.Full != uint64(len(outs)) || s.Fallback != s.Full {
							t.Errorf("%s: counters %+v", c.name, s)
						}
						if flat := c.name == "all equal" || c.name == "flat nibbles" || c.name == "zero"; flat != (s.Screened == 0) {
							t.Errorf("%s: %d outputs were screened", c.name, s.Screened)
						}
					}
				}
			}
			restore()
		}
	}
}

// TestScreenedMixedBatch: outputs that need every logit, that fall back and
// that fail stand beside screened ones.
func TestScreenedMixedBatch(t *testing.T) {
	const rows, cols = 2500, 64
	g := testHead(t, "F16", rows, cols, func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64()) })
	d := openScreened(t, "2", device.ScreenNow)
	defer closeAll(t, d)
	p, err := d.LoadHead(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	x := activationRows(5, cols)
	_, want := answers(t, d, p, x, []device.Output{{TopK: 3, Full: true}, {TopK: 3, Full: true}, {TopK: 3, Full: true}, {TopK: 3, Full: true}, {TopK: 3, Full: true}})
	before := d.Screening()
	if before.Screened != 0 || before.Full != 5 || before.Fallback != 0 {
		t.Fatalf("counters %+v", before)
	}
	x[1] = make([]float32, cols) // no bounds: the full head answers
	x[3][5] = float32(math.NaN())
	b, got := answers(t, d, p, x, top(3, 3, 3, 3, 3))
	for _, i := range []int{0, 2, 4} {
		if !slices.Equal(want[i].Top, got[i].Top) {
			t.Errorf("output %d: %v, want %v", i, got[i].Top, want[i].Top)
		}
	}
	if zero := []device.Candidate{{ID: 0}, {ID: 1}, {ID: 2}}; !slices.Equal(got[1].Top, zero) {
		t.Errorf("activations of zero: %v", got[1].Top)
	}
	if e, ok := errors.AsType[*device.NumericError](b.Seqs[3].Err); !ok || e.Kind != "NaN" || e.Row != 3 {
		t.Errorf("NaN: error %v", b.Seqs[3].Err)
	}
	s := d.Screening()
	if s.Screened != 3 || s.Fallback != 2 || s.Full != 7 || s.Rescored < 9 {
		t.Errorf("counters %+v", s)
	}
	if _, full := answers(t, d, p, x[:1], []device.Output{{Full: true}}); len(full[0].Full) != rows {
		t.Errorf("%d logits, want all", len(full[0].Full))
	}
}

// TestScreeningRefused: a head with a value that is not finite keeps its
// errors, one with a scale its values.
func TestScreeningRefused(t *testing.T) {
	g := testHead(t, "F32", 300, 64, func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64()) })
	binary.LittleEndian.PutUint32(g.Out.Weight.Data[4*(200*64+3):], math.Float32bits(float32(math.Inf(1))))
	d := openScreened(t, "1", device.ScreenNow)
	defer closeAll(t, d)
	p, err := d.LoadHead(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Screening(); s.State != "failed" || s.Bytes != 0 {
		t.Errorf("state %+v", s)
	}
	b, _ := answers(t, d, p, activationRows(1, 64), top(1))
	if e, ok := errors.AsType[*device.NumericError](b.Seqs[0].Err); !ok || e.Index != 200 {
		t.Errorf("error %v", b.Seqs[0].Err)
	}
	g.Out.Scale = tensor(t, "F32", []float32{2}, 1, 1)
	if _, err := d.LoadHead(context.Background(), g); err != nil {
		t.Fatal(err)
	}
	if s := d.Screening(); s.State != "off" || s.Reason == "" {
		t.Errorf("state %+v", s)
	}
	if err := d.SetScreening("maybe"); err == nil {
		t.Error("an unknown mode is accepted")
	}
}

// TestScreeningDamagedNibbles: a scale that is not finite leaves a head of Q4_0 its
// errors, or its answers where the row's logit does not matter to them.
func TestScreeningDamagedNibbles(t *testing.T) {
	const rows, cols, row = 300, 256, 201
	for bits, kind := range map[uint16]string{0x7c00: "Inf", 0xfc00: "Inf", 0x7e00: "NaN"} {
		g := testHead(t, "Q4_0", rows, cols, func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64()) })
		binary.LittleEndian.PutUint16(g.Out.Weight.Data[row*cols/32*18+18:], bits)
		clear(g.Out.Weight.Data[row*cols/32*18+20:][:16]) // all of them -8 × scale
		d := openScreened(t, "2", device.ScreenNow)
		p, err := d.LoadHead(context.Background(), g)
		if err != nil {
			t.Fatal(err)
		}
		if s := d.Screening(); s.State != "failed" || s.Bytes != 0 || !strings.Contains(s.Reason, "row 201") {
			t.Errorf("state %+v", s)
		}
		x := activationRows(1, cols)
		for i := range x[0] {
			x[0][i] = 1
		}
		b, _ := answers(t, d, p, x, top(1))
		if e, ok := errors.AsType[*device.NumericError](b.Seqs[0].Err); !ok || e.Index != row || e.Kind != kind {
			t.Errorf("scale %#x: error %v, want %s at %d", bits, b.Seqs[0].Err, kind, row)
		}
		closeAll(t, d)
	}
}

// TestScreeningInBackground: the copy is made after the first output that could
// use it, counted, and given back; closing while it is made waits for it.
func TestScreeningInBackground(t *testing.T) {
	if tier, _ := quantkern.Tier(); tier == "generic" {
		t.Skip("without vector kernels no copy is made in the background")
	}
	t.Run("F16", func(t *testing.T) { testInBackground(t, "F16", quantkern.ScreenBytes(8192, 512), 0) })
	t.Run("Q4_0", func(t *testing.T) {
		codec, err := quantkern.Lookup("Q4_0")
		if err != nil {
			t.Fatal(err)
		}
		if !quantkern.ScreensInPlace(codec, 512) {
			t.Skip("no kernels for rows of Q4_0")
		}
		testInBackground(t, "Q4_0", quantkern.ScreenInPlaceBytes(8192), codec.Size(8192, 512))
	})
}

// testInBackground screens a head that takes held bytes of memory for that and
// of which inPlace bytes are read where they lie.
func testInBackground(t *testing.T, typ string, held, inPlace int) {
	const rows, cols = 8192, 512
	g := testHead(t, typ, rows, cols, func(_ *rand.Rand, row, col int) float32 { return float32((row*31+col*17)%1009)/512 - 1 })
	d := open(t, "2")
	weights := func() int64 { return d.Ledger().Snapshot().Now["weights"] }
	p, err := d.LoadHead(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	before := weights()
	if s := d.Screening(); s.State != "idle" || s.Bytes != 0 {
		t.Fatalf("before use: %+v", s)
	}
	x := activationRows(2, cols)
	_, _ = answers(t, d, p, x, []device.Output{{Full: true}, {TopK: 1}})
	if s := d.Screening(); s.State != "idle" {
		t.Errorf("outputs that need all logits: %+v", s)
	}
	_, want := answers(t, d, p, x, top(2, 2))
	for d.Screening().State == "building" {
		if _, got := answers(t, d, p, x, top(2, 2)); !slices.Equal(want[1].Top, got[1].Top) {
			t.Fatalf("%v while it is made, %v before", got[1].Top, want[1].Top)
		}
	}
	s := d.Screening()
	if s.State != "ready" || s.Bytes != int64(held+inPlace) || weights() != before+int64(held) {
		t.Errorf("after: %+v, %d bytes of weights, %d before", s, weights(), before)
	}
	if _, got := answers(t, d, p, x, top(2, 2)); !slices.Equal(want[0].Top, got[0].Top) {
		t.Errorf("%v from the copy, %v before", got[0].Top, want[0].Top)
	}
	if n := d.Screening().Screened; n < s.Screened+2 {
		t.Errorf("%d outputs were screened, %d before", n, s.Screened)
	}
	if err := p.Close(); err != nil || d.Screening().Bytes != 0 {
		t.Errorf("closed: %+v, error %v", d.Screening(), err)
	}
	p, err = d.LoadHead(context.Background(), g)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = answers(t, d, p, x, top(1, 1))
	closeAll(t, d) // while the builder works; goleak sees what stays
	if n := weights(); n != 0 {
		t.Errorf("%d bytes of weights after closing", n)
	}
}

// TestPace: the builder rests only while the device is in use, and not once it
// has been told to stop.
func TestPace(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p := pace{since: time.Now()}
	if err := p.rest(ctx, time.Hour, false); err != nil || p.worked != 0 {
		t.Errorf("an idle device: %v counted, error %v", p.worked, err)
	}
	p.since = time.Now().Add(-time.Hour) // it waited long enough
	if err := p.rest(ctx, time.Minute, true); err != nil || p.worked != time.Minute || p.burst != 0 {
		t.Errorf("after a wait: %+v, error %v", p, err)
	}
	cancel()
	if err := p.rest(ctx, time.Hour, true); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: error %v", err)
	}
}

func TestScreenVariable(t *testing.T) {
	for value, ok := range map[string]bool{"": true, "auto": true, "6": true, "8": true, "off": true, "4": false, "no": false} {
		t.Setenv(screenEnv, value)
		d, err := Open(device.Spec{Text: "cpu:1", Kind: "cpu", Arg: "1"}, 0)
		if (err == nil) != ok {
			t.Errorf("%q: error %v", value, err)
		}
		if err == nil {
			closeAll(t, d)
		} else if _, typed := errors.AsType[*device.SpecError](err); !typed {
			t.Errorf("%q: error %v", value, err)
		}
	}
}

// TestScreenedSteadyState: a screened step allocates no more than a full one.
func TestScreenedSteadyState(t *testing.T) {
	const most = 8
	d := openScreened(t, "3", device.ScreenNow)
	defer closeAll(t, d)
	parts := loadModel(t, devtest.OpenModel(t, devtest.Ternary), d)
	b := devtest.NewBatch(device.Output{TopK: 4}, prompt)
	b.Outputs = b.Outputs[len(b.Outputs)-1:]
	step := func() {
		l, err := devtest.Forward(context.Background(), parts, b)
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	}
	for range 10 {
		step()
	}
	if n := testing.AllocsPerRun(20, step); n > most {
		t.Errorf("%v allocations a step, at most %d are expected", n, most)
	}
	if d.Screening().Screened == 0 {
		t.Error("no output was screened")
	}
}

// TestScreeningShrunkenFile: a file that is cut short under the builder leaves
// the device without a copy, nothing else.
func TestScreeningShrunkenFile(t *testing.T) {
	path, _, m := shrinkable(t)
	d := openScreened(t, "1", device.ScreenOff)
	defer closeAll(t, d)
	p, err := d.LoadHead(context.Background(), &m.Head)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	s := newScreening(d, device.ScreenNow, p.(*head).out)
	if state, reason := s.status(); state != "failed" || !strings.Contains(reason, path) || s.ready.Load() != nil || d.Screening().Bytes != 0 {
		t.Errorf("state %s: %s", state, reason)
	}
}

// TestScreeningMustSave: a head whose type is as small as the copy gets none
// unless it is asked for.
func TestScreeningMustSave(t *testing.T) {
	const rows, cols = 20480, 256 // more than leastScreen
	for name, want := range map[string]string{"F16": "idle", "Q8_0": "off", "Q4_0": "off"} {
		codec, err := quantkern.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if quantkern.ScreensInPlace(codec, cols) {
			want = "idle" // without a copy
		}
		d := newDevice("cpu:0", "vector", device.ScreenAuto, 1)
		m := &matrix{codec: codec, data: make([]byte, codec.Size(rows, cols)), rows: rows, cols: cols}
		if state, reason := newScreening(d, device.ScreenAuto, &linear{matrix: m}).status(); state != want {
			t.Errorf("%s: %s (%s), want %s", name, state, reason, want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
