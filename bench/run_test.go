package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"tritflow/quantkern"
	"tritflow/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestProbes: positive, finite figures for every number of threads on every tier.
func TestProbes(t *testing.T) {
	for _, tier := range quantkern.Tiers() {
		restore, err := quantkern.UseTier(tier)
		if err != nil {
			t.Fatal(err)
		}
		read, ops, err := probe(t.Context(), 2, 4*readPiece, time.Millisecond)
		restore()
		if err != nil || len(read) != 2 || len(ops) != 2 {
			t.Fatalf("%s: %v GB/s, %v TOPS, %v", tier, read, ops, err)
		}
		for _, v := range append(read, ops...) {
			if !(v > 0) || math.IsInf(v, 0) {
				t.Errorf("%s: %v GB/s, %v TOPS", tier, read, ops)
			}
		}
	}
}

func TestProbeIsInterrupted(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, _, err := probe(ctx, 1, readPiece, time.Hour); !errors.Is(err, why) {
		t.Errorf("error %v, want the cause", err)
	}
}

func quick(only ...string) Options {
	return Options{Only: only, Time: 20 * time.Millisecond, probe: 2 * readPiece}
}

func TestRun(t *testing.T) {
	steps := 0
	opt := quick("decode", "prefill", "batch", "load", "kernels")
	opt.Step = func(done, total int) {
		if steps++; done != steps || done > total {
			t.Errorf("step %d of %d after %d", done, total, steps-1)
		}
	}
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, x := range r.Results {
		rows[x.Name]++
		if !(x.TokS.Min > 0 && x.TokS.Min <= x.TokS.Median && x.TokS.Median <= x.TokS.Max) {
			t.Errorf("%+v", x)
		}
		if !(x.Limit > 0) || x.Fraction != Figure(x.TokS.Median/float64(x.Limit)) {
			t.Errorf("%s: limit %v, fraction %v", x.Name, x.Limit, x.Fraction)
		}
	}
	// The built-in model has a context of 512.
	if want := 1 + len(fewerThreads(r.Machine.Cores)); rows["decode"] != want {
		t.Errorf("%d rows of decode, want %d", rows["decode"], want)
	}
	if rows["prefill"] != 2 || rows["batch"] != 4 || len(r.Skipped) != 3 {
		t.Errorf("rows %v, skipped %v", rows, r.Skipped)
	}
	if len(r.Kernels) != 2*len(kernelRows) || !(r.LoadMS > 0) || r.LoadContext < 2 {
		t.Errorf("%d kernels, load %v ms, %d positions", len(r.Kernels), r.LoadMS, r.LoadContext)
	}
	for _, k := range r.Kernels {
		if !(k.GBps > 0 && k.GOPS > 0) {
			t.Errorf("%+v", k)
		}
	}
	checkTexts(t, r)
}

// However fast a device is, it is measured near the context that was asked for: after so many tokens the answer begins again.
func TestDecodeStaysNearItsContext(t *testing.T) {
	e, err := stages.Open(t.Context(), "../graph/testdata/tiny-i2_s-seed1.gguf", stages.Options{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Ctx() < 4*answer {
		t.Fatalf("a context of %d tells nothing", e.Ctx())
	}
	const length = 100
	tokS, position, err := decode(t.Context(), e, 2, length, 300*time.Millisecond)
	if err != nil || len(tokS) == 0 || position < length || position > length+answer/2+warmTokens {
		t.Errorf("%d speeds at position %v, error %v", len(tokS), position, err)
	}
}

// checkTexts looks at the forms in which a report is told.
func checkTexts(t *testing.T, r *Report) {
	t.Helper()
	var table, svg bytes.Buffer
	if err := errors.Join(r.WriteTable(&table), r.WriteSVG(&svg)); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(table.String(), "\n"); lines < len(r.Results)+len(r.Kernels)+len(r.Skipped) {
		t.Errorf("a table of %d lines:\n%s", lines, table.String())
	}
	if strings.Contains(svg.String(), "NaN") || strings.Contains(svg.String(), "Inf") {
		t.Errorf("not drawable:\n%s", svg.String())
	}
	circles := 0
	for d := xml.NewDecoder(&svg); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "circle" {
			circles++
		}
	}
	if legend := len(pointColours); circles != len(r.Results)+legend {
		t.Errorf("%d points for %d results and %d names", circles, len(r.Results), legend)
	}
}

func TestOnlyWhatWasChosen(t *testing.T) {
	opt := quick("load")
	opt.Engine.Devices = "cpu:1,cpu:1"
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"results":[]`) || strings.Contains(string(text), "kernels") {
		t.Errorf("%s", text)
	}
	if err := (&Report{}).WriteSVG(io.Discard); err == nil {
		t.Error("a picture of nothing")
	}
}

// TestBatches: the sizes and prompts that were asked for.
func TestBatches(t *testing.T) {
	opt := quick("batch")
	opt.Batches, opt.BatchContext = []int{3, 1}, 9
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range opt.Batches {
		if len(r.Results) != 2 || r.Results[i].N != n || r.Results[i].Context != 9 {
			t.Fatalf("results %+v", r.Results)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	if _, err := Run(t.Context(), quick("speed")); !isA[*KindError](err) {
		t.Errorf("error %v, want a KindError", err)
	}
	opt := quick("load")
	opt.Model = "no such file"
	if _, err := Run(t.Context(), opt); !isA[*OpenError](err) {
		t.Errorf("error %v, want an OpenError", err)
	}
	opt = quick("load")
	opt.Engine = stages.Options{Devices: "abacus"}
	if _, err := Run(t.Context(), opt); !isA[*OpenError](err) {
		t.Errorf("error %v, want an OpenError", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, quick("decode")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func TestFewerThreads(t *testing.T) {
	for all, want := range map[int]int{1: 0, 2: 1, 4: 3, 8: 4, 64: 7, 96: 8} {
		got := fewerThreads(all)
		if len(got) != want {
			t.Errorf("of %d: %v", all, got)
		}
		for _, n := range got {
			if n >= all {
				t.Errorf("of %d: %v", all, got)
			}
		}
	}
}
