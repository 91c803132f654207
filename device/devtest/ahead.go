package devtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/gguf"
)

// ahead: hints about the next batch change no answer, whatever comes instead.
func (s *suite) ahead(t *testing.T) {
	s.eachModel(t, func(t *testing.T, model string, kv device.KV) {
		for _, n := range []int{1, 4, 64} {
			kv.PageSize, kv.Pages = 4, 8*n
			s.rig(t, model, kv).walk(t, n)
		}
	})
	t.Run("bounds do not separate", func(t *testing.T) {
		// All rows of the head are one of two, so half of the vocabulary is equally likely and a
		// screened head has to be computed as a whole.
		m := openModel(t, Llama, func(f *gguf.File, data []byte) {
			ten, ok := f.Tensor("output.weight")
			if !ok {
				t.Fatal("devtest: no head")
			}
			for i := range ten.Elements() {
				setFloat(t, f, data, ten.Name, i, float32(i%ten.Cols()%7-3)*float32(1-2*(i/ten.Cols()%2)))
			}
		})
		for _, n := range []int{1, 4} {
			d := s.device(t)
			screener, ok := d.(device.Screener)
			if !ok {
				t.Skip("the device does not screen")
			}
			if err := screener.SetScreening(device.ScreenNow); err != nil {
				t.Fatal(err)
			}
			load(t, m, device.KV{Type: "f32", PageSize: 4, Pages: 8 * n}, d).walk(t, n)
			if c := screener.Screening(); c.Fallback == 0 {
				t.Errorf("%+v: nothing fell back", c)
			}
		}
	})
	t.Run("not finite", func(t *testing.T) {
		// Every sequence fails at position 5, as in nanPosition; others get its pages.
		m := openModel(t, Llama, func(f *gguf.File, data []byte) {
			setFloat(t, f, data, "rope_freqs.weight", 0, 1.2e-38)
		})
		for _, typ := range []string{"f32", "f16"} {
			r := load(t, m, device.KV{Type: typ, PageSize: 16, Pages: 8}, s.device(t))
			said := r.walk(t, 4)
			if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "NaN") }) {
				t.Error("nothing failed")
			}
		}
	})
}

// walk compares a random history with hints and without.
func (r *rig) walk(t *testing.T, n int) []string {
	t.Helper()
	w := Walk{Parts: r.parts, KV: r.kv, Vocab: r.model.Vocab, Most: n, Steps: 60, Seed: uint64(n)}
	want, err := w.Run()
	if err != nil {
		t.Fatal(err)
	}
	w.Hints = true
	got, err := w.Run()
	if err != nil {
		t.Fatal(err)
	}
	if at := Differ(want, got); at != "" {
		t.Errorf("up to %d sequences: %s", n, at)
	}
	return want
}

// Walk is a random history of requests that are answered with the likeliest tokens: they come,
// end, fail, go on otherwise than the last answer says, change places and are broken off between parts.
// Two walks with the same Seed are the same, with hints or without.
type Walk struct {
	Parts []Part
	KV    device.KV
	Vocab int
	Most  int // sequences at a time, and ...
	Seed  uint64
	Steps int
	Calm  bool // ... all of them all the time: nothing happens
	Hints bool
}

// walker is a sequence of a walk.
type walker struct {
	id    uint64
	slot  int // of the page tables
	pos   int
	token []int32 // to be fed
}

