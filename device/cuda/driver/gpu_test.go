//go:build cuda

package driver_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"tritflow/device/cuda/driver"
)

// scalePTX is scale(float *y, int n, float a): y[i] *= a, and fault(), which writes to
// address 0.
const scalePTX = `.version 7.0
.target sm_75
.address_size 64
.visible .entry scale(.param .u64 y, .param .u32 n, .param .f32 a) {
	.reg .pred p;
	.reg .b32 r<6>;
	.reg .f32 f<3>;
	.reg .b64 d<4>;
	ld.param.u64 d0, [y];
	ld.param.u32 r0, [n];
	ld.param.f32 f0, [a];
	mov.u32 r1, %ctaid.x;
	mov.u32 r2, %ntid.x;
	mov.u32 r3, %tid.x;
	mad.lo.u32 r4, r1, r2, r3;
	setp.ge.s32 p, r4, r0;
	@p ret;
	cvta.to.global.u64 d1, d0;
	mul.wide.u32 d2, r4, 4;
	add.u64 d3, d1, d2;
	ld.global.f32 f1, [d3];
	mul.f32 f2, f1, f0;
	st.global.f32 [d3], f2;
	ret;
}
.visible .entry fault() {
	.reg .b64 d;
	.reg .b32 r;
	mov.u64 d, 0;
	mov.u32 r, 1;
	st.global.u32 [d], r;
	ret;
}
`

// onGPU opens the first real GPU; without one the test is skipped.
func onGPU(t *testing.T) (*driver.Context, *driver.Properties) {
	if err := driver.Available(); err != nil {
		t.Skip(err)
	}
	p := must(driver.Describe(0))(t)
	return retain(t), p
}

func onGPUScaling(t *testing.T, c *driver.Context, y driver.Ptr, n int, a float32) *driver.Launch {
	m := must(c.Load([]byte(scalePTX)))(t)
	args := driver.NewArgs(3)
	args.SetPtr(0, y)
	args.SetInt(1, n)
	args.SetFloat32(2, a)
	t.Cleanup(args.Free)
	return must(m.Function("scale"))(t).Prepare(driver.Config{Grid: driver.Dim{X: 2}, Block: driver.Dim{X: 4}}, args)
}

func TestGPUMemoryAndEvents(t *testing.T) {
	c, p := onGPU(t)
	t.Logf("%+v", *p)
	free, total, err := c.MemInfo()
	if err != nil || free <= 0 || total < free || total > p.Memory {
		t.Fatalf("%d of %d free, error %v", free, total, err)
	}
	s := must(c.NewStream(1))(t)
	const n = 64 << 20
	host := must(c.AllocHost(n))(t)
	values := driver.Slice[uint32](host)
	for i := range values {
		values[i] = uint32(i) * 2654435761
	}
	d := must(c.Alloc(2 * n))(t)
	begin, end := must(c.NewEvent(true))(t), must(c.NewEvent(true))(t)
	check(t, begin.Record(s))
	check(t, s.CopyInAsync(d, host.Pointer(), n))
	check(t, s.CopyAsync(d.Offset(n), d, n))
	check(t, s.FillAsync(d, 0, n))
	check(t, end.Record(s))
	if done, err := end.Done(); err != nil {
		t.Errorf("done %v, error %v", done, err)
	}
	check(t, end.Synchronize())
	if seconds, err := end.Since(begin); err != nil || seconds <= 0 || seconds > 1 {
		t.Errorf("%v s, error %v", seconds, err)
	}
	clear(values)
	check(t, s.CopyOutAsync(host.Pointer(), d.Offset(n), n))
	check(t, s.Synchronize())
	for i, v := range values {
		if v != uint32(i)*2654435761 {
			t.Fatalf("value %d came back as %d", i, v)
		}
	}
	if p.Pools {
		check(t, c.KeepPool(1<<20))
		pooled := must(s.AllocAsync(8 << 20))(t)
		if pool := must(c.Pool())(t); pool.Used < 8<<20 || pool.Reserved < pool.Used {
			t.Errorf("pool %+v", pool)
		}
		check(t, s.FreeAsync(pooled))
		check(t, s.Synchronize())
		check(t, c.TrimPool(0))
	}
	if _, err := c.Alloc(total + 1); !errors.Is(err, driver.ErrOutOfMemory) {
		t.Errorf("more than there is: error %v", err)
	}
	check(t, c.Free(d))
	check(t, host.Free())
	check(t, s.Destroy())
}

