package cpu

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/quantkern"
)

// screenEnv is the environment variable that says how heads are screened: 8
// (or empty) for device.ScreenAuto, off for device.ScreenOff.
const screenEnv = "TRITFLOW_SCREEN"

// screenMode reads screenEnv.
func screenMode() (string, error) {
	switch v := os.Getenv(screenEnv); v {
	case "", "8":
		return device.ScreenAuto, nil
	case "off":
		return device.ScreenOff, nil
	default:
		return "", &device.SpecError{Spec: screenEnv + "=" + v, Reason: "write 8 (bits of the screening copy of the head) or off"}
	}
}

const (
	// leastScreen is the number of weights from which a copy pays: below it a
	// head takes a small part of a token's time.
	leastScreen = 4 << 20
	// buildValues is about how many weights are copied at once, some tens of
	// microseconds' work: so long may a worker have to wait for its core.
	buildValues = 1 << 17
	// buildRest is how much longer than it works the builder rests while the
	// device is in use.
	buildRest = 7
)

// screening is the low-bit copy of one head. It is made by one goroutine that
// starts with the first output that could use it, when that has its answer
// from the full head, and takes an eighth of one core while the device is in
// use, the whole of it otherwise.
type screening struct {
	dev    *cpuDevice
	matrix *matrix
	ready  atomic.Pointer[quantkern.Screen] // nil until it is complete
	bytes  int64                            // that the ledger knows

	mu            sync.Mutex
	state, reason string

	// Guarded by the device's turn.
	ended  bool
	stop   context.CancelFunc // of the builder; nil before it started
	joined sync.WaitGroup
}

// newScreening decides whether a head gets a copy, and makes it at once where
// that is asked for.
func newScreening(d *cpuDevice, mode string, out *linear) *screening {
	s := &screening{dev: d, matrix: out.matrix, state: "idle"}
	switch {
	case mode == device.ScreenOff:
		s.finish("off", "switched off")
	case out.ternary != nil || out.scaled || out.bias != nil:
		s.finish("off", "the head is ternary or has a scale or bias")
	case mode == device.ScreenNow:
		s.build(context.Background())
	case d.info.Tier == "generic":
		s.finish("off", "no vector kernels")
	case out.rows*out.cols < leastScreen:
		s.finish("off", fmt.Sprintf("the head is small: %d weights, screening pays from %d", out.rows*out.cols, leastScreen))
	}
	return s
}

func (s *screening) finish(state, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.reason = state, reason
}

func (s *screening) status() (state, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.reason
}

// want starts the builder unless that was done or is not to be. The caller
// holds the device.
func (s *screening) want() {
	if s.stop != nil || s.ended {
		return
	}
	if state, _ := s.status(); state != "idle" {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.finish("building", "")
	s.joined.Go(func() { s.build(ctx) })
}

// free ends the builder and gives the copy back. The caller holds the device,
// for which the builder never waits.
func (s *screening) free() {
	s.ended = true
	if s.stop != nil {
		s.stop()
		s.joined.Wait()
	}
	s.ready.Store(nil)
	s.account(-s.bytes)
	s.finish("off", "closed")
}

func (s *screening) account(bytes int64) {
	s.bytes += bytes
	s.dev.ledger.Add(device.Weights, bytes)
	s.dev.screened.bytes.Add(bytes)
}

// build makes the copy. Whatever goes wrong, the full head answers on.
func (s *screening) build(ctx context.Context) {
	m := s.matrix
	s.account(int64(quantkern.ScreenBytes(m.rows, m.cols)))
	screen, err := s.copy(ctx)
	if err != nil {
		s.account(-s.bytes)
		s.finish("failed", err.Error())
		return
	}
	s.ready.Store(screen)
	s.finish("ready", "")
}

func (s *screening) copy(ctx context.Context) (screen *quantkern.Screen, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &device.PanicError{Device: s.dev.info.Name, Value: v, Stack: debug.Stack()}
		}
	}()
	m := s.matrix
	if screen, err = quantkern.NewScreen(m.rows, m.cols); err != nil {
		return nil, err
	}
	var scratch quantkern.Scratch
	step := max(4, buildValues/m.cols)
	for r := 0; r < m.rows; r += step {
		calls, start := s.dev.calls.Load(), time.Now()
		err = gguf.Guard(func() error {
			return screen.Fill(m.codec, m.data, r, min(r+step, m.rows), &scratch)
		})
		if err == nil {
			err = s.rest(ctx, calls, time.Since(start))
		}
		if err != nil {
			return nil, err
		}
	}
	return screen, nil
}

// rest leaves the core to others for a while if the device is in use or was
// since it had got so many calls.
func (s *screening) rest(ctx context.Context, calls uint64, worked time.Duration) error {
	if s.stop == nil || !s.dev.working.Load() && s.dev.calls.Load() == calls {
		return ctx.Err()
	}
	t := time.NewTimer(buildRest * worked)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// screened counts over all heads of a device.
type screened struct {
	bytes                              atomic.Int64
	screened, rescored, full, fallback atomic.Uint64
	last                               atomic.Pointer[screening]
}

var _ device.Screener = (*cpuDevice)(nil)

// SetScreening chooses how heads loaded from now on are screened; before, it is
// as TRITFLOW_SCREEN says (8 or off). A wrong mode is a *device.SpecError.
func (d *cpuDevice) SetScreening(mode string) error {
	switch mode {
	case device.ScreenAuto, device.ScreenOff, device.ScreenNow:
	default:
		return &device.SpecError{Spec: mode, Reason: "modes of screening are auto, off and now"}
	}
	if !d.hold() {
		return fmt.Errorf("cpu: %s: %w", d.info.Name, device.ErrClosed)
	}
	defer d.turn.Release(1)
	d.screenMode = mode
	return nil
}

// Screening reads the counters.
func (d *cpuDevice) Screening() device.Screening {
	c := &d.screened
	s := device.Screening{
		Bytes: c.bytes.Load(), Screened: c.screened.Load(), Rescored: c.rescored.Load(),
		Full: c.full.Load(), Fallback: c.fallback.Load(),
	}
	if last := c.last.Load(); last != nil {
		s.State, s.Reason = last.status()
	}
	return s
}
