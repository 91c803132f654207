package main

import (
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// logFlags say how much the log tells.
type logFlags struct {
	level   string
	verbose bool
	quiet   bool
}

func (f *logFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.level, "log-level", "info", "least severe messages on standard error: trace, debug, info, warn, error or off")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "the same as --log-level debug")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "the same as --log-level error")
}

// configure puts the flags into effect.
func (f *logFlags) configure(a *app) error {
	name := f.level
	switch {
	case f.verbose && f.quiet:
		return usagef("--verbose and --quiet contradict each other: give one of them")
	case f.verbose:
		name = "debug"
	case f.quiet:
		name = "error"
	case name == "off":
		name = "disabled"
	}
	level, err := zerolog.ParseLevel(name)
	if err != nil || name == "" {
		return usagef("--log-level %q is unknown: use trace, debug, info, warn, error or off", f.level)
	}
	a.log = a.newLogger(level)
	return nil
}

// newLogger writes lines for people to a terminal (coloured unless NO_COLOR is
// set) and JSON to anything else.
func (a *app) newLogger(level zerolog.Level) zerolog.Logger {
	w := a.err
	if a.terminal {
		w = zerolog.ConsoleWriter{Out: a.err, NoColor: os.Getenv("NO_COLOR") != "", TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
