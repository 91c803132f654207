package devtest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tritflow/device"
	"tritflow/gguf"
)

// refusals: what cannot be loaded is refused with a typed error and leaves
// nothing behind.
func (s *suite) refusals(t *testing.T) {
	m := OpenModel(t, Ternary)
	ctx := context.Background()
	dev := s.device(t)
	before := dev.Ledger().Snapshot().Now

	for _, kv := range []device.KV{{Type: "int3", PageSize: 16, Pages: 4}, {Type: "f16", PageSize: 0, Pages: 4}, {Type: "f16", PageSize: 16}} {
		_, err := dev.LoadBlocks(ctx, m.Blocks, kv)
		if _, ok := errors.AsType[*device.KVError](err); !ok {
			t.Errorf("KV %+v: error %v", kv, err)
		}
	}

	unknown := slices.IndexFunc(gguf.Types(), func(ty gguf.Type) bool { return ty.String() == "I64" })
	if unknown < 0 {
		t.Fatal("devtest: gguf knows no I64")
	}
	damaged := func(t *gguf.Tensor, change func(t *gguf.Tensor)) *gguf.Tensor {
		c := *t
		change(&c)
		return &c
	}
	retype := func(t *gguf.Tensor) { t.Type = gguf.Types()[unknown] }
	shorten := func(t *gguf.Tensor) { t.Data = t.Data[:len(t.Data)-1] }
	for name, change := range map[string]func(t *gguf.Tensor){"type": retype, "length": shorten} {
		check := func(part string, err error, want *gguf.Tensor) {
			t.Helper()
			e, ok := errors.AsType[*device.TensorError](err)
			if !ok || e.Tensor != want.Name || e.Device != dev.Info().Name || e.Reason == "" {
				t.Errorf("%s with a bad %s: error %v", part, name, err)
			}
		}
		embed := m.Embed
		embed.Weight = damaged(embed.Weight, change)
		_, err := dev.LoadEmbed(ctx, &embed)
		check("embed", err, embed.Weight)
		head := m.Head
		head.Norm.Weight = damaged(head.Norm.Weight, change)
		_, err = dev.LoadHead(ctx, &head)
		check("head", err, head.Norm.Weight)
		blocks := slices.Clone(m.Blocks)
		blocks[1].Down.Weight = damaged(blocks[1].Down.Weight, change)
		_, err = dev.LoadBlocks(ctx, blocks, pagesOf("f16"))
		check("blocks", err, blocks[1].Down.Weight)
	}
	if diff := cmp.Diff(before, dev.Ledger().Snapshot().Now); diff != "" {
		t.Errorf("refused parts left memory behind (-before +after):\n%s", diff)
	}
}