func TestGPULaunchAndGraph(t *testing.T) {
	c, p := onGPU(t)
	s := must(c.NewStream(0))(t)
	y := upload(t, c, []float32{1, 2, 3, 4, 5, 6})
	l := onGPUScaling(t, c, y, 5, 3)
	info := must(l.Function.Info())(t)
	if info.MaxThreads < 256 || info.Registers < 4 || info.PTX != 75 || info.Binary < 75 {
		t.Errorf("%+v", info)
	}
	if n, err := l.Function.BlocksPerSM(128, 0); err != nil || n < 1 {
		t.Errorf("%d blocks, error %v", n, err)
	}
	check(t, l.Function.AllowShared(p.SharedOptin))
	check(t, l.Run(s))
	check(t, s.Synchronize())
	expect(t, c, y, 3, 6, 9, 12, 15, 6)
	if p.Major >= 9 {
		if n, err := l.Function.MostClusters(driver.Config{Grid: driver.Dim{X: 2}, Block: driver.Dim{X: 128}, Cluster: driver.Dim{X: 2}}); err != nil || n < 1 {
			t.Errorf("%d clusters, error %v", n, err)
		}
		l.Configure(driver.Config{Grid: driver.Dim{X: 2}, Block: driver.Dim{X: 4}, Cluster: driver.Dim{X: 2}, Dependent: true})
		check(t, l.Run(s))
		l.Args.SetFloat32(2, 1.0/3)
		check(t, l.Run(s))
		check(t, s.Synchronize())
		l.Args.SetFloat32(2, 1)
		l.Configure(driver.Config{Grid: driver.Dim{X: 2}, Block: driver.Dim{X: 4}})
	}
	check(t, c.CopyIn(y, unsafe.Slice((*byte)(unsafe.Pointer(&[]float32{1, 2}[0])), 8)))
	l.Args.SetInt(1, 1)
	l.Args.SetFloat32(2, 2)
	check(t, s.BeginCapture())
	check(t, l.Run(s))
	l.Args.SetInt(1, 2)
	check(t, l.Run(s))
	last, ok, err := s.Captured()
	if !ok || err != nil {
		t.Errorf("captured %v, error %v", ok, err)
	}
	g := must(s.EndCapture())(t)
	if nodes := must(g.Nodes())(t); len(nodes) != 2 || nodes[1] != last {
		t.Errorf("%d nodes; the last is not that of the last launch", len(nodes))
	}
	e := must(g.Instantiate())(t)
	check(t, e.Upload(s))
	check(t, e.Launch(s))
	check(t, s.Synchronize())
	expect(t, c, y, 4, 4)
	l.Args.SetFloat32(2, 10)
	check(t, e.SetKernel(last, l))
	check(t, e.Launch(s))
	check(t, s.Synchronize())
	expect(t, c, y, 80, 40)
	// The parameters of a launch are copied by it.
	l.Args.SetFloat32(2, 0.5)
	check(t, l.Run(s))
	l.Args.SetFloat32(2, float32(math.NaN()))
	check(t, s.Synchronize())
	expect(t, c, y, 40, 20)

	const launches = 2000
	l.Args.SetInt(1, 0)
	start := time.Now()
	for range launches {
		check(t, l.Run(s))
	}
	plain := time.Since(start)
	check(t, s.Synchronize())
	start = time.Now()
	for range launches {
		check(t, e.Launch(s))
	}
	t.Logf("a launch takes %v of the host, a graph of two kernels %v", plain/launches, time.Since(start)/launches)
	check(t, s.Synchronize())
	check(t, e.Destroy())
	check(t, g.Destroy())
}

func TestGPURefusesDamagedCode(t *testing.T) {
	c, _ := onGPU(t)
	_, err := c.Load([]byte(strings.Replace(scalePTX, "mul.f32", "mul.nonsense", 1)))
	if image, ok := errors.AsType[*driver.ImageError](err); !ok || !errors.Is(err, driver.ErrInvalidPTX) || !strings.Contains(image.Log, "nonsense") {
		t.Errorf("error %v", err)
	}
	if _, err := must(c.Load([]byte(scalePTX)))(t).Function("nothing"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// A kernel that faults is an error of the calls after it, told within a second. The driver
// keeps saying so until the process ends. It is the last test: it takes the GPU from the others.
func TestGPUFaultIsTold(t *testing.T) {
	c, _ := onGPU(t)
	s := must(c.NewStream(0))(t)
	start := time.Now()
	check(t, must(must(c.Load([]byte(scalePTX)))(t).Function("fault"))(t).Prepare(driver.Config{Grid: driver.Dim{X: 1}, Block: driver.Dim{X: 1}}, nil).Run(s))
	if err := s.Synchronize(); !driver.Lost(err) || !errors.Is(err, driver.ErrIllegalAddress) {
		t.Errorf("error %v", err)
	}
	if _, err := c.Alloc(1); !driver.Lost(err) {
		t.Errorf("after it: error %v", err)
	}
	if _, err := driver.Retain(c.Ordinal()); !driver.Lost(err) {
		t.Errorf("another context: error %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
