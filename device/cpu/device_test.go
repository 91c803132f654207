package cpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"tritflow/device"
	"tritflow/device/devtest"
	"tritflow/gguf"
	"tritflow/graph"
)

var testKV = device.KV{Type: "f16", PageSize: 16, Pages: 8}

func loadModel(t testing.TB, m *graph.Model, devs ...device.Device) []devtest.Part {
	t.Helper()
	parts, err := devtest.Load(context.Background(), m, testKV, devs...)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func closeAll(t testing.TB, devs ...device.Device) {
	t.Helper()
	for _, d := range devs {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

var prompt = devtest.Chunk{ID: 1, Pages: []int32{3, 0}, Tokens: []int32{3, 17, 255, 400, 511, 80, 80, 9}}

// TestWorkersChangeNothing: every bit is the same for any number of workers.
func TestWorkersChangeNothing(t *testing.T) {
	for _, name := range []string{devtest.Ternary, devtest.Llama, devtest.Bitnet, devtest.Qwen3} {
		m := devtest.OpenModel(t, name)
		var want [][]float32
		for _, workers := range []string{"1", "2", "3", "8"} {
			d := open(t, workers)
			l, err := devtest.Forward(context.Background(), loadModel(t, m, d), devtest.NewBatch(device.Output{Full: true}, prompt))
			if err != nil {
				t.Fatal(err)
			}
			for i := range prompt.Tokens {
				sc, err := l.Row(i)
				if err != nil {
					t.Fatal(err)
				}
				if workers == "1" {
					want = append(want, slices.Clone(sc.Full))
				} else if !slices.Equal(want[i], sc.Full) {
					t.Errorf("%s: row %d differs with %s workers", name, i, workers)
				}
			}
			l.Release()
			closeAll(t, d)
		}
	}
}

// TestTurn: calls wait for the device in order, a waiting one can be
// cancelled, and the interval that a call reports begins when it had the device.
func TestTurn(t *testing.T) {
	d := open(t, "2")
	defer closeAll(t, d)
	parts := loadModel(t, devtest.OpenModel(t, devtest.Ternary), d)
	embed := parts[0].Embed
	b := devtest.NewBatch(device.Output{TopK: 1}, prompt)

	if _, err := d.acquire(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := embed.Forward(ctx, b, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call that waited: error %v", err)
	}
	started := make(chan time.Time, 1)
	result := make(chan error, 1)
	go func() {
		x, err := embed.Forward(context.Background(), b, func(start, _ time.Time) { started <- start })
		if err == nil {
			x.Release()
		}
		result <- err
	}()
	time.Sleep(time.Millisecond)
	freed := time.Now()
	d.turn.Release(1)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if start := <-started; start.Before(freed) {
		t.Errorf("the interval begins %v before the device was free", freed.Sub(start))
	}
}

// TestSteadyStateAllocations: a step (embed, three blocks, head) makes its two
// handles, the slices of the answers, and for the pool's own list now and then
// room; nothing grows with rows, blocks or workers.
func TestSteadyStateAllocations(t *testing.T) {
	const most = 8
	for _, workers := range []string{"1", "3"} {
		d := open(t, workers)
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
		n := testing.AllocsPerRun(20, step)
		t.Logf("%s workers: %v allocations a step", workers, n)
		if n > most {
			t.Errorf("%v allocations a step, at most %d are expected", n, most)
		}
		closeAll(t, d)
	}
}

// TestBuffersGoHome: activations that cross devices without a copy return to
// the pool they came from, even when that device is closed meanwhile.
func TestBuffersGoHome(t *testing.T) {
	a, b := open(t, "1"), open(t, "1")
	parts := loadModel(t, devtest.OpenModel(t, devtest.Ternary), a)
	batch := devtest.NewBatch(device.Output{TopK: 1}, prompt)
	forward := func() device.Hidden {
		x, err := parts[0].Embed.Forward(context.Background(), batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Import(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		if x != y || activations(b.Ledger()) != 0 {
			t.Error("import between host memories made a copy")
		}
		return y
	}
	x := forward()
	held := activations(a.Ledger())
	x.Release()
	x.Release()
	if n := len(a.pool.free); n != 1 || activations(a.Ledger()) != held {
		t.Errorf("%d buffers came home; %d bytes, before %d", n, activations(a.Ledger()), held)
	}
	if err := x.Host(make([]float32, 8*256)); err == nil {
		t.Error("released activations can be read")
	}
	if _, err := b.Import(context.Background(), x); err == nil {
		t.Error("released activations can be imported")
	}
	x = forward()
	if err := x.Host(make([]float32, 8*256-1)); err == nil {
		t.Error("activations fit where there is no room")
	}
	closeAll(t, a)
	if activations(a.Ledger()) == 0 {
		t.Error("a buffer that is out is not counted")
	}
	x.Release()
	if n := activations(a.Ledger()); n != 0 {
		t.Errorf("%d bytes are counted after everything came back", n)
	}
	closeAll(t, b)
}

// TestTiedHeadCountsOnce: embedding and head read the same bytes.
func TestTiedHeadCountsOnce(t *testing.T) {
	d := open(t, "1")
	defer closeAll(t, d)
	m := devtest.OpenModel(t, devtest.Ternary)
	if m.Embed.Weight != m.Head.Out.Weight {
		t.Fatal("the model's head is not tied")
	}
	ctx := context.Background()
	mapped := func() int64 { return d.Ledger().Snapshot().Now["mapped"] }
	size := int64(len(m.Embed.Weight.Data))
	embed, err := d.LoadEmbed(ctx, &m.Embed)
	if err != nil {
		t.Fatal(err)
	}
	head, err := d.LoadHead(ctx, &m.Head)
	if err != nil {
		t.Fatal(err)
	}
	if mapped() != size {
		t.Errorf("both: %d bytes, the tensor has %d", mapped(), size)
	}
	if err := embed.Close(); err != nil || mapped() != size {
		t.Errorf("head alone: %d bytes, error %v", mapped(), err)
	}
	if err := head.Close(); err != nil || mapped() != 0 {
		t.Errorf("neither: %d bytes, error %v", mapped(), err)
	}
}

// shrinkable opens a copy of the ternary model that a test may cut short.
func shrinkable(t *testing.T) (path string, data []byte, m *graph.Model) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("files that are mapped can be cut short on Linux")
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "graph", "testdata", devtest.Ternary))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "cut.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	if m, err = graph.Bind(f); err != nil {
		t.Fatal(err)
	}
	return path, data, m
}

// TestShrunkenFile: a model file that is cut short while it is in use ends
// the call with a typed error; the device goes on with another model.
func TestShrunkenFile(t *testing.T) {
	path, data, m := shrinkable(t)
	for _, workers := range []string{"1", "3"} {
		t.Run(workers, func(t *testing.T) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, workers)
			defer closeAll(t, d)
			parts := loadModel(t, m, d)
			if err := os.Truncate(path, 4096); err != nil {
				t.Fatal(err)
			}
			_, err := devtest.Forward(context.Background(), parts, devtest.NewBatch(device.Output{TopK: 1}, prompt))
			if e, ok := errors.AsType[*gguf.FaultError](err); !ok || e.File != path || e.Tensor == "" {
				t.Fatalf("error %v", err)
			}
			if _, err := d.LoadHead(context.Background(), &m.Head); err == nil {
				t.Error("a head whose norm is gone was loaded")
			} else if _, ok := errors.AsType[*gguf.FaultError](err); !ok {
				t.Errorf("loading from a file that was cut: error %v", err)
			}
			whole := loadModel(t, devtest.OpenModel(t, devtest.Ternary), d)
			l, err := devtest.Forward(context.Background(), whole, devtest.NewBatch(device.Output{TopK: 1}, prompt))
			if err != nil {
				t.Fatal(err)
			}
			l.Release()
		})
	}
}

