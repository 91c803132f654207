package main

import (
	"time"

	"github.com/rs/zerolog"
	"github.com/schollz/progressbar/v3"
)

// patience is how long something may take before a progress bar appears.
const patience = 500 * time.Millisecond

// bars says whether there is a terminal to draw progress on, and somebody who wants
// to see more than errors.
func (a *app) bars() bool { return a.terminal && a.log.GetLevel() <= zerolog.InfoLevel }

// progress returns a callback that draws a bar on a terminal once the work has
// gone on for longer than patience, and a function that removes it. Elsewhere
// the callback is nil.
func (a *app) progress(what string) (step func(done, total int), finish func()) {
	if !a.bars() {
		return nil, func() {}
	}
	var bar *progressbar.ProgressBar
	start := time.Now()
	step = func(done, total int) {
		if bar == nil {
			if time.Since(start) < patience {
				return
			}
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(a.err),
				progressbar.OptionSetDescription(what), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set(done) // a bar that cannot be drawn is no reason to stop
	}
	return step, func() {
		if bar != nil {
			_ = bar.Clear()
		}
	}
}
