//go:build cuda

package cuda

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

const (
	probeBytes   = 1 << 30 // far more than caches hold; halved until it fits
	leastBytes   = 16 << 20
	probeTries   = 12
	probeSeconds = 4e-3 // of a try: long against starting a kernel, short enough to stay cool
	probeThreads = 512  // of probe_read; probe_int8 has 128
)

// meter measures what a GPU can do at most. It lives on the thread that made it.
type meter struct {
	c          *driver.Context
	p          *driver.Properties
	s          driver.Stream
	begin, end driver.Event
	m          driver.Module
	buffer     driver.Ptr
	bytes      int64
	out        driver.Ptr
	undo       []func() error
}

// measured fills in the measured figures. It belongs on a thread on which c is current.
func measured(ctx context.Context, c *driver.Context, p *driver.Properties, f *device.Found) error {
	m, err := newMeter(c, p)
	if err != nil {
		return err
	}
	return errors.Join(m.measure(ctx, f), m.close())
}

func newMeter(c *driver.Context, p *driver.Properties) (_ *meter, err error) {
	m := &meter{c: c, p: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.s, err = c.NewStream(0); err != nil {
		return nil, err
	}
	m.undo = append(m.undo, m.s.Destroy)
	for _, e := range []*driver.Event{&m.begin, &m.end} {
		if *e, err = c.NewEvent(true); err != nil {
			return nil, err
		}
		m.undo = append(m.undo, e.Destroy)
	}
	if m.m, _, err = loadModule(c, p, "probe"); err != nil {
		return nil, err
	}
	m.undo = append(m.undo, m.m.Unload)
	if m.out, err = m.take(256); err != nil {
		return nil, err
	}
	for m.bytes = probeBytes; ; m.bytes /= 2 {
		if m.buffer, err = m.take(m.bytes); err == nil {
			break
		}
		if !errors.Is(err, driver.ErrOutOfMemory) || m.bytes <= leastBytes {
			return nil, fmt.Errorf("measuring needs %s: %w", humanize.IBytes(leastBytes), err)
		}
	}
	// Both halves: or memory that nobody wrote may be read from nowhere.
	return m, c.Fill(m.buffer, 0, m.bytes)
}

func (m *meter) take(bytes int64) (driver.Ptr, error) {
	p, err := m.c.Alloc(bytes)
	if err == nil {
		m.undo = append(m.undo, func() error { return m.c.Free(p) })
	}
	return p, err
}

func (m *meter) close() error {
	var errs []error
	for i := len(m.undo) - 1; i >= 0; i-- {
		errs = append(errs, m.undo[i]())
	}
	m.undo = nil
	return errors.Join(errs...)
}

func (m *meter) measure(ctx context.Context, f *device.Found) error {
	read, err := m.reader()
	if err != nil {
		return err
	}
	defer read.Args.Free()
	seconds, err := m.fastest(ctx, func() error { return read.Run(m.s) })
	if err != nil {
		return err
	}
	f.Read = float64(m.bytes) / seconds

	half := m.bytes / 2
	if seconds, err = m.fastest(ctx, func() error { return m.s.CopyAsync(m.buffer, m.buffer.Offset(half), half) }); err != nil {
		return err
	}
	f.Copy = float64(2*half) / seconds

	f.Int8, err = m.int8(ctx)
	return err
}

func (m *meter) reader() (*driver.Launch, error) {
	fn, err := m.m.Function("probe_read")
	if err != nil {
		return nil, err
	}
	blocks, err := fn.BlocksPerSM(probeThreads, 0)
	if err != nil {
		return nil, err
	}
	args := driver.NewArgs(3)
	args.SetPtr(0, m.buffer)
	args.SetInt(1, int(m.bytes/16))
	args.SetPtr(2, m.out)
	return fn.Prepare(driver.Config{Grid: driver.Dim{X: max(1, blocks) * m.p.SMs}, Block: driver.Dim{X: probeThreads}}, args), nil
}

// int8 is operations a second on the tensor cores.
func (m *meter) int8(ctx context.Context) (float64, error) {
	const threads = 128
	fn, err := m.m.Function("probe_int8")
	if err != nil {
		return 0, err
	}
	at, size, err := m.m.Global("probe_int8_ops")
	if err != nil {
		return 0, err
	}
	var ops [8]byte
	if size != int64(len(ops)) {
		return 0, fmt.Errorf("cuda: probe_int8_ops has %d bytes", size)
	}
	if err := m.c.CopyOut(ops[:], at); err != nil {
		return 0, err
	}
	blocks, err := fn.BlocksPerSM(threads, 0)
	if err != nil {
		return 0, err
	}
	grid := max(1, blocks) * m.p.SMs
	args := driver.NewArgs(2)
	defer args.Free()
	l := fn.Prepare(driver.Config{Grid: driver.Dim{X: grid}, Block: driver.Dim{X: threads}}, args)
	args.SetPtr(1, m.out)
	rounds := 256
	for {
		args.SetInt(0, rounds)
		seconds, err := m.fastest(ctx, func() error { return l.Run(m.s) })
		if err != nil {
			return 0, err
		}
		if seconds >= probeSeconds || rounds >= 1<<24 {
			return float64(grid) * float64(rounds) * float64(binary.LittleEndian.Uint64(ops[:])) / seconds, nil
		}
		rounds *= 4
	}
}

// fastest is the least time that work in the stream takes, in seconds.
func (m *meter) fastest(ctx context.Context, work func() error) (float64, error) {
	least := 0.0
	for range probeTries {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err := m.begin.Record(m.s); err != nil {
			return 0, err
		}
		if err := work(); err != nil {
			return 0, err
		}
		if err := m.end.Record(m.s); err != nil {
			return 0, err
		}
		if err := m.end.Synchronize(); err != nil {
			return 0, err
		}
		t, err := m.end.Since(m.begin)
		if err != nil {
			return 0, err
		}
		if t > 0 && (least == 0 || t < least) {
			least = t
		}
	}
	if least == 0 {
		return 0, errors.New("cuda: the device's clock stands still")
	}
	return least, nil
}
