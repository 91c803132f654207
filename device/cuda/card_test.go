//go:build cuda

package cuda

import (
	"errors"
	"os"
	"testing"
	"time"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/device/devtest"
)

// What the ledger counts is what the driver has given beyond a bare context, within 5 %. Only a large
// model tells: the driver's pieces are megabytes.
func TestGPULedger(t *testing.T) {
	if err := driver.Available(); err != nil {
		t.Skip("needs an NVIDIA GPU: ", err)
	}
	if os.Getenv("TRITFLOW_BENCH_MODEL") == "" {
		t.Skip("TRITFLOW_BENCH_MODEL names no model")
	}
	bare, err := driver.Retain(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bare.Release(); err != nil {
			t.Error(err)
		}
	})
	before, _, err := bare.MemInfo()
	if err != nil {
		t.Fatal(err)
	}
	g, m := openGPU(t).(*gpu), gpuModel(t)
	t.Cleanup(func() { g.Close() })
	for _, most := range []int{1, 64} {
		kv := device.KV{Type: "f16", PageSize: 32, Pages: 4096 / 32}
		if most > 1 {
			kv.Pages = most * 512 / 32
		}
		parts := aheadRig(t, g, m, kv)
		w := devtest.Walk{Parts: parts, KV: kv, Vocab: m.Vocab, Most: most, Seed: 1, Steps: 40, Calm: true, Hints: true}
		if _, err := w.Run(); err != nil {
			t.Fatal(err)
		}
		if err := g.queue.do(g.stream.Synchronize); err != nil {
			t.Fatal(err)
		}
		var counted int64
		for _, bytes := range g.Ledger().Snapshot().Now {
			counted += bytes
		}
		after, _, err := bare.MemInfo()
		if err != nil {
			t.Fatal(err)
		}
		given := before - after
		t.Logf("%d sequences: the ledger has %d MB, the driver gave %d MB", most, counted/1e6, given/1e6)
		if diff := given - counted; diff > given/20 || -diff > given/20 {
			t.Errorf("%d sequences: the ledger has %d bytes, the driver gave %d", most, counted, given)
		}
	}
}

// faultPTX is fault(), which writes to address 0.
const faultPTX = `.version 7.0
.target sm_75
.address_size 64
.visible .entry fault() {
	.reg .b64 d;
	mov.u64 d, 0;
	st.global.u32 [d], 1;
	ret;
}
`

// A kernel that faults behind a step that was begun early: whoever asks for that step, and for any after it,
// hears within a second that the GPU is lost, and what was loaded can be closed.
func TestGPUFaultAhead(t *testing.T) {
	if err := driver.Available(); err != nil {
		t.Skip("needs an NVIDIA GPU: ", err)
	}
	if fakedriver.Process(t) {
		return
	}
	g := openGPU(t).(*gpu)
	t.Cleanup(func() { g.Close() })
	parts := aheadRig(t, g, boundModel(t, ""), device.KV{Type: "f16", PageSize: 4, Pages: 64})
	step := func(pos int) error {
		b := at(pos, 1, 2)
		b.Next = true
		l, err := devtest.Forward(t.Context(), parts, b)
		if err == nil {
			l.Release()
		}
		return err
	}
	if err := step(7); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err := g.queue.do(func() error {
		image, err := g.ctx.Load([]byte(faultPTX))
		if err != nil {
			return err
		}
		f, err := image.Function("fault")
		if err != nil {
			return err
		}
		return f.Prepare(driver.Config{Grid: driver.Dim{X: 1}, Block: driver.Dim{X: 1}}, nil).Run(g.stream)
	})
	if err != nil {
		t.Fatal(err)
	}
	var lost *device.LostError
	for pos := 8; pos < 11; pos++ {
		// The first of them may have ended before the fault.
		if err := step(pos); pos > 8 && (!errors.As(err, &lost) || lost.Device != "cuda:0") {
			t.Errorf("position %d: error %v", pos, err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
