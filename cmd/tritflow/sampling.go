package main

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/spf13/pflag"

	"tritflow/stages"
	"tritflow/stages/sample"
)

// samplingFlags say how an answer is drawn and when it ends.
type samplingFlags struct {
	fs        *pflag.FlagSet
	max       int
	params    sample.Params
	stop      []string
	ignoreEOS bool
	timeout   time.Duration
}

// add adds the flags; the last three say how is drawn unless told.
func (f *samplingFlags) add(fs *pflag.FlagSet, temperature float32, topK int, topP float32) {
	f.fs = fs
	p := &f.params
	fs.IntVarP(&f.max, "tokens", "n", 256, "most tokens to generate")
	fs.Float32Var(&p.Temperature, "temp", temperature, "temperature; 0 always takes the likeliest token")
	fs.IntVar(&p.TopK, "top-k", topK, "draw from the K likeliest tokens (0: off)")
	fs.Float32Var(&p.TopP, "top-p", topP, "draw from the likeliest tokens that together reach P, in (0,1] (1: off)")
	fs.Float32Var(&p.MinP, "min-p", 0, "drop tokens less likely than P times the likeliest (0: off)")
	fs.Float32Var(&p.TypicalP, "typical-p", 1, "locally typical sampling (1: off)")
	fs.Float32Var(&p.Repeat, "repeat-penalty", 1, "divide the logits of recent tokens by this (1: off)")
	fs.Float32Var(&p.Frequency, "frequency-penalty", 0, "subtract this for every recent occurrence of a token")
	fs.Float32Var(&p.Presence, "presence-penalty", 0, "subtract this once for every recent token")
	fs.IntVar(&p.LastN, "penalty-last-n", 64, "tokens that penalties look back on")
	fs.Uint64Var(&p.Seed, "seed", 0, "seed of the draws (default: drawn and reported)")
	fs.StringArrayVar(&f.stop, "stop", nil, "end the answer before this text (may be given several times)")
	fs.BoolVar(&f.ignoreEOS, "ignore-eos", false, "emit end tokens like any other and go on")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up after this time, for example 30s (0: never)")
}

// prepare checks the values before a model is loaded for them, and draws a
// seed where one is needed and none was given.
func (f *samplingFlags) prepare(a *app) error {
	if f.max <= 0 {
		return usagef("-n %d: there must be at least one token to generate", f.max)
	}
	if f.timeout < 0 {
		return usagef("--timeout %s is negative: give a time such as 30s, or 0 for none", f.timeout)
	}
	// In Params a zero means "off", so that its zero value is greedy; on the
	// command line it was written by somebody and is out of range.
	if f.params.TopP == 0 {
		return usagef("--top-p 0 would leave no token to draw: give a value above 0 and at most 1 (1 is off)")
	}
	if err := f.params.Validate(); err != nil {
		return &usageError{err}
	}
	if f.params.Temperature > 0 && !f.fs.Changed("seed") {
		var b [8]byte
		rand.Read(b[:]) // never fails
		f.params.Seed = binary.LittleEndian.Uint64(b[:])
		a.log.Info().Uint64("seed", f.params.Seed).Msg("seed drawn; give --seed to repeat this answer")
	}
	return nil
}

// request fills in everything but the prompt.
func (f *samplingFlags) request() stages.Request {
	return stages.Request{
		MaxTokens: f.max,
		Sampling:  f.params,
		Stop:      f.stop,
		IgnoreEOS: f.ignoreEOS,
		Timeout:   f.timeout,
	}
}
