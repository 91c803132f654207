package devtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/graph"
)

// Option changes what Run expects.
type Option func(*suite)

// Within allows logits of a device to differ from its own by at most bound
// where the suite cuts a prompt into other chunks or puts it on other pages,
// and widens the bounds for the comparison with other engines to it. Without
// it every bit must agree. Runs that are the same, and other sequences in the
// batch, must never change a bit.
func Within(bound float32) Option { return func(s *suite) { s.bound = bound } }

// suite is one run of the tests.
type suite struct {
	open  func(t testing.TB) device.Device
	bound float32
}

// Run tests a device. open opens a fresh one; the suite closes it and may have
// two open at a time.
func Run(t *testing.T, open func(t testing.TB) device.Device, opts ...Option) {
	s := &suite{open: open}
	for _, o := range opts {
		o(s)
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"bitnet.cpp", s.bitnetCpp},
		{"bitnet.cpp one token", s.oneToken},
		{"llama.cpp", s.llamaCpp},
		{"ternary", s.ternary},
		{"repeat", s.repeat},
		{"composition", s.composition},
		{"chunks", s.chunks},
		{"pages", s.pages},
		{"topk", s.topK},
		{"outputs", s.outputs},
		{"concurrent", s.concurrent},
		{"ahead", s.ahead},
		{"import", s.imports},
		{"token", s.badToken},
		{"page table", s.badPages},
		{"nan embedding", s.nanEmbedding},
		{"nan block", s.nanBlock},
		{"nan position", s.nanPosition},
		{"nan head", s.nanHead},
		{"refusals", s.refusals},
		{"contradictions", s.contradictions},
		{"cancel", s.cancel},
		{"worked", s.worked},
		{"ledger", s.ledger},
		{"closed", s.closed},
	} {
		t.Run(test.name, test.run)
	}
}

// device opens a device for a test.
func (s *suite) device(t testing.TB) device.Device {
	t.Helper()
	d := s.open(t)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing %s: %v", d.Info().Name, err)
		}
	})
	return d
}

// rig is a model loaded on devices.
type rig struct {
	model *graph.Model
	kv    device.KV
	parts []Part
}

// pagesOf is the usual cache: small pages, so that every prompt crosses some.
func pagesOf(typ string) device.KV { return device.KV{Type: typ, PageSize: 16, Pages: 64} }

func load(t testing.TB, m *graph.Model, kv device.KV, devs ...device.Device) *rig {
	t.Helper()
	parts, err := Load(context.Background(), m, kv, devs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Close(parts); err != nil {
			t.Error(err)
		}
	})
	return &rig{model: m, kv: kv, parts: parts}
}

// rig loads a model of graph/testdata on one device of its own.
func (s *suite) rig(t testing.TB, model string, kv device.KV) *rig {
	t.Helper()
	return load(t, OpenModel(t, model), kv, s.device(t))
}

// table gives sequence number seq (0, 1 …) pages of its own: a quarter of the
// cache, in ascending order.
func (r *rig) table(seq int) []int32 {
	pages := make([]int32, r.kv.Pages/4)
	for i := range pages {
		pages[i] = int32(seq*len(pages) + i)
	}
	return pages
}

// run runs a batch that must succeed for every sequence and returns the logits
// of every row.
func (r *rig) run(t testing.TB, chunks ...Chunk) [][]float32 {
	t.Helper()
	b := NewBatch(device.Output{Full: true}, chunks...)
	rows, errs := r.answers(t, b)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
	}
	return rows
}

// answers runs a batch and returns the logits, or the error, of every output.
func (r *rig) answers(t testing.TB, b *device.Batch) (rows [][]float32, errs []error) {
	t.Helper()
	rows, errs, err := r.try(b)
	if err != nil {
		t.Fatal(err)
	}
	return rows, errs
}

// try is answers for any goroutine; err is one of the whole batch.
func (r *rig) try(b *device.Batch) (rows [][]float32, errs []error, err error) {
	l, err := Forward(context.Background(), r.parts, b)
	if err != nil {
		return nil, nil, err
	}
	defer l.Release()
	rows, errs = make([][]float32, len(b.Outputs)), make([]error, len(b.Outputs))
	for i := range b.Outputs {
		sc, err := l.Row(i)
		switch {
		case err != nil:
			errs[i] = err
		case len(sc.Full) != r.model.Head.Width():
			return nil, nil, fmt.Errorf("output %d has %d values, the head answers with %d", i, len(sc.Full), r.model.Head.Width())
		default:
			rows[i] = slices.Clone(sc.Full)
		}
	}
	return rows, errs, nil
}

// prompt runs tokens from position 0 on the pages of sequence 0.
func (r *rig) prompt(t testing.TB, tokens []int32) [][]float32 {
	t.Helper()
	return r.run(t, Chunk{ID: 1, Pages: r.table(0), Tokens: tokens})
}

// same compares logits, bit for bit or within bound.
func same(t testing.TB, what string, want, got [][]float32, bound float32) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for r := range want {
		for c, w := range want[r] {
			g := got[r][c]
			if math.Float32bits(w) == math.Float32bits(g) {
				continue
			}
			if diff := w - g; !(max(diff, -diff) <= bound) {
				t.Fatalf("%s: row %d, logit %d is %v, want %v (bound %g)", what, r, c, g, w, bound)
			}
		}
	}
}

// tokens is n token ids that depend on seed and lie in every tiny vocabulary.
func tokens(seed, n int) []int32 {
	ids := make([]int32, n)
	state := uint32(seed)*2654435761 + 1
	for i := range ids {
		state = state*1664525 + 1013904223
		ids[i] = int32(state >> 23) // below 512
	}
	return ids
}

// eachModel runs a test with integer and with float arithmetic, and with every
// type of KV cache that the device has.
func (s *suite) eachModel(t *testing.T, test func(t *testing.T, model string, kv device.KV)) {
	types := s.device(t).Info().KVTypes
	for _, m := range []struct {
		name, kv string
	}{{Ternary, "f16"}, {Llama, "f32"}, {Ternary, "q8_0"}, {Llama, "q8_0"}, {Ternary, "q4_0"}} {
		t.Run(m.name+" "+m.kv, func(t *testing.T) {
			if !slices.Contains(types, m.kv) {
				t.Skipf("the device holds no cache of %s", m.kv)
			}
			test(t, m.name, pagesOf(m.kv))
		})
	}
}
