package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"tritflow/device"
	_ "tritflow/device/cpu" // the machine is described by it
	"tritflow/quantkern"
	"tritflow/stages"
)

// Options of Run. The zero value measures the built-in model on the default
// devices; Engine's Ctx and MaxSeqs are chosen by the measurements.
type Options struct {
	Model  string         // path, "" = the built-in model
	Engine stages.Options // devices, split, KV type, log ...
	Only   []string       // kinds of Kinds; nil = Defaults
	Time   time.Duration  // for what is measured in all; reading the prompts before it is on top. 0 = 30 s
	// The numbers of sequences that decode at once and the length of their prompts;
	// nil and 0 = Batches and BatchContext of this package.
	Batches      []int
	BatchContext int
	Against      string // a device list on which the same is measured for comparison; "" = none
	Step         func(done, total int)
	probe        int // bytes of the read probe, 0 = probeBytes
}

// Kinds of measurements. The probes and one load are always made.
var Kinds = []string{"decode", "prefill", "batch", "load", "kernels"}

// Defaults are what is measured when nothing is chosen.
var Defaults = []string{"decode", "prefill", "batch", "load"}

// KindError: Options.Only names a measurement that is not there.
type KindError struct{ Kind string }

func (e *KindError) Error() string {
	return fmt.Sprintf("bench: there is no measurement %q; there are %s", e.Kind, strings.Join(Kinds, ", "))
}

// OpenError: the model could not be opened on the devices.
type OpenError struct{ Err error }

func (e *OpenError) Error() string { return e.Err.Error() }

// Unwrap gives the error of package gguf, vocab, graph, device or stages.
func (e *OpenError) Unwrap() error { return e.Err }

// bencher is a Run under way.
type bencher struct {
	opt    Options
	log    zerolog.Logger // the caller's
	report *Report
	limit  int  // positions of the model
	other  bool // these are the devices of Options.Against
}

// Run measures. Errors are a *KindError, an *OpenError, those of requests, or
// the cause of ctx.
func Run(ctx context.Context, opt Options) (*Report, error) {
	if opt.Only == nil {
		opt.Only = Defaults
	}
	for _, k := range opt.Only {
		if !slices.Contains(Kinds, k) {
			return nil, &KindError{k}
		}
	}
	if opt.Time <= 0 {
		opt.Time = 30 * time.Second
	}
	if opt.Batches == nil {
		opt.Batches = Batches
	}
	if opt.BatchContext <= 0 {
		opt.BatchContext = BatchContext
	}
	if opt.probe == 0 {
		opt.probe = probeBytes
	}
	if opt.Engine.KV == "" {
		opt.Engine.KV = "f16"
	}
	if opt.Against != "" {
		// Or what cannot be had would be noticed when half of the work is done.
		if err := openable(opt.Against); err != nil {
			return nil, &OpenError{err}
		}
	}
	b := &bencher{opt: opt, log: opt.Engine.Log, report: &Report{Results: []Result{}}}
	// First, so that the peak memory is that of a program which only runs the model.
	debug.FreeOSMemory()
	resetPeakRSS()
	if err := b.load(ctx, opt.Time/12); err != nil {
		return nil, err
	}
	if err := b.machine(ctx, opt.Time/6); err != nil {
		return nil, err
	}
	share := opt.Time * 3 / 4
	if opt.Against != "" {
		share /= 2
	}
	if err := b.cases(ctx, share); err != nil {
		return nil, err
	}
	if opt.Against != "" {
		if err := b.compare(ctx, share); err != nil {
			return nil, err
		}
	}
	return b.report, nil
}

// openable opens a list of devices and closes them.
func openable(list string) error {
	devs, err := device.OpenList(list)
	for _, d := range devs {
		err = errors.Join(err, d.Close())
	}
	return err
}

// chosen tells whether a kind is measured.
func (b *bencher) chosen(kind string) bool { return slices.Contains(b.opt.Only, kind) }

// open opens the model with a context and a number of sequences.
func (b *bencher) open(ctx context.Context, devices string, positions, seqs int) (*stages.Engine, error) {
	o := b.opt.Engine
	if devices != o.Devices {
		o.Devices, o.Split = devices, nil // the split is that of the caller's devices
	}
	o.Ctx, o.MaxSeqs = positions, seqs
	o.NoPrefixCache = true           // prompts that come again are to be computed again
	b.opt.Engine.Log = zerolog.Nop() // what is to be said of the model was said the first time
	e, err := stages.Open(ctx, b.opt.Model, o)
	if err != nil {
		return nil, &OpenError{err}
	}
	return e, nil
}

// ownDevices tells whether the caller named devices.
func (b *bencher) ownDevices() bool {
	return b.opt.Engine.Devices != "" && b.opt.Engine.Devices != "auto"
}

// machine describes the processor and probes it.
func (b *bencher) machine(ctx context.Context, within time.Duration) error {
	devs, err := device.OpenList("cpu")
	if err != nil {
		return err
	}
	info := devs[0].Info()
	if err := devs[0].Close(); err != nil {
		return err
	}
	m := &b.report.Machine
	m.CPU, m.Features, m.Cores = info.Model, info.Features, info.Workers
	if m.Features == nil {
		m.Features = []string{}
	}
	b.report.Tier, _ = quantkern.Tier() // its error was told by OpenList
	threads := m.Cores
	if b.ownDevices() {
		threads = max(threads, min(b.workers(), runtime.NumCPU()))
	}
	m.ReadGBps, m.Int8TOPS, err = probe(ctx, threads, b.opt.probe, within)
	debug.FreeOSMemory() // the probe's buffer
	return err
}

// workers is how many threads the caller's devices have.
func (b *bencher) workers() int {
	specs, err := device.ParseList(b.opt.Engine.Devices)
	if err != nil {
		return 0 // opening them has told
	}
	n := 0
	for _, s := range specs {
		var w int
		if _, err := fmt.Sscanf(s.Arg, "%d", &w); err == nil && s.Kind == "cpu" {
			n += w
		}
	}
	return n
}
