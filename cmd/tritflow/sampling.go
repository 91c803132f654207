package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

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
	seed      seedValue
	timeout   time.Duration
}

// add adds the flags; the last three say how is drawn unless told.
func (f *samplingFlags) add(fs *pflag.FlagSet, temperature float32, topK int, topP float32) {
	f.fs = fs
	p := &f.params
	alsoNamed(fs, llamaSamplingNames)
	fs.IntVarP(&f.max, "tokens", "n", 256, "most tokens to generate (-1: until the context is full)")
	fs.Float32Var(&p.Temperature, "temp", temperature, "temperature; 0 always takes the likeliest token")
	fs.IntVar(&p.TopK, "top-k", topK, "draw from the K likeliest tokens (0: off)")
	fs.Float32Var(&p.TopP, "top-p", topP, "draw from the likeliest tokens that together reach P, in (0,1] (1: off)")
	fs.Float32Var(&p.MinP, "min-p", 0, "drop tokens less likely than P times the likeliest (0: off)")
	fs.Float32Var(&p.TypicalP, "typical-p", 1, "locally typical sampling (1: off)")
	fs.Float32Var(&p.Repeat, "repeat-penalty", 1, "divide the logits of recent tokens by this (1: off)")
	fs.Float32Var(&p.Frequency, "frequency-penalty", 0, "subtract this for every recent occurrence of a token")
	fs.Float32Var(&p.Presence, "presence-penalty", 0, "subtract this once for every recent token")
	fs.IntVar(&p.LastN, "penalty-last-n", 64, "tokens that penalties look back on (-1: all, 0: none)")
	fs.VarP(&f.seed, "seed", "s", "seed of the draws (default, or -1: drawn and reported)")
	fs.StringArrayVar(&f.stop, "stop", nil, "end the answer before this text (may be given several times)")
	fs.BoolVar(&f.ignoreEOS, "ignore-eos", false, "emit end tokens like any other and go on")
	fs.DurationVar(&f.timeout, "timeout", 0, "give up after this time, for example 30s (0: never)")
}

// prepare checks the values before a model is loaded for them, and draws a
// seed where one is needed and none was given.
func (f *samplingFlags) prepare(a *app) error {
	f.max = unbounded(f.max)
	if f.max <= 0 {
		return usagef("-n %d: there must be at least one token to generate", f.max)
	}
	if f.timeout < 0 {
		return usagef("--timeout %s is negative: give a time such as 30s, or 0 for none", f.timeout)
	}
	if err := checkStops(f.stop); err != nil {
		return err
	}
	// In Params a zero means "off", so that its zero value is greedy; on the
	// command line it was written by somebody and is out of range.
	if f.params.TopP == 0 {
		return usagef("--top-p 0 would leave no token to draw: give a value above 0 and at most 1 (1 is off)")
	}
	if f.params.TypicalP == 0 || f.params.Repeat == 0 {
		return usagef("--typical-p 0 and --repeat-penalty 0 mean nothing: 1 is off")
	}
	switch f.params.LastN {
	case -1:
		f.params.LastN = math.MaxInt32
	case 0:
		f.params.LastN, f.params.Repeat, f.params.Frequency, f.params.Presence = 64, 1, 0, 0
	}
	if err := checkParams(f.params); err != nil {
		return err
	}
	f.params.Seed = f.seed.seed
	if f.params.Temperature > 0 && !f.seed.given {
		var b [8]byte
		rand.Read(b[:]) // never fails
		f.params.Seed = binary.LittleEndian.Uint64(b[:])
		a.log.Info().Uint64("seed", f.params.Seed).Msg("seed drawn; give --seed to repeat this answer")
	}
	return nil
}

// unbounded gives a number of tokens that is larger than any context for -1 and -2,
// as llama.cpp has them.
func unbounded(tokens int) int {
	if tokens == -1 || tokens == -2 {
		return math.MaxInt32
	}
	return tokens
}

// checkStops refuses stop strings that no request could have.
func checkStops(list []string) error {
	for _, s := range list {
		if s == "" || !utf8.ValidString(s) {
			return usagef("--stop %q: a stop string must be valid UTF-8 and not empty", s)
		}
	}
	return nil
}

// checkParams refuses values outside their range, by the names of their flags.
func checkParams(p sample.Params) error {
	err := p.Validate()
	var bad *sample.ParamError
	if !errors.As(err, &bad) {
		return err
	}
	flag := map[string]string{
		"Temperature": "temp", "TopK": "top-k", "TypicalP": "typical-p", "TopP": "top-p", "MinP": "min-p",
		"Repeat": "repeat-penalty", "Frequency": "frequency-penalty", "Presence": "presence-penalty", "LastN": "penalty-last-n",
	}[bad.Param]
	return usagef("--%s %v: it %s", flag, bad.Value, bad.Reason)
}

// seedValue is a seed, or -1 for one that is drawn.
type seedValue struct {
	seed  uint64
	given bool
}

func (v *seedValue) Type() string { return "uint" }

func (v *seedValue) String() string {
	if !v.given {
		return ""
	}
	return strconv.FormatUint(v.seed, 10)
}

func (v *seedValue) Set(s string) error {
	if *v = (seedValue{}); s == "-1" {
		return nil
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	*v = seedValue{seed, err == nil}
	return err
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
