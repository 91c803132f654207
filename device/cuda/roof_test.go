//go:build cuda

package cuda

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/gguf"
	"tritflow/graph"
)

// roofed opens devices of a list.
func roofed(t *testing.T, list string) (devs []device.Roofed) {
	t.Helper()
	open, err := device.OpenList(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range open {
		t.Cleanup(func() { d.Close() })
		devs = append(devs, d.(device.Roofed))
	}
	return devs
}

// TestRoof: an open GPU measures what the survey does, beside what is loaded, and gives the
// memory back; devices on one GPU say so.
func TestRoof(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=100000000", "FAKE_DEVICES=2") {
		return
	}
	devs := roofed(t, "cuda:0,cuda:0,cuda:1")
	if a, b, c := devs[0].Hardware(), devs[1].Hardware(), devs[2].Hardware(); a != "cuda:0" || b != a || c != "cuda:1" {
		t.Errorf("hardware %s, %s, %s", a, b, c)
	}
	for range 3 {
		r, err := devs[1].Roof(t.Context())
		if err != nil || r.Read != (64<<20)/1.5e-3 || r.Int8 != 2*132*(1<<24)*(1<<20)/1.5e-3 {
			t.Fatalf("%+v, error %v", r, err)
		}
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := devs[0].Roof(ctx); !errors.Is(err, why) {
		t.Errorf("error %v, want the cause", err)
	}
	if err := devs[0].(device.Device).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := devs[0].Roof(t.Context()); !errors.Is(err, device.ErrClosed) {
		t.Errorf("error %v of a closed device", err)
	}
}

// A device that has no room to measure stays usable, one that is lost says so ever after.
func TestRoofFailures(t *testing.T) {
	for _, c := range []struct {
		name, env, memory, want string
		lost                    bool
	}{
		{"memory", "", "1000", "measuring needs 16 MiB", false},
		{"fault", "cuLaunchKernel=719", "100000000", "CUDA_ERROR_LAUNCH_FAILED", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if fakedriver.Elsewhere(t, "FAKE_FAIL="+c.env, "FAKE_MEMORY="+c.memory) {
				return
			}
			g := roofed(t, "cuda:0")[0]
			for range 2 {
				_, err := g.Roof(t.Context())
				_, lost := errors.AsType[*device.LostError](err)
				if err == nil || !strings.Contains(err.Error(), c.want) || lost != c.lost {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// TestReadBytes: two bits a weight in whole tiles, whatever the file has; dense matrices as they are.
func TestReadBytes(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=100000000") {
		return
	}
	g := roofed(t, "cuda:0")[0]
	m := boundModel(t, "")
	layer := func(l *graph.Linear) device.Layer { return device.Layer{Weight: l.Weight, In: l.In, Out: l.Out} }
	for _, l := range []*graph.Linear{&m.Blocks[0].Q, &m.Blocks[0].K, &m.Blocks[0].Down} {
		got, err := g.ReadBytes(layer(l))
		tiles := (l.Out + 31) / 32 * 2
		if want := tiles * ((l.In+127)/128*512 + 8); err != nil || got != uint64(want) {
			t.Errorf("%s of %s, %d×%d: %d bytes, want %d, error %v", l.Name, l.Weight.Type, l.In, l.Out, got, want, err)
		}
	}
	got, err := g.ReadBytes(layer(&m.Head.Out))
	if size := uint64(len(m.Head.Out.Weight.Data)); err != nil || got < size || got > size+16 {
		t.Errorf("head of %s: %d bytes of %d, error %v", m.Head.Out.Weight.Type, got, size, err)
	}
	bad := device.Layer{Weight: &gguf.Tensor{Name: "short", Type: gguf.TypeF16, Dims: []uint64{64, 64}, Data: make([]byte, 10)}, In: 64, Out: 64}
	if _, err := g.ReadBytes(bad); err == nil {
		t.Error("a tensor that is cut short was accepted")
	} else if e, ok := errors.AsType[*device.TensorError](err); !ok || e.Tensor != "short" {
		t.Errorf("error %v", err)
	}
}
