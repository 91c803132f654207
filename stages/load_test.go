package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/graph"
	"tritflow/stages/trace"
)

// TestLoadFailureClosesEverything fails at every part in turn.
func TestLoadFailureClosesEverything(t *testing.T) {
	for at := 1; at <= 5; at++ { // embed, 3 blocks, head
		r := &rig{blocks: 3, failLoad: at}
		l := r.loader(2, false, limits{pages: 4, pageSize: 4})
		if _, err := l.load(context.Background(), nil); !errors.Is(err, errFake) || !strings.Contains(err.Error(), "loading") {
			t.Errorf("part %d: %v", at, err)
		}
		if want := int64(2 + at - 1); r.open.Load() != want {
			t.Errorf("part %d: %d are open, want %d", at, r.open.Load(), want)
		}
		if err := r.held.Close(); err != nil || r.open.Load() != 0 {
			t.Errorf("part %d: %d are left open, %v", at, r.open.Load(), err)
		}
	}
}

func TestLoadIsCancellable(t *testing.T) {
	r := &rig{blocks: 3}
	l := r.loader(1, false, limits{pages: 4, pageSize: 4})
	ctx, cancel := context.WithCancel(context.Background())
	_, err := l.load(ctx, func(done, total int) {
		if total != 5 {
			t.Errorf("%d parts", total)
		}
		if done == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || r.loads != 2 {
		t.Errorf("%v after %d parts", err, r.loads)
	}
	if err := r.held.Close(); err != nil {
		t.Error(err)
	}
}

// TestFusedBlocksAreOneStage: consecutive blocks of a device that fuses them.
func TestFusedBlocksAreOneStage(t *testing.T) {
	for _, c := range []struct {
		fuse bool
		want []string
	}{
		{false, []string{"embed", "block 0", "block 1", "block 2", "block 3", "head", "sample"}},
		{true, []string{"embed", "blocks 0-1", "blocks 2-3", "head", "sample"}},
	} {
		r := newRig(t, rigOptions{devices: 2, blocks: 4, fuse: c.fuse})
		var names []string
		for _, s := range r.pipe.stats().Stages {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("fuse %v: %v", c.fuse, names)
		}
		r.finish(t)
	}
}

func TestOpenErrors(t *testing.T) {
	is := func(target any) func(error) bool {
		return func(err error) bool { return errors.As(err, target) }
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		path string
		opt  Options
		ok   func(error) bool
	}{
		{"no file", context.Background(), filepath.Join(t.TempDir(), "none.gguf"), Options{}, func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{"no such device", context.Background(), "", Options{Devices: "abacus"}, is(new(*device.SpecError))},
		{"kv type", context.Background(), "", Options{KV: "q8"}, is(new(*OptionError))},
		{"screen", context.Background(), "", Options{Screen: "7"}, is(new(*OptionError))},
		{"context too large", context.Background(), "", Options{Ctx: 1 << 20}, is(new(*OptionError))},
		{"too many pages", context.Background(), "", Options{MaxSeqs: 1 << 40}, is(new(*OptionError))},
		{"more than fits", context.Background(), "", Options{MaxSeqs: 1 << 22}, is(new(*graph.MemoryError))},
		{"negative chunk", context.Background(), "", Options{Chunk: -1}, is(new(*OptionError))},
		{"split", context.Background(), "", Options{Devices: "cpu:1,cpu:1", Split: []int{1, 1}}, is(new(*graph.SplitError))},
		{"cancelled", cancelled, "", Options{}, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Open(c.ctx, c.path, c.opt)
			if err == nil {
				_ = e.Close()
			}
			if err == nil || !c.ok(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestEngine looks at what an engine tells of itself, and at its trace.
func TestEngine(t *testing.T) {
	f, err := builtin.Open()
	if err != nil {
		t.Fatal(err)
	}
	rec := trace.New()
	var parts []int
	e, err := New(context.Background(), f, Options{
		Devices: "cpu:1,cpu:1", Trace: rec, Progress: func(done, total int) { parts = append(parts, done, total) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Submit(context.Background(), Request{Prompt: "The capital of France is", MaxTokens: 4})
	if err != nil {
		t.Fatal(err)
	}
	res := s.Result()
	if err := e.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close after Shutdown: %v", err)
	}
	if _, err := e.Submit(context.Background(), Request{Prompt: "x", MaxTokens: 1}); !errors.Is(err, ErrShutdown) {
		t.Errorf("a request after the end: %v", err)
	}
	if !slices.Equal(parts, []int{1, 8, 2, 8, 3, 8, 4, 8, 5, 8, 6, 8, 7, 8, 8, 8}) {
		t.Errorf("progress: %v", parts)
	}
	if e.Ctx() != min(e.Model().Context, 4096) || len(e.Devices()) != 2 || len(e.Plan().Stages) != 8 || e.LoadTime() <= 0 || e.Vocab().Size() != e.Model().Vocab {
		t.Errorf("ctx %d, %d devices, %d stages, %v", e.Ctx(), len(e.Devices()), len(e.Plan().Stages), e.LoadTime())
	}
	stats := e.Stats()
	if len(stats.Stages) != 9 || stats.Steps == 0 || stats.PagesTotal != 8*ceilDiv(e.Ctx(), pageSize) {
		t.Errorf("%+v", stats)
	}
	for _, g := range stats.Stages {
		if g.Busy <= 0 || g.Steps != stats.Steps || g.Rows == 0 || g.QueueCap != channelCap || g.QueueMax > g.QueueCap {
			t.Errorf("%+v", g)
		}
	}
	checkTrace(t, rec, s.ID(), stats, res.PromptTokens+len(res.Tokens)-1)
}

// checkTrace: every stage worked on every step, and each saw all rows.
func checkTrace(t *testing.T, rec *trace.Recorder, request uint64, stats Stats, rows int) {
	t.Helper()
	var buf bytes.Buffer
	if _, err := rec.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		TraceEvents []struct {
			Ph   string
			TID  int
			Dur  float64
			Args struct {
				Step     uint64
				Device   string
				Requests []uint64
				Rows     int
			}
		}
	}
	if err := json.Unmarshal(buf.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	seen := make([]int, len(stats.Stages))
	for _, ev := range parsed.TraceEvents {
		if ev.Ph != "X" {
			continue
		}
		seen[ev.TID] += ev.Args.Rows
		if ev.Dur < 0 || ev.Args.Step == 0 || ev.Args.Device != stats.Stages[ev.TID].Device || !slices.Equal(ev.Args.Requests, []uint64{request}) {
			t.Errorf("%+v", ev)
		}
	}
	for i, n := range seen[:len(seen)-2] { // head and sample rest where nothing is asked
		if n != rows {
			t.Errorf("stage %s worked on %d rows, want %d", stats.Stages[i].Name, n, rows)
		}
	}
}

// TestFileWithoutTensors: nothing to run is an error.
func TestFileWithoutTensors(t *testing.T) {
	var buf bytes.Buffer
	w := gguf.NewWriter(&buf)
	if err := w.Set("general.architecture", "bitnet-b1.58"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse("empty", buf.Bytes(), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(context.Background(), f, Options{}); err == nil {
		t.Error("a file without a vocabulary was opened")
	}
}
