package stages

import (
	"context"
	"errors"
	"strings"

	"tritflow/device"
)

// auto tells whether the choice of devices is left to the program.
func (o Options) auto() bool { return o.Devices == "" || o.Devices == "auto" }

// deviceLists are the lists to try, in order. That an accelerator cannot be used is told
// here, in one line for each kind of them.
func (o Options) deviceLists() ([]string, error) {
	if !o.auto() {
		return []string{o.Devices}, nil
	}
	lists, missing := device.Auto()
	cpuOnly := len(lists) == 1
	if o.Strict && cpuOnly {
		return nil, noAccelerator(missing)
	}
	for _, err := range missing {
		if cpuOnly {
			o.Log.Warn().Msgf("running on the CPU: %v", err)
		} else {
			o.Log.Warn().Msgf("going on without: %v", err)
		}
	}
	if o.Strict {
		lists = lists[:len(lists)-1]
	}
	return lists, nil
}

func noAccelerator(missing []error) error {
	reason := "this program knows no accelerator"
	cause := errors.Join(missing...)
	if cause != nil {
		reason = strings.ReplaceAll(cause.Error(), "\n", "; ")
	}
	return &device.UnavailableError{Device: "auto", Err: cause,
		Reason: "only the CPU is left, which strict devices rule out: " + reason}
}

// somewhere calls try with one list of devices after the other, until one can
// take the model.
func (o Options) somewhere(try func(Options) error) error {
	lists, err := o.deviceLists()
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		o.Devices = lists[i]
		err := try(o)
		if err == nil || i == len(lists)-1 || !elsewhere(err) {
			return err
		}
		o.Log.Warn().Msgf("trying %s instead of %s: %v", lists[i+1], lists[i], err)
	}
}

// placeSomewhere loads the model onto the first of the lists that can take it. What it
// opened is in e.held, also when it fails.
func (e *Engine) placeSomewhere(ctx context.Context, opt Options) (specs [][]spec, err error) {
	before := len(e.held)
	err = opt.somewhere(func(opt Options) error {
		// A device that is lost may not close well; that is no reason not to use another one.
		tried := e.held[before:]
		e.held = e.held[:before]
		if cerr := tried.Close(); cerr != nil {
			opt.Log.Warn().Msgf("closing what was tried: %v", cerr)
		}
		specs, err = e.place(ctx, opt)
		return err
	})
	return specs, err
}

// elsewhere tells whether other devices may do what these could not.
func elsewhere(err error) bool {
	return device.Elsewhere(err) || TooLarge(err)
}