// TestSkippedRowsAreClean: rows that nobody computes hold no values of an
// earlier batch.
func TestSkippedRowsAreClean(t *testing.T) {
	d := open(t, "1")
	defer closeAll(t, d)
	parts := loadModel(t, devtest.OpenModel(t, devtest.Ternary), d)
	for _, tokens := range [][]int32{{1, 2, 3}, {-1, 2, 3}} {
		b := devtest.NewBatch(device.Output{TopK: 1}, devtest.Chunk{Pages: []int32{0}, Tokens: tokens})
		x, err := parts[0].Embed.Forward(context.Background(), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		rows, width := x.Shape()
		values := make([]float32, rows*width)
		if err := x.Host(values); err != nil {
			t.Fatal(err)
		}
		x.Release()
		zero := !slices.ContainsFunc(values, func(v float32) bool { return v != 0 })
		if failed := b.Seqs[0].Err != nil; zero != failed {
			t.Errorf("tokens %v: all values zero: %v, failed: %v", tokens, zero, failed)
		}
	}
}

// TestWrongShape: activations of another batch are refused.
func TestWrongShape(t *testing.T) {
	d := open(t, "1")
	defer closeAll(t, d)
	parts := loadModel(t, devtest.OpenModel(t, devtest.Ternary), d)
	for i, shape := range [][2]int{{7, 256}, {8, 128}} {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			b := devtest.NewBatch(device.Output{TopK: 1}, prompt)
			for _, run := range []func(x device.Hidden) error{
				func(x device.Hidden) error {
					_, err := parts[1].Blocks.Forward(context.Background(), b, x, nil)
					return err
				},
				func(x device.Hidden) error {
					_, err := parts[len(parts)-1].Head.Forward(context.Background(), b, x, nil)
					return err
				},
			} {
				x := newHidden(&d.pool, shape[0], shape[1])
				if _, ok := errors.AsType[*device.BatchError](run(x)); !ok || !x.released.Load() {
					t.Errorf("shape %d: released %v", i, x.released.Load())
				}
			}
		})
	}
}
