//go:build cuda

package driver_test

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/driver/fakedriver"
)

// retain opens the first device on a thread of the test's own.
func retain(t *testing.T) *driver.Context {
	t.Helper()
	if err := driver.Available(); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	c, err := driver.Retain(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		check(t, c.Release())
		runtime.UnlockOSThread()
	})
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func TestDescribe(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_DEVICES=2", "FAKE_MEMORY=1000000") {
		return
	}
	p := must(driver.Describe(1))(t)
	if p.Name != "Fake 1" || p.Capability() != 90 || p.Memory != 1000000 || p.SMs != 132 || p.PCI != "0000:01:00.0" ||
		p.UUID != "02020202-0202-0202-0202-020202020202" {
		t.Errorf("%+v", p)
	}
	if got := p.Bandwidth(); got != 2*2619e6*640 {
		t.Errorf("bandwidth %v", got)
	}
	if _, err := driver.Describe(2); !errors.Is(err, driver.ErrInvalidDevice) {
		t.Errorf("a device that is not there: error %v", err)
	}
}

func TestMemory(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=100000") {
		return
	}
	c := retain(t)
	s := must(c.NewStream(0))(t)
	p := must(c.Alloc(1000))(t)
	if free, total, err := c.MemInfo(); err != nil || total != 100000 || free != 99000-1 { // a byte is the stream's
		t.Errorf("%d of %d free, error %v", free, total, err)
	}
	check(t, c.Fill(p, 7, 1000))
	check(t, c.CopyIn(p.Offset(10), []byte{1, 2, 3}))
	host := must(c.AllocHost(100))(t)
	check(t, s.CopyOutAsync(host.Pointer(), p, 100))
	check(t, s.FillAsync(p, 9, 5))
	check(t, s.CopyAsync(p.Offset(5), p, 5))
	check(t, s.Synchronize())
	if got := host.Bytes()[9:14]; !bytes.Equal(got, []byte{7, 1, 2, 3, 7}) {
		t.Errorf("came back as %v", got)
	}
	driver.Slice[uint32](host)[24] = 0x04030201
	check(t, s.CopyInAsync(p, host.At(96), 4))
	check(t, s.Synchronize())
	out := make([]byte, 10)
	check(t, c.CopyOut(out, p))
	if want := []byte{1, 2, 3, 4, 9, 9, 9, 9, 9, 9}; !bytes.Equal(out, want) {
		t.Errorf("came back as %v, want %v", out, want)
	}
	_, err := c.Alloc(99001)
	failed, ok := errors.AsType[*driver.Error](err)
	if !ok || !errors.Is(err, driver.ErrOutOfMemory) || failed.Call != "cuMemAlloc_v2" || failed.Device != 0 || driver.Lost(err) {
		t.Errorf("too much: error %v", err)
	}
	if want := "cuda: cuMemAlloc_v2 on cuda:0: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	pooled := must(s.AllocAsync(50000))(t)
	check(t, s.FreeAsync(pooled))
	check(t, c.Free(p))
	check(t, host.Free())
	check(t, host.Free())
	check(t, s.Destroy())
	check(t, s.Destroy())
}

func TestEvents(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_BUSY=1") {
		return
	}
	c := retain(t)
	s := must(c.NewStream(1))(t)
	a, b := must(c.NewEvent(true))(t), must(c.NewEvent(true))(t)
	check(t, a.Record(s))
	check(t, b.Record(s))
	check(t, s.Wait(b))
	if done, err := b.Done(); done || err != nil {
		t.Errorf("done %v, error %v", done, err)
	}
	if done, err := s.Done(); !done || err != nil {
		t.Errorf("the stream is done: %v, error %v", done, err)
	}
	check(t, b.Synchronize())
	// The driver has the older name of this call only.
	if d, err := b.Since(a); err != nil || d != 1.5e-3 {
		t.Errorf("%v s, error %v", d, err)
	}
	check(t, a.Destroy())
}

// scaling makes a launch of the fake driver's kernel over n values.
func scaling(t *testing.T, c *driver.Context, y driver.Ptr, n int, a float32) *driver.Launch {
	m := must(c.Load([]byte("scale")))(t)
	args := driver.NewArgs(3)
	args.SetPtr(0, y)
	args.SetInt(1, n)
	args.SetFloat32(2, a)
	t.Cleanup(args.Free)
	return must(m.Function("scale"))(t).Prepare(driver.Config{Grid: driver.Dim{X: 2}, Block: driver.Dim{X: 4}}, args)
}

func upload(t *testing.T, c *driver.Context, v []float32) driver.Ptr {
	p := must(c.Alloc(int64(4 * len(v))))(t)
	check(t, c.CopyIn(p, unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))))
	return p
}

func expect(t *testing.T, c *driver.Context, p driver.Ptr, want ...float32) {
	t.Helper()
	check(t, c.Synchronize())
	got := make([]float32, len(want))
	check(t, c.CopyOut(unsafe.Slice((*byte)(unsafe.Pointer(&got[0])), 4*len(got)), p))
	if !slices.Equal(got, want) {
		t.Errorf("values %v, want %v", got, want)
	}
}

