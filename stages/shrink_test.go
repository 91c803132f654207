//go:build unix

package stages

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"tritflow/gguf"
)

// largestPage is at least the page size of every system these tests run on: a
// file cut there loses what lies behind, and nothing before.
const largestPage = 64 << 10

func cut(t *testing.T, path string, at uint64) {
	t.Helper()
	if err := os.Truncate(path, int64(at)); err != nil {
		t.Fatal(err)
	}
}

func nextPage(at uint64) uint64 { return (at + largestPage - 1) / largestPage * largestPage }

// lost checks that err tells of a fault behind the cut, and of the tensor there.
func lost(t *testing.T, e *Engine, path string, at uint64, err error) {
	t.Helper()
	var fault *gguf.FaultError
	if !errors.As(err, &fault) {
		t.Errorf("got %v, want a *gguf.FaultError", err)
		return
	}
	for _, x := range tensorsOf(e) {
		if x.Name == fault.Tensor {
			if end := x.Offset + uint64(len(x.Data)); fault.Offset < at || fault.Offset < x.Offset || fault.Offset >= end || fault.File != path {
				t.Errorf("%v; the file was cut at %d, the tensor lies at %d to %d", err, at, x.Offset, end)
			}
			return
		}
	}
	t.Errorf("%v names no tensor of the model", err)
}

// tensorsOf lists tensors of the model that a file can be cut in.
func tensorsOf(e *Engine) []*gguf.Tensor {
	m := e.Model()
	all := []*gguf.Tensor{m.Embed.Weight, m.Head.Out.Weight}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		all = append(all, b.Q.Weight, b.K.Weight, b.V.Weight, b.O.Weight, b.Gate.Weight, b.Up.Weight, b.Down.Weight)
	}
	return all
}

// TestFileShrinksUnderRequests: three requests are under way when the second
// half of the file goes away. Each ends with the fault, a later one too, and
// the engine can be closed as always.
func TestFileShrinksUnderRequests(t *testing.T) {
	for _, c := range []struct{ name, source, devices string }{
		{"float", tinyLlama, "cpu:2"},
		{"ternary", tinyTernary, "cpu:1"},
		{"two devices", tinyTernary, "cpu:1,cpu:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := copied(t, c.source, "")
			e, err := Open(context.Background(), path, Options{Devices: c.devices})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			const most = 200 // tokens, far more than a stream holds unread
			var streams []*Stream
			for i := range 3 {
				s, err := e.Submit(context.Background(), Request{Tokens: prompt(i, 4), MaxTokens: most, IgnoreEOS: true})
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
			for _, s := range streams {
				eventually(t, "the first token", func() bool { return len(s.g.out.ch) > 0 })
			}
			at := nextPage(e.Model().Blocks[1].Gate.Weight.Offset)
			cut(t, path, at)
			for i, o := range outcomes(streams) {
				var stage *StageError
				if o.res.Finish != FinishError || !errors.As(o.err, &stage) || len(o.ids) == 0 || len(o.ids) == most {
					t.Errorf("request %d: %q after %d tokens, %v", i, o.res.Finish, len(o.ids), o.err)
				}
				lost(t, e, path, at, o.err)
			}
			for _, err := range e.Generate(context.Background(), Request{Tokens: prompt(7, 3), MaxTokens: 3}) {
				lost(t, e, path, at, err)
			}
			for _, err := range e.Logits(context.Background(), prompt(7, 3), false) {
				lost(t, e, path, at, err)
			}
			if st := e.Stats(); st.PagesUsed != 0 || st.Live != 0 {
				t.Errorf("after the faults: %+v", st)
			}
		})
	}
}

// TestFileShrinksForSome: only requests that need what is gone end; the same
// engine answers the others as before.
func TestFileShrinksForSome(t *testing.T) {
	path := copied(t, tinyLlama, "token_embd.weight")
	e, err := Open(context.Background(), path, Options{Devices: "cpu:2"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	table := e.Model().Embed.Weight
	at := nextPage(table.Offset + uint64(len(table.Data))/4)
	kept := int32((at - table.Offset) / uint64(len(table.Data)/table.Rows())) // rows before the cut
	if int(kept) >= table.Rows()-1 {
		t.Fatalf("a cut at %d leaves all of %s", at, table.Name)
	}
	good := func() []float32 { return lastLogits(t, e, []int32{1, 5, kept - 1}) }
	before := slices.Clone(good())
	cut(t, path, at)
	for range 3 {
		if !slices.Equal(good(), before) {
			t.Error("other logits than before")
		}
		s, err := e.Submit(context.Background(), Request{Tokens: []int32{1, 5, int32(table.Rows() - 1)}, MaxTokens: 3})
		if err != nil {
			t.Fatal(err)
		}
		o := outcomes([]*Stream{s})[0]
		var fault *gguf.FaultError
		if !errors.As(o.err, &fault) || fault.Tensor != table.Name || o.res.Finish != FinishError {
			t.Errorf("%q, %v", o.res.Finish, o.err)
		}
	}
}

// TestFileShrinksBeforeLoading: opened, cut, then loaded.
func TestFileShrinksBeforeLoading(t *testing.T) {
	path := copied(t, tinyTernary, "")
	f, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, ok := f.Tensor("blk.0.attn_norm.weight")
	if !ok {
		t.Fatal("no such tensor")
	}
	cut(t, path, min(x.Offset, largestPage))
	_, err = New(context.Background(), f, Options{Devices: "cpu:1"})
	var fault *gguf.FaultError
	if !errors.As(err, &fault) || fault.Tensor == "" || fault.File != path {
		t.Errorf("got %v", err)
	}
}