// contradictions: a batch that breaks its own rules is refused as a whole.
func (s *suite) contradictions(t *testing.T) {
	r := s.rig(t, Ternary, pagesOf("f16"))
	for name, spoil := range map[string]func(b *device.Batch){
		"rows beyond the end":    func(b *device.Batch) { b.Seqs[1].N++ },
		"negative first row":     func(b *device.Batch) { b.Seqs[0].First = -1 },
		"foreign row":            func(b *device.Batch) { b.Rows[1].Seq = 1 },
		"row of nobody":          func(b *device.Batch) { b.Rows = append(b.Rows, device.Row{Seq: 1, Pos: 2}) },
		"gap in the positions":   func(b *device.Batch) { b.Rows[2].Pos++ },
		"negative position":      func(b *device.Batch) { b.Rows[0].Pos = -1 },
		"output of no row":       func(b *device.Batch) { b.Outputs[4].Row = 5 },
		"outputs in wrong order": func(b *device.Batch) { b.Outputs[0].Row = 2 },
	} {
		b := NewBatch(device.Output{TopK: 1},
			Chunk{ID: 1, Pages: r.table(0), Tokens: tokens(40, 3)}, Chunk{ID: 2, Pages: r.table(1), Tokens: tokens(41, 2)})
		spoil(b)
		l, err := Forward(context.Background(), r.parts, b)
		if _, ok := errors.AsType[*device.BatchError](err); !ok || l != nil {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// cancel: a cancelled call ends with the context's error, and the device goes on.
func (s *suite) cancel(t *testing.T) {
	r := s.rig(t, Ternary, pagesOf("f16"))
	ids := tokens(42, 20)
	want := r.prompt(t, ids)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	b := NewBatch(device.Output{TopK: 1}, Chunk{ID: 1, Pages: r.table(0), Tokens: ids})
	for i, p := range r.parts {
		// The parts before run as usual, part i meets the cancelled context.
		live := context.Background()
		var x device.Hidden
		var err error
		for _, q := range r.parts[:i] {
			if q.Embed != nil {
				x, err = q.Embed.Forward(live, b, nil)
			} else {
				x, err = q.Blocks.Forward(live, b, x, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case p.Embed != nil:
			_, err = p.Embed.Forward(ctx, b, nil)
		case p.Blocks != nil:
			_, err = p.Blocks.Forward(ctx, b, x, nil)
		default:
			_, err = p.Head.Forward(ctx, b, x, nil)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("part %d: error %v", i, err)
		}
	}
	same(t, "after cancelled calls", want, r.prompt(t, ids), 0)
	for name, load := range map[string]func(d device.Device) error{
		"embed":  func(d device.Device) error { _, err := d.LoadEmbed(ctx, &r.model.Embed); return err },
		"blocks": func(d device.Device) error { _, err := d.LoadBlocks(ctx, r.model.Blocks, r.kv); return err },
		"head":   func(d device.Device) error { _, err := d.LoadHead(ctx, &r.model.Head); return err },
	} {
		if err := load(r.parts[0].Device); !errors.Is(err, context.Canceled) {
			t.Errorf("loading %s: error %v", name, err)
		}
	}
}

// worked: each call reports one interval, inside the time that the test saw.
func (s *suite) worked(t *testing.T) {
	r := s.rig(t, Ternary, pagesOf("f16"))
	type interval struct{ start, end time.Time }
	heard := make(chan interval, 16)
	done := func(start, end time.Time) { heard <- interval{start, end} }
	b := NewBatch(device.Output{Full: true}, Chunk{ID: 1, Pages: r.table(0), Tokens: tokens(43, 5)})
	ctx := context.Background()
	begin := time.Now()
	var x device.Hidden
	for _, p := range r.parts {
		var err error
		var l device.Logits
		switch {
		case p.Embed != nil:
			x, err = p.Embed.Forward(ctx, b, done)
		case p.Blocks != nil:
			x, err = p.Blocks.Forward(ctx, b, x, done)
		default:
			if l, err = p.Head.Forward(ctx, b, x, done); err == nil {
				_, err = l.Row(len(b.Outputs) - 1) // waits for the last result
				l.Release()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	previous := begin
	for i := range r.parts {
		iv := <-heard
		if iv.start.Before(previous) || iv.end.Before(iv.start) || iv.end.After(time.Now()) {
			t.Errorf("part %d worked from %v to %v, after %v", i, iv.start.Sub(begin), iv.end.Sub(begin), previous.Sub(begin))
		}
		previous = iv.start
	}
	if n := len(heard); n != 0 {
		t.Errorf("%d intervals too many", n)
	}
}

// ledger: memory is counted while it is held and gone afterwards.
func (s *suite) ledger(t *testing.T) {
	m := OpenModel(t, Ternary)
	dev := s.open(t)
	kv := pagesOf("f16")
	parts, err := Load(context.Background(), m, kv, dev)
	if err != nil {
		t.Fatal(errors.Join(err, dev.Close()))
	}
	r := &rig{model: m, kv: kv, parts: parts}
	loaded := dev.Ledger().Snapshot().Now
	if loaded["mapped"]+loaded["weights"] == 0 {
		t.Error("a loaded model takes no memory")
	}
	prompt := tokens(44, 8)
	first := r.prompt(t, prompt)
	used := dev.Ledger().Snapshot().Now
	if used["kv"] == 0 || used["activations"] == 0 {
		t.Errorf("after a prompt: %v", used)
	}
	// Workers may still take scratch memory when they first get to work, but a
	// handle that were lost in each run would soon be seen.
	for range 50 {
		same(t, "again", first, r.prompt(t, prompt), 0)
	}
	again := dev.Ledger().Snapshot().Now
	if again["activations"] > 2*used["activations"] {
		t.Errorf("50 prompts took %d bytes of activations, the first %d", again["activations"], used["activations"])
	}
	again["activations"] = used["activations"]
	if diff := cmp.Diff(used, again); diff != "" {
		t.Errorf("the same prompt again took more memory (-first +last):\n%s", diff)
	}
	if err := errors.Join(Close(parts), Close(parts)); err != nil {
		t.Errorf("closing parts, twice: %v", err)
	}
	now := dev.Ledger().Snapshot().Now
	if now["mapped"] != 0 || now["weights"] != 0 || now["kv"] != 0 {
		t.Errorf("after the parts were closed: %v", now)
	}
	// Parts that are still open go with the device.
	if _, err := Load(context.Background(), m, kv, dev); err != nil {
		t.Error(err)
	}
	if err := errors.Join(dev.Close(), dev.Close()); err != nil {
		t.Errorf("closing the device, twice: %v", err)
	}
	end := dev.Ledger().Snapshot()
	for use, bytes := range end.Now {
		if bytes != 0 || end.Peak[use] < used[use] {
			t.Errorf("%s: %d bytes after the end, peak %d, %d were in use", use, bytes, end.Peak[use], used[use])
		}
	}
}

// closed: parts and devices that are closed say so.
func (s *suite) closed(t *testing.T) {
	ctx := context.Background()
	dev := s.device(t)
	r := load(t, OpenModel(t, Ternary), pagesOf("f16"), dev)
	b := NewBatch(device.Output{TopK: 1}, Chunk{ID: 1, Pages: r.table(0), Tokens: tokens(45, 3)})
	x, err := r.parts[0].Embed.Forward(ctx, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Close(r.parts); err != nil {
		t.Fatal(err)
	}
	if _, err := r.parts[1].Blocks.Forward(ctx, b, x, nil); !errors.Is(err, device.ErrClosed) {
		t.Errorf("closed part: error %v", err)
	}
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.parts[0].Embed.Forward(ctx, b, nil); !errors.Is(err, device.ErrClosed) {
		t.Errorf("part of a closed device: error %v", err)
	}
	if _, err := dev.LoadEmbed(ctx, &r.model.Embed); !errors.Is(err, device.ErrClosed) {
		t.Errorf("loading on a closed device: error %v", err)
	}
}
