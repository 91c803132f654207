package cpu

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/quantkern"
)

// screenEnv is the environment variable that says how heads are screened: auto (or
// empty), 6 or 8 bits, or off, as device.Screener names them.
const screenEnv = "TRITFLOW_SCREEN"

// screenMode reads screenEnv.
func screenMode() (string, error) {
	switch v := os.Getenv(screenEnv); v {
	case "":
		return device.ScreenAuto, nil
	case device.ScreenAuto, device.ScreenSix, device.ScreenEight, device.ScreenOff:
		return v, nil
	default:
		return "", &device.SpecError{Spec: screenEnv + "=" + v, Reason: "write auto, 6 or 8 (bits of the screening copy of the head) or off"}
	}
}

const (
	// leastScreen is the number of weights from which a copy pays: below it a
	// head takes a small part of a token's time.
	leastScreen = 4 << 20
	// buildValues is about how many weights are copied at once, some tens of
	// microseconds' work: so long may a worker have to wait for its core.
	buildValues = 1 << 17
	// buildShare is the part of a core (one in so many) that the builder takes
	// while the device is in use; buildBurst is how long it may work on end to
	// make up for time that it had to wait for one.
	buildShare = 4
	buildBurst = 2 * time.Millisecond
)

// screening is the low-bit copy of one head, or the norms of the rows of one
// that is bounded where it lies. It is made by one goroutine that starts with
// the first output that could use it, when that has its answer from the full
// head, and takes a quarter of one core while the device is in use, the whole
// of it otherwise.
type screening struct {
	dev    *cpuDevice
	matrix *matrix
	ready  atomic.Pointer[quantkern.Screen] // nil until it is complete
	there  bool                             // the head is bounded where it lies
	held   int64                            // bytes of the copy or norms
	read   int64                            // bytes that bounds are made of
	bits   screenBits                       // of the copy that passes read

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
	s := &screening{dev: d, matrix: out.matrix, state: "idle", there: quantkern.ScreensInPlace(out.codec, out.cols)}
	s.bits.init(d.screenBits, out)
	switch {
	case mode == device.ScreenOff:
		s.finish("off", "switched off")
	case out.ternary != nil || out.scaled || out.bias != nil:
		s.finish("off", "the head is ternary or has a scale or bias")
	case mode == device.ScreenNow:
		s.build(context.Background())
	case d.info.Tier == "generic":
		s.finish("off", "no vector kernels")
	case !s.there && !screeningSaves(out.rows, out.cols, len(out.data)):
		s.finish("off", "the head is hardly larger in the file than its copy would be")
	case out.rows*out.cols < leastScreen:
		s.finish("off", fmt.Sprintf("the head is small: %d weights, screening pays from %d", out.rows*out.cols, leastScreen))
	}
	return s
}

// screeningSaves tells whether a copy is so much smaller than a head of so many
// bytes that reading it instead pays.
func screeningSaves(rows, cols, bytes int) bool {
	return 4*quantkern.ScreenBytes(rows, cols) <= 3*bytes
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
	s.matrix = nil // the device keeps the state of the head loaded last
	s.account(0, 0)
	s.finish("off", "closed")
}

// account says what is held and read from now on.
func (s *screening) account(held, read int) {
	s.dev.ledger.Add(device.Weights, int64(held)-s.held)
	s.dev.screened.bytes.Add(int64(read) - s.read)
	s.held, s.read = int64(held), int64(read)
}

// build makes the copy. Whatever goes wrong, the full head answers on.
func (s *screening) build(ctx context.Context) {
	m := s.matrix
	held := screenHolds(m.codec, m.rows, m.cols)
	read := held
	if s.there {
		read += len(m.data)
	}
	s.account(held, read)
	screen, err := s.fill(ctx)
	if err != nil {
		s.account(0, 0)
		s.finish("failed", err.Error())
		return
	}
	s.ready.Store(screen)
	s.finish("ready", "")
}

