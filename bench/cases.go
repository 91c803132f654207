package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tritflow/stages"
)

// What is measured.
var (
	decodeContexts = []int{0, 2048, 4096}
	prefillLengths = []int{128, 512, 2048}
)

// Batches are the numbers of sequences that decode at once where Options says none,
// and BatchContext is the length of their prompts.
var Batches = []int{4, 8, 16, 32}

const BatchContext = 32

const (
	loadContext = 512 // positions for load time and peak memory
	answer      = 480 // positions beyond the prompts while sequences are measured, so that the context is about what was asked for
	tailTokens  = 64  // at least so many of the context are left for what is measured
	mostLoads   = 5
	fillTime    = 15 * time.Second // at least, for the context of which the memory is told
)

// engineCase is what is measured on one engine.
type engineCase struct {
	devices   string
	positions int
	seqs      int
	parts     []part
}

// part measures one row of the report.
type part struct {
	name       string
	n, context int
}

// plan lists the measurements that fit the model.
func (b *bencher) plan() []engineCase {
	var cases []engineCase
	all := b.opt.Engine.Devices
	fits := func(c int, what string) bool {
		if c <= b.limit {
			return true
		}
		b.report.Skipped = append(b.report.Skipped, fmt.Sprintf("%s: the model has a context of %d", what, b.limit))
		return false
	}
	main := engineCase{devices: all, positions: min(b.limit, decodeContexts[len(decodeContexts)-1]+tailTokens), seqs: 1}
	if b.chosen("prefill") {
		for _, n := range prefillLengths {
			if fits(n, fmt.Sprintf("prefill of %d", n)) {
				main.parts = append(main.parts, part{name: "prefill", n: n})
			}
		}
	}
	if b.chosen("decode") {
		var parts []part
		for _, c := range decodeContexts {
			if fits(c, fmt.Sprintf("decode at %d", c)) {
				parts = append(parts, part{name: "decode", n: 1, context: c})
			}
		}
		main.parts = append(parts, main.parts...)
		if !b.ownDevices() && !b.report.GPU && !b.other {
			for _, t := range fewerThreads(b.report.Machine.Cores) {
				cases = append(cases, engineCase{fmt.Sprintf("cpu:%d", t), main.positions, 1, parts})
			}
		}
	}
	if len(main.parts) > 0 {
		cases = append(cases, main)
	}
	if b.chosen("batch") {
		c := engineCase{devices: all, positions: min(b.limit, b.opt.BatchContext+answer), seqs: slices.Max(b.opt.Batches)}
		for _, n := range b.opt.Batches {
			c.parts = append(c.parts, part{name: "batch", n: n, context: min(b.opt.BatchContext, b.limit/2)})
		}
		cases = append(cases, c)
	}
	return cases
}

// fewerThreads are the numbers of threads below all for which decode is
// measured: each of up to four, then doublings.
func fewerThreads(all int) (threads []int) {
	for n := 1; n < all; {
		threads = append(threads, n)
		if n < 4 {
			n++
		} else {
			n *= 2
		}
	}
	return threads
}

// cases runs everything that was chosen and shares the time equally.
func (b *bencher) cases(ctx context.Context, within time.Duration) error {
	cases := b.plan()
	total, done := 0, 0
	for _, c := range cases {
		total += len(c.parts)
	}
	if b.chosen("kernels") {
		total++
	}
	share := within / time.Duration(max(total, 1))
	step := func() {
		done++
		if b.opt.Step != nil {
			b.opt.Step(done, total)
		}
	}
	for _, c := range cases {
		if err := b.engine(ctx, c, share, step); err != nil {
			return err
		}
	}
	if b.chosen("kernels") {
		if err := b.kernels(ctx, share); err != nil {
			return err
		}
		step()
	}
	return nil
}

// engine opens one engine and measures on it.
func (b *bencher) engine(ctx context.Context, c engineCase, share time.Duration, step func()) (err error) {
	e, err := b.open(ctx, c.devices, c.positions, c.seqs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	// A larger context may have found another place than the one of load.
	if err := b.roofs(ctx, e.Devices()); err != nil {
		return err
	}
	costs, err := newCosts(e.Model(), e.Plan(), e.Devices(), b.opt.Engine.KV)
	if err != nil {
		return err
	}
	// Whatever is made on first use is made here, and the weights are paged in.
	if _, err := stream(ctx, e, 1, min(BatchContext, e.Ctx()/2), warmTokens, 0); err != nil {
		return err
	}
	if err := settled(ctx, e.Devices()); err != nil {
		return err
	}
	for _, p := range c.parts {
		if err := b.part(ctx, e, costs, p, share); err != nil {
			return fmt.Errorf("bench: %s %d at %d: %w", p.name, p.n, p.context, err)
		}
		step()
	}
	return nil
}

// part measures one row and appends it to the report.
func (b *bencher) part(ctx context.Context, e *stages.Engine, c *costs, p part, share time.Duration) error {
	r := Result{Name: p.name, Threads: c.threads(), N: p.n, Context: p.context}
	n := float64(p.n)
	var tokS []float64
	var s step
	var tokens float64
	var err error
	before := screening(e.Devices())
	if p.name == "prefill" {
		tokS, err = prefill(ctx, e, p.n, share)
		s, tokens = step{rows: n, answers: 1, positions: n}, n
	} else {
		var position float64
		// At the end of the model's context the prompt makes room for the answer.
		length := max(1, min(p.context, e.Ctx()-tailTokens))
		tokS, position, err = decode(ctx, e, p.n, length, share)
		s, tokens = step{rows: n, answers: n, positions: n * position}, n
	}
	if err != nil {
		return err
	}
	if len(tokS) == 0 {
		b.report.Skipped = append(b.report.Skipped, fmt.Sprintf("%s %d at %d: the context of %d is too short to measure", p.name, p.n, p.context, e.Ctx()))
		return nil
	}
	r.TokS = spread(tokS)
	r.limit(&b.report.Machine, c.withHead(before, screening(e.Devices()), s.answers), s, tokens)
	b.report.Results = append(b.report.Results, r)
	b.log.Info().Str("work", r.Name).Int("threads", r.Threads).Int("n", r.N).Int("context", r.Context).
		Float64("tok_s", r.TokS.Median).Msg("measured")
	return nil
}
