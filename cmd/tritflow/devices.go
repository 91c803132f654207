package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tritflow/bench"
	"tritflow/device"
)

const devicesHelp = `Show every device of this machine that a model could run on, and what it can do:
memory, the speed of reading and copying it, int8 operations (a product and its
addition are two), the driver, and why a device cannot be used. --quick leaves the
measuring out. The CPU's memory is the machine's, or less where control groups limit
it (containers, slices of systemd).

--json prints one object, figures that are not known or not measured being 0:

  devices[]{name, kind, model, memory, free, units, capability, driver, bus,
            read_bytes_s, copy_bytes_s, int8_ops_s, nominal_bytes_s, problem}
  missing[]{kind, reason}

` + exitHelp

type devicesReport struct {
	Devices []device.Found `json:"devices"`
	Missing []missingKind  `json:"missing"`
}

// missingKind is a kind of device that this machine or program lacks.
type missingKind struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

func (a *app) devicesCommand() *cobra.Command {
	var asJSON, quick bool
	cmd := &cobra.Command{
		Use:   "devices",
		Short: "Show what this machine has to run models on, measured",
		Long:  devicesHelp,
		Args:  arguments(0, 0),
		RunE: a.do(func(ctx context.Context, _ []string) error {
			r, err := surveyDevices(ctx, !quick)
			if err != nil {
				return err
			}
			if asJSON {
				return a.out.json(r, true)
			}
			return r.print(a.out)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&quick, "quick", false, "measure nothing")
	return cmd
}

// cpuProbe is how long the processor is measured.
const cpuProbe = time.Second

func surveyDevices(ctx context.Context, measure bool) (*devicesReport, error) {
	within := cpuProbe
	if !measure {
		within = 0
	}
	cpu, err := bench.SurveyCPU(ctx, within)
	if err != nil {
		return nil, err
	}
	others, problems := device.Survey(ctx, measure)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := &devicesReport{Devices: append([]device.Found{cpu}, others...), Missing: []missingKind{}}
	if !slices.Contains(device.Kinds(), "cuda") {
		r.Missing = append(r.Missing, missingKind{"cuda", "this program was built without CUDA; `just cuda` builds one with it"})
	}
	for _, kind := range device.Kinds() {
		if err := problems[kind]; err != nil {
			r.Missing = append(r.Missing, missingKind{kind, err.Error()})
		}
	}
	return r, nil
}

func (r *devicesReport) print(w io.Writer) error {
	var b strings.Builder
	entry := func(name string, lines ...string) {
		for _, line := range lines {
			fmt.Fprintf(&b, "%-8s  %s\n", name, line)
			name = ""
		}
	}
	for i := range r.Devices {
		entry(r.Devices[i].Name, describeFound(&r.Devices[i])...)
	}
	for _, m := range r.Missing {
		entry(m.Kind, "none: "+m.Reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// describeFound tells of a device in a few lines.
func describeFound(f *device.Found) []string {
	var lines []string
	line := func(parts ...string) {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(parts) > 0 {
			lines = append(lines, strings.Join(parts, ", "))
		}
	}
	// told makes a part of a line unless there is nothing to tell.
	told := func(there bool, format string, args ...any) string {
		if !there {
			return ""
		}
		return fmt.Sprintf(format, args...)
	}
	units, capability := "cores", "kernels "
	if f.Kind != "cpu" {
		units, capability = "multiprocessors", "compute capability "
	}
	line(f.Model, told(f.Bus != "", "at %s", f.Bus))
	line(told(f.Units > 0, "%d %s", f.Units, units), told(f.Capability != "", "%s%s", capability, f.Capability), f.Driver)
	line(told(f.Memory > 0, "%s of memory", humanize.IBytes(f.Memory)), told(f.Free > 0, "%s free", humanize.IBytes(f.Free)))
	line(told(f.Read > 0, "reads %.1f GB/s%s", f.Read/1e9, told(f.Nominal > 0, " of %.1f", f.Nominal/1e9)),
		told(f.Copy > 0, "copies %.1f GB/s", f.Copy/1e9), told(f.Int8 > 0, "%.3g int8 TOPS", f.Int8/1e12))
	line(told(f.Problem != "", "cannot be used: %s", f.Problem))
	return lines
}