// screenHolds is the memory that screening a matrix takes.
func screenHolds(c *quantkern.Codec, rows, cols int) int {
	if quantkern.ScreensInPlace(c, cols) {
		return quantkern.ScreenInPlaceBytes(rows)
	}
	return quantkern.ScreenBytes(rows, cols)
}

func (s *screening) fill(ctx context.Context) (screen *quantkern.Screen, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &device.PanicError{Device: s.dev.info.Name, Value: v, Stack: debug.Stack()}
		}
	}()
	m := s.matrix
	if s.there {
		screen, err = quantkern.NewScreenInPlace(m.codec, m.data, m.rows, m.cols)
	} else {
		screen, err = quantkern.NewScreen(m.rows, m.cols)
	}
	if err != nil {
		return nil, err
	}
	var scratch quantkern.Scratch
	step := max(1, buildValues/m.cols/4) * 4 // groups of four rows
	pace := pace{since: time.Now()}
	for r := 0; r < m.rows; r += step {
		calls, start := s.dev.calls.Load(), time.Now()
		err = gguf.Guard(func() error {
			return screen.Fill(m.codec, m.data, r, min(r+step, m.rows), &scratch)
		})
		if err != nil {
			return nil, err
		}
		inUse := s.stop != nil && (s.dev.working.Load() || s.dev.calls.Load() != calls)
		if err = pace.rest(ctx, time.Since(start), inUse); err != nil {
			return nil, err
		}
	}
	return screen, nil
}

// pace holds the builder to its share of a core.
type pace struct {
	since         time.Time // the device is in use
	worked, burst time.Duration
}

// rest follows a piece of work. Time that the builder waited for a core counts
// as rest. The error is that of ctx.
func (p *pace) rest(ctx context.Context, worked time.Duration, inUse bool) error {
	if !inUse {
		*p = pace{since: time.Now()}
		return ctx.Err()
	}
	p.worked += worked
	p.burst += worked
	if owed := buildShare*p.worked - time.Since(p.since); owed > 0 {
		t := time.NewTimer(owed)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		p.burst = 0
	} else if p.burst >= buildBurst {
		runtime.Gosched()
		p.burst = 0
	}
	return ctx.Err()
}

// screened counts over all heads of a device.
type screened struct {
	bytes                              atomic.Int64
	screened, rescored, full, fallback atomic.Uint64
	spared                             atomic.Uint64
	last                               atomic.Pointer[screening]
}

var _ device.Screener = (*cpuDevice)(nil)

// SetScreening chooses how heads loaded from now on are screened; before, it is
// as TRITFLOW_SCREEN says. A wrong mode is a *device.SpecError.
func (d *cpuDevice) SetScreening(mode string) error {
	switch mode {
	case device.ScreenAuto, device.ScreenSix, device.ScreenEight, device.ScreenOff, device.ScreenNow:
	default:
		return &device.SpecError{Spec: mode, Reason: "modes of screening are auto, 6, 8, off and now"}
	}
	if !d.hold() {
		return fmt.Errorf("cpu: %s: %w", d.info.Name, device.ErrClosed)
	}
	defer d.turn.Release(1)
	d.setScreening(mode)
	return nil
}

// setScreening takes a mode apart.
func (d *cpuDevice) setScreening(mode string) {
	d.screenMode, d.screenBits = mode, 0
	switch mode {
	case device.ScreenSix:
		d.screenMode, d.screenBits = device.ScreenAuto, 6
	case device.ScreenEight:
		d.screenMode, d.screenBits = device.ScreenAuto, 8
	}
}

// Screening reads the counters.
func (d *cpuDevice) Screening() device.Screening {
	c := &d.screened
	s := device.Screening{
		Bytes: c.bytes.Load(), Screened: c.screened.Load(), Rescored: c.rescored.Load(),
		Full: c.full.Load(), Fallback: c.fallback.Load(), Spared: c.spared.Load(),
	}
	if last := c.last.Load(); last != nil {
		s.State, s.Reason = last.status()
	}
	return s
}
