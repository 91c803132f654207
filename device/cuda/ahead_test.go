//go:build cuda

package cuda

import (
	"context"
	"errors"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/device/devtest"
	"tritflow/graph"
)

// aheadRig is a whole model on one GPU.
func aheadRig(t testing.TB, g *gpu, m *graph.Model, kv device.KV) []devtest.Part {
	t.Helper()
	parts, err := devtest.Load(context.Background(), m, kv, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := devtest.Close(parts); err != nil && g.fault.Load() == nil {
			t.Error(err)
		}
	})
	return parts
}

// Steps that are begun early give the answers of steps that are not, bit for bit, and when nothing happens
// all but the last are asked for.
func TestGPUAhead(t *testing.T) { eachKept(t, gpuAhead) }

func gpuAhead(t *testing.T, typ string) {
	g := openGPU(t).(*gpu)
	t.Cleanup(func() { g.Close() })
	m := gpuModel(t)
	const most = 64
	kv := device.KV{Type: typ, PageSize: 32, Pages: 4 * most}
	parts := aheadRig(t, g, m, kv)
	for _, n := range []int{1, 4, most} {
		for _, calm := range []bool{true, false} {
			w := devtest.Walk{Parts: parts, KV: kv, Vocab: m.Vocab, Most: n, Seed: uint64(n), Steps: 80, Calm: calm}
			want, err := w.Run()
			if err != nil {
				t.Fatal(err)
			}
			begun, asked := g.begun, g.asked
			w.Hints = true
			got, err := w.Run()
			if err != nil {
				t.Fatal(err)
			}
			if at := devtest.Differ(want, got); at != "" {
				t.Errorf("%d sequences, calm %v: %s", n, calm, at)
			}
			begun, asked = g.begun-begun, g.asked-asked
			t.Logf("%d sequences, calm %v: %d steps were begun early, %d of them asked for", n, calm, begun, asked)
			if calm && (begun < 78 || asked < begun-1) || asked == 0 || begun == 0 {
				t.Errorf("%d sequences, calm %v: %d steps were begun early, %d of them asked for", n, calm, begun, asked)
			}
		}
	}
}

// fakeAhead is the built-in model on a driver whose kernels do nothing: all answers are token 0.
func fakeAhead(t *testing.T) (*gpu, []devtest.Part, *graph.Model) {
	t.Helper()
	m, g := boundModel(t, ""), fakeGPU(t)
	return g, aheadRig(t, g, m, device.KV{Type: "f16", PageSize: 4, Pages: 64}), m
}

// at is a step of sequences, a row each of token 0, with pages for positions below 16.
func at(pos int, ids ...uint64) *device.Batch {
	var chunks []devtest.Chunk
	for _, id := range ids {
		chunks = append(chunks, devtest.Chunk{ID: id, Pages: []int32{int32(4 * id), int32(4*id + 1), int32(4*id + 2), int32(4*id + 3)}, Pos: pos, Tokens: []int32{0}})
	}
	return devtest.NewBatch(device.Output{TopK: 1}, chunks...)
}

// A step is handed out if it is what was asked for, or a part of it.
func TestAheadIsTaken(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g, parts, _ := fakeAhead(t)
	for _, c := range []struct {
		name  string
		first func(b *device.Batch)
		next  *device.Batch
		begun bool
		taken bool
	}{
		{name: "the same", next: at(8, 1, 2, 3), begun: true, taken: true},
		{name: "one ended", next: at(8, 1, 3), begun: true, taken: true},
		{name: "two ended", next: at(8, 3), begun: true, taken: true},
		{name: "one joined", next: at(8, 1, 2, 3, 4), begun: true},
		{name: "another order", next: at(8, 2, 1, 3), begun: true},
		{name: "another position", next: at(9, 1, 2, 3), begun: true},
		{name: "another token", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Rows[1].Token = 1 }), begun: true},
		{name: "another page", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Seqs[1].Pages[0] = 0 }), begun: true},
		{name: "another page later", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Seqs[1].Pages[3] = 0 }), begun: true, taken: true},
		{name: "two tokens wanted", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Outputs[1].TopK = 2 }), begun: true},
		{name: "whole rows wanted", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Outputs[1].Full = true }), begun: true},
		{name: "no output", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Outputs = b.Outputs[:2] }), begun: true},
		{name: "one failed", next: change(at(8, 1, 2, 3), func(b *device.Batch) { b.Fail(0, context.Canceled) }), begun: true},
		{name: "no hint", first: func(b *device.Batch) { b.Next = false }, next: at(8, 1, 2, 3)},
		{name: "two rows of one, none of another", first: func(b *device.Batch) {
			b.Rows[2], b.Seqs[1].N, b.Seqs[2].First, b.Seqs[2].N = device.Row{Seq: 1, Pos: 8}, 2, 3, 0
		}, next: at(8, 1, 2, 3)},
		{name: "no pages", first: func(b *device.Batch) {
			for i := range b.Seqs {
				b.Seqs[i].Pages = b.Seqs[i].Pages[:2]
			}
		}, next: at(8, 1, 2, 3)},
		{name: "pages of one", first: func(b *device.Batch) { b.Seqs[0].Pages, b.Seqs[2].Pages = b.Seqs[0].Pages[:2], b.Seqs[2].Pages[:2] }, next: at(8, 2), begun: true, taken: true},
		{name: "drawn from two", first: func(b *device.Batch) { b.Outputs[0].TopK = 2 }, next: at(8, 1, 2, 3)},
		{name: "drawn from all", first: func(b *device.Batch) { b.Outputs[2].Full = true }, next: at(8, 1, 2, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun, asked := g.begun, g.asked
			b := at(7, 1, 2, 3)
			b.Next = true
			if c.first != nil {
				c.first(b)
			}
			run(t, parts, b)
			b = c.next
			run(t, parts, b)
			if (g.begun > begun) != c.begun || (g.asked > asked) != c.taken {
				t.Errorf("begun %v, taken %v", g.begun > begun, g.asked > asked)
			}
			if g.early != nil {
				t.Error("a step is still awaited that nobody hinted at")
			}
		})
	}
}

