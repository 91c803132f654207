package device_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/device"
	"tritflow/graph"
)

func TestParseList(t *testing.T) {
	for list, want := range map[string][]device.Spec{
		"":               {{Text: "cpu", Kind: "cpu"}},
		"auto":           {{Text: "cpu", Kind: "cpu"}},
		"cpu:4":          {{Text: "cpu:4", Kind: "cpu", Arg: "4"}},
		"cpu:1, cuda:0 ": {{Text: "cpu:1", Kind: "cpu", Arg: "1"}, {Text: "cuda:0", Kind: "cuda", Arg: "0"}},
		"grpc:host:99":   {{Text: "grpc:host:99", Kind: "grpc", Arg: "host:99"}},
	} {
		got, err := device.ParseList(list)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("ParseList(%q): error %v\n%s", list, err, diff)
		}
	}
	for _, list := range []string{",", "cpu,", " ,cpu", ":3"} {
		if _, err := device.ParseList(list); !isSpecError(err, "") {
			t.Errorf("ParseList(%q): error %v", list, err)
		}
	}
}

func isSpecError(err error, spec string) bool {
	e, ok := errors.AsType[*device.SpecError](err)
	return ok && e.Reason != "" && (spec == "" || e.Spec == spec)
}

// plain is a device that counts how often it is closed.
type plain struct {
	name   string
	closed int
	err    error
	ledger device.Ledger
}

func (p *plain) Info() device.Info      { return device.Info{Name: p.name} }
func (p *plain) Ledger() *device.Ledger { return &p.ledger }
func (p *plain) Close() error           { p.closed++; return p.err }

func (p *plain) LoadEmbed(context.Context, *graph.Embed) (device.Embed, error) {
	return nil, errors.ErrUnsupported
}

func (p *plain) LoadBlocks(context.Context, []graph.Block, device.KV) (device.Blocks, error) {
	return nil, errors.ErrUnsupported
}

func (p *plain) LoadHead(context.Context, *graph.Head) (device.Head, error) {
	return nil, errors.ErrUnsupported
}

func (p *plain) Import(_ context.Context, x device.Hidden) (device.Hidden, error) { return x, nil }

func TestOpenList(t *testing.T) {
	var opened []*plain
	closeErr := error(nil)
	device.Register("plain", func(s device.Spec, index int) (device.Device, error) {
		if s.Arg == "broken" {
			return nil, fmt.Errorf("no %s here", s.Text)
		}
		opened = append(opened, &plain{name: fmt.Sprintf("plain:%d", index), err: closeErr})
		return opened[len(opened)-1], nil
	})
	if !slices.Contains(device.Kinds(), "plain") {
		t.Fatalf("kinds: %v", device.Kinds())
	}
	devs, err := device.OpenList("plain,plain:x")
	if err != nil || len(devs) != 2 || devs[0].Info().Name != "plain:0" || devs[1].Info().Name != "plain:1" {
		t.Fatalf("opened %v, error %v", devs, err)
	}

	opened = nil
	if _, err := device.OpenList("plain,plain,nothing:7"); !isSpecError(err, "nothing:7") || !strings.Contains(err.Error(), "plain") {
		t.Errorf("unknown kind: error %v", err)
	}
	if len(opened) != 2 || opened[0].closed != 1 || opened[1].closed != 1 {
		t.Errorf("devices opened before the failure were not closed once: %v", opened)
	}

	closeErr = errors.New("stuck")
	if _, err := device.OpenList("plain,plain:broken"); err == nil || !strings.Contains(err.Error(), "no plain:broken here") || !strings.Contains(err.Error(), "stuck") {
		t.Errorf("error %v names not both failures", err)
	}
}

func TestAutoAndSurvey(t *testing.T) {
	cause := errors.New("no driver")
	device.Register("fast", func(s device.Spec, _ int) (device.Device, error) {
		if s.Arg == "0" {
			return nil, &device.LostError{Device: s.Text, Doing: "opening", Err: cause}
		}
		return &plain{name: s.Text}, nil
	})
	device.Register("cpu", func(s device.Spec, _ int) (device.Device, error) { return &plain{name: s.Text}, nil })
	var list []string
	var missing error
	device.RegisterFinder("fast", func() ([]string, error) { return list, missing })
	defer device.RegisterFinder("fast", func() ([]string, error) { return nil, nil })
	for _, c := range []struct {
		list    []string
		missing error
		want    []string
		open    string
	}{
		{nil, nil, []string{"cpu"}, "cpu"},
		{nil, cause, []string{"cpu"}, "cpu"},
		{[]string{"fast:1"}, nil, []string{"fast:1", "cpu"}, "fast:1"},
		{[]string{"fast:0"}, nil, []string{"fast:0", "cpu"}, "cpu"},
		{[]string{"fast:2", "fast:1"}, nil, []string{"fast:2", "fast:2,fast:1", "cpu"}, "fast:2"},
	} {
		list, missing = c.list, c.missing
		lists, why := device.Auto()
		if !slices.Equal(lists, c.want) || (c.missing != nil) != (len(why) == 1 && errors.Is(why[0], cause)) {
			t.Errorf("%v, %v: auto means %v, missing %v", c.list, c.missing, lists, why)
		}
		devs, err := device.OpenList("auto")
		if err != nil || devs[0].Info().Name != c.open {
			t.Errorf("%v: opened %v, error %v", c.list, devs, err)
		}
	}

	device.RegisterSurveyor("fast", func(_ context.Context, measure bool) ([]device.Found, error) {
		return []device.Found{{Name: fmt.Sprint(measure)}}, cause
	})
	found, problems := device.Survey(t.Context(), true)
	if len(found) != 1 || found[0].Name != "true" || !errors.Is(problems["fast"], cause) || len(problems) != 1 {
		t.Errorf("found %v, problems %v", found, problems)
	}
}

