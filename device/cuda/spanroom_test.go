//go:build cuda

package cuda

import (
	"bytes"
	"testing"

	"tritflow/device/cuda/driver/fakedriver"
)

// What CTAs tell each other by is cleared before a kernel looks at it: the device's stream waits for no other one.
func TestRoomIsCleared(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	g := fakeGPU(t)
	const all, coded = 4096, 1024
	if err := g.queue.do(func() error {
		var r spanRoom
		if err := r.reach(g, 1, func(int) int64 { return all }, coded); err != nil {
			return err
		}
		defer r.drop()
		host, err := g.ctx.AllocHost(all)
		if err != nil {
			return err
		}
		defer host.Free()
		if err := g.stream.CopyOutAsync(host.Pointer(), r.m.ptr, all); err != nil {
			return err
		}
		if err := g.stream.Synchronize(); err != nil {
			return err
		}
		want := append(bytes.Repeat([]byte{0xff}, all-coded), bytes.Repeat([]byte{0x80}, coded)...)
		if !bytes.Equal(host.Bytes(), want) {
			t.Error("a kernel would read what was there before")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