// Handles of a step that was begun early are like others also for parts that nobody foresaw.
func TestAheadElsewhere(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g, parts, m := fakeAhead(t)
	others := aheadRig(t, g, m, device.KV{Type: "f16", PageSize: 4, Pages: 64})
	ctx := t.Context()
	for _, c := range []struct {
		name string
		then func(x device.Hidden, b *device.Batch) (device.Hidden, error)
	}{
		{"other blocks", func(x device.Hidden, b *device.Batch) (device.Hidden, error) {
			return others[1].Blocks.Forward(ctx, b, x, nil)
		}},
		{"read before the blocks", func(x device.Hidden, b *device.Batch) (device.Hidden, error) {
			if err := x.Host(make([]float32, 2*m.Hidden)); err != nil {
				return x, err
			}
			return parts[1].Blocks.Forward(ctx, b, x, nil)
		}},
		{"read behind the blocks", func(x device.Hidden, b *device.Batch) (device.Hidden, error) {
			x, err := parts[1].Blocks.Forward(ctx, b, x, nil)
			if err != nil {
				return x, err
			}
			return x, x.Host(make([]float32, 2*m.Hidden))
		}},
		{"blocks worked meanwhile", func(x device.Hidden, b *device.Batch) (device.Hidden, error) {
			run(t, []devtest.Part{others[0], parts[1], others[2]}, at(3, 9))
			return parts[1].Blocks.Forward(ctx, b, x, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := at(7, 1, 2, 3)
			b.Next = true
			run(t, parts, b)
			b = at(8, 1, 3)
			asked := g.asked
			x, err := parts[0].Embed.Forward(ctx, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rows, width := x.Shape(); rows != 2 || width != m.Hidden || g.asked != asked+1 {
				t.Errorf("[%d, %d], taken %v", rows, width, g.asked > asked)
			}
			if x, err = c.then(x, b); err != nil {
				t.Fatal(err)
			}
			h := x.(*hidden)
			if h.given != nil || h.rows != 2 {
				t.Errorf("still a step that was begun early, of %d rows", h.rows)
			}
			l, err := parts[2].Head.Forward(ctx, b, x, nil)
			if err != nil {
				t.Fatal(err)
			}
			l.Release()
		})
	}
}

// A step that is begun early takes no memory and has the buffer of the one before, so that graphs are not made twice.
func TestAheadTakesNoMemory(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g, parts, _ := fakeAhead(t)
	run(t, parts, at(7, 1))
	if err := g.queue.do(func() error {
		free, _, err := g.ctx.MemInfo()
		if err == nil {
			_, err = g.take(device.Activations, "all", free/allocGrain*allocGrain)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for pos := 8; pos < 12; pos++ {
		b := at(pos, 1)
		b.Next = true
		run(t, parts, b)
	}
	if g.begun != 4 || g.asked != 3 || len(g.pool.all) != 1 {
		t.Errorf("%d steps were begun, there are %d buffers", g.begun, len(g.pool.all))
	}
}

// A GPU that is lost while a step waits says so to that step and to those after it, one begun early among them.
func TestAheadFault(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	_, parts, _ := fakeAhead(t)
	t.Setenv("FAKE_FAIL", "cuEventSynchronize=719")
	for range 2 {
		b := at(7, 1)
		b.Next = true
		_, err := devtest.Forward(t.Context(), parts, b)
		if lost, ok := errors.AsType[*device.LostError](err); !ok || lost.Device != "cuda:0" {
			t.Errorf("error %v", err)
		}
	}
}

func change(b *device.Batch, how func(*device.Batch)) *device.Batch {
	how(b)
	return b
}

func run(t *testing.T, parts []devtest.Part, b *device.Batch) {
	t.Helper()
	l, err := devtest.Forward(t.Context(), parts, b)
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}