func TestLaunch(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	c := retain(t)
	s := must(c.NewStream(0))(t)
	y := upload(t, c, []float32{1, 2, 3, 4, 5, 6})
	l := scaling(t, c, y, 5, 3)
	check(t, l.Function.AllowShared(100<<10))
	check(t, l.Run(s))
	expect(t, c, y, 3, 6, 9, 12, 15, 6)
	l.SetGrid(driver.Dim{X: 1})
	l.Args.SetFloat32(2, -1)
	check(t, l.Run(s))
	expect(t, c, y, -3, -6, -9, -12, 15, 6)
	l.Configure(driver.Config{Grid: driver.Dim{X: 2}, Block: driver.Dim{X: 1}, Cluster: driver.Dim{X: 2}, Dependent: true})
	check(t, l.Run(s))
	expect(t, c, y, 3, 6, -9, -12, 15, 6)
	l.Configure(driver.Config{Grid: driver.Dim{X: 1, Z: 2}, Block: driver.Dim{X: 1}})
	if err := l.Run(s); !errors.Is(err, driver.ErrInvalidValue) || !strings.Contains(err.Error(), "scale") {
		t.Errorf("error %v", err)
	}
	n := testing.AllocsPerRun(100, func() {
		l.SetGrid(driver.Dim{X: 1})
		l.Args.SetInt(1, 0)
		check(t, l.Run(s))
	})
	if n != 0 {
		t.Errorf("%v allocations a launch", n)
	}
}

func TestGraph(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	c := retain(t)
	s := must(c.NewStream(0))(t)
	y := upload(t, c, []float32{1, 2})
	l := scaling(t, c, y, 1, 2)
	record := func() driver.Graph {
		check(t, s.BeginCapture())
		check(t, l.Run(s))
		l.Args.SetInt(1, 2)
		check(t, l.Run(s))
		return must(s.EndCapture())(t)
	}
	check(t, s.BeginCapture())
	if _, ok, err := s.Captured(); ok || err != nil {
		t.Errorf("a node before the first launch: %v, error %v", ok, err)
	}
	check(t, l.Run(s))
	l.Args.SetInt(1, 2)
	check(t, l.Run(s))
	last, ok, err := s.Captured()
	if !ok || err != nil {
		t.Fatalf("no node: error %v", err)
	}
	g := must(s.EndCapture())(t)
	nodes := must(g.Nodes())(t)
	if len(nodes) != 2 || nodes[1] != last {
		t.Fatalf("%d nodes", len(nodes))
	}
	if kernel, err := g.Kernel(last); !kernel || err != nil {
		t.Errorf("kernel %v, error %v", kernel, err)
	}
	e := must(g.Instantiate())(t)
	expect(t, c, y, 1, 2) // recorded, not done
	check(t, e.Upload(s))
	check(t, e.Launch(s))
	expect(t, c, y, 4, 4)
	l.Args.SetFloat32(2, 10)
	check(t, e.SetKernel(last, l))
	check(t, e.Launch(s))
	expect(t, c, y, 80, 40)
	l.Args.SetInt(1, 0)
	if same, err := e.Update(record()); !same || err != nil {
		t.Errorf("update %v, error %v", same, err)
	}
	check(t, e.Launch(s))
	expect(t, c, y, 800, 400)
	check(t, s.BeginCapture())
	if same, err := e.Update(must(s.EndCapture())(t)); same || err != nil {
		t.Errorf("update with another graph: %v, error %v", same, err)
	}
	check(t, e.Destroy())
	check(t, g.Destroy())
	check(t, g.Destroy())
}

func TestLoadFailure(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	c := retain(t)
	_, err := c.Load([]byte("ptx?"))
	image, ok := errors.AsType[*driver.ImageError](err)
	if !ok || image.Log != "ptxas: this is no module" || !errors.Is(err, driver.ErrInvalidPTX) || !strings.Contains(err.Error(), image.Log) {
		t.Errorf("error %v", err)
	}
	m := must(c.Load([]byte("scale")))(t)
	if _, err := m.Function("missing"); !errors.Is(err, driver.ErrNotFound) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error %v", err)
	}
	check(t, m.Unload())
}

// After a fault every call fails with an error that says so.
func TestLost(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_FAIL=cuLaunchKernel=719") {
		return
	}
	c := retain(t)
	s := must(c.NewStream(0))(t)
	y := upload(t, c, []float32{1})
	err := scaling(t, c, y, 1, 2).Run(s)
	if !driver.Lost(err) || !errors.Is(err, driver.ErrLaunchFailed) {
		t.Errorf("launch: error %v", err)
	}
	if err := s.Synchronize(); !driver.Lost(err) {
		t.Errorf("after it: error %v", err)
	}
	check(t, c.Reset())
	check(t, s.Synchronize())
}

func TestPeers(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_DEVICES=2") {
		return
	}
	c := retain(t)
	other := must(driver.Retain(1))(t)
	if can, err := c.CanAccess(other); !can || err != nil {
		t.Errorf("access %v, error %v", can, err)
	}
	check(t, c.EnablePeer(other))
	check(t, c.EnablePeer(other)) // the driver calls the second time an error
	s := must(c.NewStream(0))(t)
	from, to := upload(t, other, []float32{5}), upload(t, c, []float32{0})
	check(t, s.CopyPeerAsync(to, c, from, other, 4))
	expect(t, c, to, 5)
	check(t, other.Release())
}

func TestWideArgs(t *testing.T) {
	a := driver.NewWideArgs(4, 24, 8)
	defer a.Free()
	if n := len(a.Bytes(1)); n != 24 {
		t.Errorf("%d bytes", n)
	}
	if at := uintptr(unsafe.Pointer(&a.Bytes(1)[0])); at%16 != 0 {
		t.Errorf("a structure at %x", at)
	}
	copy(a.Bytes(1), bytes.Repeat([]byte{0xff}, 24))
	a.SetInt(0, -1)
	a.SetUint64(2, 3)
	if !bytes.Equal(a.Bytes(2), []byte{3, 0, 0, 0, 0, 0, 0, 0}) || a.Bytes(0)[3] != 0xff {
		t.Errorf("parameters %v, %v", a.Bytes(0), a.Bytes(2))
	}
}
