//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/device/devtest"
	"tritflow/graph"
)

// failNth lets the driver that stands in answer the n-th call of a name, from now on, that there is no memory;
// "" lets all succeed.
func failNth(t *testing.T, call string, n int) {
	t.Helper()
	if call != "" {
		call = fmt.Sprintf("%s#%d=2", call, n)
	}
	t.Setenv("FAKE_FAIL", call)
}

// freeNow is the GPU's free memory; the driver that stands in counts streams, events, modules and graphs in it.
func (g *gpu) freeNow(t *testing.T) (free int64) {
	t.Helper()
	if err := g.queue.do(func() (err error) {
		free, _, err = g.ctx.MemInfo()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return free
}

// Kernels that were loaded before one could not be prepared are given back.
func TestOpenFails(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	runtime.LockOSThread()
	ctx, err := driver.Retain(0)
	if err != nil {
		t.Fatal(err)
	}
	props, err := driver.Describe(0)
	if err != nil {
		t.Fatal(err)
	}
	free := func() int64 {
		n, _, err := ctx.MemInfo()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := free()
	for _, call := range []string{"cuFuncSetAttribute", "cuOccupancyMaxActiveClusters", "cuStreamCreateWithPriority"} {
		for n := 1; ; n++ {
			failNth(t, call, n)
			d, err := NewDevice("cuda:0", props)
			failNth(t, "", 0)
			if err == nil {
				if err := d.Close(); err != nil || n == 1 {
					t.Errorf("%s: closed after %d tries: %v", call, n, err)
				}
				break
			}
			if _, ok := errors.AsType[*device.UnavailableError](err); !ok {
				t.Errorf("%s %d: error %v", call, n, err)
			}
			if left := before - free(); left != 0 {
				t.Fatalf("%s %d: %d left behind", call, n, left)
			}
		}
	}
}

// A table that found no room changes nothing in the ledger.
func TestLedgerOfATableThatFails(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g, m := fakeGPU(t), devtest.OpenModel(t, devtest.Ternary)
	for _, call := range []string{"cuMemAlloc_v2", "cuMemHostAlloc"} {
		failNth(t, call, 1)
		if _, err := g.LoadEmbed(t.Context(), &m.Embed); err == nil {
			t.Fatalf("%s: no error", call)
		}
		for use, n := range g.ledger.Snapshot().Now {
			if n != 0 {
				t.Errorf("%s: %d bytes of %s", call, n, use)
			}
		}
	}
}

// Angles that could not be copied are given back.
func TestAnglesFail(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	before := g.ledger.Snapshot().Now[device.Weights.String()]
	for n := 1; n <= 2; n++ {
		failNth(t, "cuMemcpyHtoDAsync_v2", n)
		h := holding{g: g}
		if err := g.queue.do(func() error {
			defer h.release()
			_, err := h.angles(graph.Rope{Dims: 64, Base: 1e4})
			return err
		}); err == nil {
			t.Fatal("no error")
		}
		if left := g.ledger.Snapshot().Now[device.Weights.String()] - before; left != 0 {
			t.Errorf("copy %d: %d bytes left behind", n, left)
		}
	}
}

// A slot that gets no pinned memory keeps its event for the next time.
func TestSlotFails(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	g := fakeGPU(t)
	before := g.freeNow(t)
	var sl slot
	for _, bytes := range []int{1 << 10, 1 << 20} { // the second one finds a buffer that is too small
		failNth(t, "cuMemHostAlloc", 1)
		if err := g.queue.do(func() error { return sl.free(g, bytes) }); err == nil {
			t.Fatal("no error")
		}
		failNth(t, "", 0)
		if err := g.queue.do(func() error { return sl.free(g, bytes) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.queue.do(func() error { sl.drop(); return nil }); err != nil {
		t.Fatal(err)
	}
	if left := before - g.freeNow(t); left != 0 {
		t.Errorf("%d left behind", left)
	}
}

// Work that could not be timed loses no event.
func TestTimeFails(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	g := fakeGPU(t)
	before := g.freeNow(t)
	for _, call := range []string{"cuEventCreate", "cuEventRecord"} {
		for n := 1; n <= 2; n++ {
			for _, follows := range []bool{false, true} {
				failNth(t, "", 0)
				if err := g.queue.do(func() error {
					for i := range g.events {
						if err := g.events[i].Destroy(); err != nil {
							return err
						}
					}
					g.events = nil
					return g.timed(nil, func() error { return nil })
				}); err != nil {
					t.Fatal(err)
				}
				failNth(t, call, n)
				if err := g.queue.do(func() error {
					_, err := g.time(&interval{}, follows, func() error { return nil })
					g.drain()
					return err
				}); err == nil && !(follows && n == 2) {
					t.Errorf("%s %d: no error", call, n)
				}
				if taken, kept := before-g.freeNow(t), int64(len(g.events)); taken != kept {
					t.Errorf("%s %d, follows %v: there are %d events, %d of them are known", call, n, follows, taken, kept)
				}
			}
		}
	}
}

// What was captured of a step that failed is given back.
func TestCaptureFails(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	g := fakeGPU(t)
	before := g.freeNow(t)
	var c graphs
	broken := errors.New("broken")
	s := &step{tables: &tables{rows: 1, decodeAll: true}, h: &hidden{m: &memory{}}}
	for range 3 {
		if err := g.queue.do(func() error { return c.run(g, s, nil, func() error { return broken }) }); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
	if left := before - g.freeNow(t); left != 0 {
		t.Errorf("%d left behind", left)
	}
}

// The driver may tell that the GPU is lost already when its context is made current: that is an error like those of
// other calls, and what was loaded is closed without another one.
func TestLostBeforeAJob(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g, m := fakeGPU(t), devtest.OpenModel(t, devtest.Ternary)
	parts, err := devtest.Load(t.Context(), m, device.KV{Type: "f16", PageSize: 4, Pages: 64}, g)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("FAKE_FAIL", "cuCtxSetCurrent=719")
	for range 2 {
		_, err := devtest.Forward(t.Context(), parts, at(0, 1))
		if lost, ok := errors.AsType[*device.LostError](err); !ok || lost.Device != "cuda:0" {
			t.Errorf("error %v", err)
		}
	}
	if err := errors.Join(devtest.Close(parts), g.Close()); err != nil {
		t.Errorf("closing: %v", err)
	}
	if n := matesOn(0).Load(); n != 0 {
		t.Errorf("%d devices are still open", n)
	}
}

// What is being loaded when the device is closed is given back.
func TestCloseWhileLoading(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	closed := make(chan error, 1)
	p := &embed{g: g, held: holding{g: g}}
	_, err := load(t.Context(), g, "a table", p, func(p *embed) error {
		go func() { closed <- g.Close() }()
		for {
			g.mu.Lock()
			done := g.closed
			g.mu.Unlock()
			if done {
				_, err := p.held.take(device.Weights, "a table", 1000)
				return err
			}
			runtime.Gosched()
		}
	})
	if !errors.Is(err, device.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := g.ledger.Snapshot().Now[device.Weights.String()]; n != 0 {
		t.Errorf("%d bytes left behind", n)
	}
}

// Not only allocations may find no memory: whichever call does, the part is refused as one that has no room, so that
// others may be tried, and nothing of it stays.
func TestNoRoomWhileLoading(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	m := devtest.OpenModel(t, devtest.Ternary)
	for _, call := range []string{"cuMemAlloc_v2", "cuMemHostAlloc", "cuEventCreate", "cuLaunchKernel", "cuMemcpyHtoDAsync_v2", "cuMemsetD8_v2"} {
		failNth(t, call, 1)
		g := fakeGPU(t)
		_, err := devtest.Load(t.Context(), m, device.KV{Type: "f16", PageSize: 16, Pages: 64}, g)
		full, ok := errors.AsType[*device.MemoryError](err)
		if !ok || full.Device != "cuda:0" || full.Free == 0 || !errors.Is(err, driver.ErrOutOfMemory) || !strings.Contains(err.Error(), "--ctx") {
			t.Errorf("%s: error %v", call, err)
		}
		for use, n := range g.ledger.Snapshot().Now {
			if n != 0 {
				t.Errorf("%s: %d bytes of %s left behind", call, n, use)
			}
		}
		if err := g.Close(); err != nil {
			t.Errorf("%s: closing: %v", call, err)
		}
	}
}