// Run returns what each step answered, as text for each sequence.
func (w Walk) Run() ([]string, error) {
	rng := rand.New(rand.NewPCG(w.Seed, 1))
	each := w.KV.Pages / w.Most
	table := func(slot int) []int32 {
		pages := make([]int32, each)
		for i := range pages {
			pages[i] = int32(i*w.Most + slot)
		}
		return pages
	}
	var live []*walker
	var free []int
	for i := range w.Most {
		free = append(free, i)
	}
	var said []string
	ids := uint64(0)
	for range w.Steps {
		for len(free) > 0 && (len(live) == 0 || ids < uint64(w.Most) || rng.IntN(3) == 0) {
			ids++
			live = append(live, &walker{id: ids, slot: free[0], token: tokens(int(ids), 1+rng.IntN(4))})
			free = free[1:]
		}
		if !w.Calm && rng.IntN(8) == 0 {
			rng.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
		}
		if !w.Calm && rng.IntN(10) == 0 {
			live[rng.IntN(len(live))].token = []int32{-1}
		}
		var chunks []Chunk
		for _, q := range live {
			pages := table(q.slot)
			if !w.Calm && rng.IntN(20) == 0 {
				pages = pages[:(q.pos+len(q.token)-1)/w.KV.PageSize+1]
			}
			chunks = append(chunks, Chunk{ID: q.id, Pages: pages, Pos: q.pos, Tokens: q.token})
		}
		b := NewBatch(device.Output{TopK: 1}, chunks...)
		b.Next = w.Hints
		broken := -1
		if !w.Calm && rng.IntN(10) == 0 {
			broken = rng.IntN(len(live))
		}
		answers, err := w.step(b, rng.IntN(10), broken)
		if err != nil {
			return said, err
		}
		left := live[:0]
		for i, q := range live {
			a := answers[b.Seqs[i].First+b.Seqs[i].N-1]
			said = append(said, fmt.Sprintf("sequence %d, position %d: %v %x", q.id, q.pos+len(q.token)-1, a.err, a.top))
			q.pos += len(q.token)
			ends := a.err != nil || q.pos >= each*w.KV.PageSize-4
			if !w.Calm {
				ends = ends || rng.IntN(30) == 0
			}
			if ends {
				free = append(free, q.slot)
				continue
			}
			q.token = []int32{a.top.ID}
			if !w.Calm && rng.IntN(20) == 0 {
				q.token[0] = (q.token[0] + 1) % int32(w.Vocab)
			}
			left = append(left, q)
		}
		live = left
	}
	return said, nil
}

// answered is what an output brought.
type answered struct {
	top device.Candidate
	err error
}

// step runs a batch. how lets something happen between the parts; broken is a sequence that is
// broken off behind the embedding.
func (w Walk) step(b *device.Batch, how, broken int) ([]answered, error) {
	ctx := context.Background()
	if !w.Calm && how == 0 { // the whole step is broken off once
		x, err := w.Parts[0].Embed.Forward(ctx, b, nil)
		if err != nil {
			return nil, err
		}
		x.Release()
	}
	x, err := w.Parts[0].Embed.Forward(ctx, b, nil)
	if err != nil {
		return nil, err
	}
	if !w.Calm && how == 1 { // somebody looks at the activations
		rows, width := x.Shape()
		if err := x.Host(make([]float32, rows*width)); err != nil {
			return nil, err
		}
	}
	if broken >= 0 {
		b.Fail(int32(broken), errors.New("broken off"))
	}
	for _, p := range w.Parts[1 : len(w.Parts)-1] {
		if x, err = p.Blocks.Forward(ctx, b, x, nil); err != nil {
			return nil, err
		}
	}
	if !w.Calm && how == 2 {
		rows, width := x.Shape()
		if err := x.Host(make([]float32, rows*width)); err != nil {
			return nil, err
		}
	}
	l, err := w.Parts[len(w.Parts)-1].Head.Forward(ctx, b, x, nil)
	if err != nil {
		return nil, err
	}
	defer l.Release()
	out := make([]answered, len(b.Outputs))
	for i := range out {
		sc, err := l.Row(i)
		if out[i].err = err; err == nil && len(sc.Top) > 0 {
			out[i].top = sc.Top[0]
		}
	}
	return out, nil
}

// Differ says where two walks part; "" where they do not.
func Differ(want, got []string) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("answer %d is %q, without hints %q", i, got[i], want[i])
		}
	}
	if !slices.Equal(want, got) {
		return fmt.Sprintf("%d answers, without hints %d", len(got), len(want))
	}
	return ""
}