func TestLedger(t *testing.T) {
	var l device.Ledger
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l.Add(device.KVCache, 5)
				l.Add(device.Mapped, 7)
				l.Add(device.Mapped, -7)
			}
		})
	}
	wg.Wait()
	l.Add(device.Weights, 30)
	l.Add(device.Weights, -10)
	got := l.Snapshot()
	want := map[string]int64{"mapped": 0, "weights": 20, "kv": 4000, "activations": 0}
	if diff := cmp.Diff(want, got.Now); diff != "" {
		t.Errorf("now (-want +got):\n%s", diff)
	}
	if got.Peak["weights"] != 30 || got.Peak["kv"] != 4000 || got.Peak["activations"] != 0 ||
		got.Peak["mapped"] < 7 || got.Peak["mapped"] > 8*7 {
		t.Errorf("peak: %v", got.Peak)
	}
	text, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(text), `"now":{"activations":0,"kv":4000`) {
		t.Errorf("JSON %s, error %v", text, err)
	}
}

func TestFailKeepsTheFirst(t *testing.T) {
	b := &device.Batch{Seqs: make([]device.Seq, 2)}
	first := errors.New("first")
	b.Fail(1, first)
	b.Fail(1, errors.New("second"))
	if b.Seqs[0].Err != nil || b.Seqs[1].Err != first {
		t.Errorf("errors %v, %v", b.Seqs[0].Err, b.Seqs[1].Err)
	}
}

func TestCheckPages(t *testing.T) {
	kv := device.KV{PageSize: 4, Pages: 3}
	for _, c := range []struct {
		pages     []int32
		first, n  int32
		wantError bool
	}{
		{[]int32{2}, 0, 4, false},
		{[]int32{2}, 0, 5, true},
		{[]int32{2, 0}, 3, 5, false},
		{[]int32{2, 3}, 0, 4, false}, // the second page is not needed
		{[]int32{2, 3}, 4, 1, true},
		{[]int32{-1}, 0, 1, true},
		{nil, 0, 0, false},
	} {
		b := &device.Batch{Seqs: []device.Seq{{ID: 9, N: int(c.n), Pages: c.pages}}}
		for i := range c.n {
			b.Rows = append(b.Rows, device.Row{Pos: c.first + i})
		}
		err := b.CheckPages(0, "cpu:0", kv)
		e, ok := errors.AsType[*device.PageError](err)
		if (err != nil) != c.wantError || err != nil && (!ok || e.Sequence != 9 || e.Pos != c.first+c.n-1) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		text []string // that people need to see
	}{
		{&device.TensorError{Device: "cpu:0", Tensor: "blk.0.attn_q.weight", Type: "IQ9", Reason: "convert it"}, []string{"cpu:0", "blk.0.attn_q.weight", "IQ9", "convert it"}},
		{&device.KVError{Device: "cpu:0", Type: "q9", Reason: "use f16", Err: cause}, []string{"cpu:0", "q9", "use f16"}},
		{&device.NumericError{Stage: "blk.3", Device: "cpu:1", Sequence: 12, Pos: 7, Index: 99, Kind: "NaN"}, []string{"blk.3", "cpu:1", "12", "7", "99", "NaN"}},
		{&device.TokenError{Sequence: 12, Pos: 7, Token: 600, Vocab: 512}, []string{"600", "511", "12", "7"}},
		{&device.PageError{Device: "cpu:0", Sequence: 3, Pos: 8, Reason: "none"}, []string{"cpu:0", "3", "8", "none"}},
		{&device.BatchError{Reason: "odd"}, []string{"odd"}},
		{&device.PanicError{Device: "cpu:0", Value: cause, Stack: []byte("frame")}, []string{"cpu:0", "cause", "frame"}},
		{&device.SpecError{Spec: "cpu:x", Reason: "a number"}, []string{"cpu:x", "a number"}},
		{&device.UnavailableError{Device: "cuda:0", Reason: "no driver"}, []string{"cuda:0", "no driver"}},
		{&device.MemoryError{Device: "cuda:0", What: "KV pages", Need: 2 << 30, Free: 1 << 30}, []string{"cuda:0", "KV pages", "2.0 GiB", "1.0 GiB"}},
		{&device.LostError{Device: "cuda:0", Doing: "blocks 0-3", Err: cause}, []string{"cuda:0", "blocks 0-3", "cause"}},
		{device.ErrClosed, []string{"closed"}},
	} {
		for _, want := range append(c.text, "device: ") {
			if !strings.Contains(c.err.Error(), want) {
				t.Errorf("%T does not say %q: %v", c.err, want, c.err)
			}
		}
	}
	for _, err := range []error{&device.UnavailableError{Err: cause}, &device.MemoryError{Err: cause}, &device.LostError{Err: cause}} {
		if !errors.Is(err, cause) || !device.Elsewhere(fmt.Errorf("loading: %w", err)) {
			t.Errorf("%T: its cause is not unwrapped, or other devices would not do", err)
		}
	}
	if device.Elsewhere(cause) {
		t.Error("other devices would do for any error")
	}
	if !errors.Is(&device.KVError{Err: cause}, cause) || !errors.Is(&device.PanicError{Value: cause}, cause) {
		t.Error("causes are not unwrapped")
	}
	if errors.Unwrap(&device.PanicError{Value: "text"}) != nil {
		t.Error("a panic with a text has no cause")
	}
}
