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

// A room that could not grow is made anew for the next step, which may want less.
func TestRoomThatDidNotGrow(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	g := fakeGPU(t)
	for _, call := range []string{"cuMemAlloc_v2", "cuMemsetD8_v2"} {
		if err := g.queue.do(func() error {
			var r spanRoom
			defer r.drop()
			reach := func(chunks int) error { return r.reach(g, chunks, func(n int) int64 { return int64(512 * n) }, 0) }
			if err := reach(1); err != nil {
				return err
			}
			failNth(t, call, 1)
			if err := reach(100); err == nil {
				t.Errorf("%s: no error", call)
			}
			if err := reach(1); err != nil {
				return err
			}
			if r.m == nil || r.chunks == 0 || r.m.bytes < int64(512*r.chunks) {
				t.Fatalf("%s: a step would have no room: %+v", call, r)
			}
			values := make([]byte, 512)
			if err := g.ctx.CopyOut(values, r.m.ptr); err != nil {
				return err
			}
			if !bytes.Equal(values, bytes.Repeat([]byte{0xff}, len(values))) {
				t.Errorf("%s: the room is not cleared", call)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
