package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tritflow/stages"
)

const planHelp = `Say where a model would go, what memory it would take and how fast it would be,
without loading it.

Speeds come from running parts of the model on each device for a second or two;
the result is kept in the user's cache directory and measured again when the
machine, its devices or the model's shapes change (--measure=false: no speeds).

--json prints one object:

  layout{replicas[]{first, plan{devices, parts, stages}}, memory, waves, chunk, sequences, ctx, kv}
  forecast{requests, parts[]{device, step_seconds, busy}, single, prefill, unpipelined,
    pipelined, as_planned, best_device, as_replicas}       (tokens a second; null without speeds)

--dot draws the plan for Graphviz. What does not fit is refused with the numbers.

` + exitHelp

type planFlags struct {
	engineFlags
	requests int
	context  int
	measure  bool
	json     bool
	dot      bool
}

func (a *app) planCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan [-m FILE] [--devices LIST]",
		Short: "Placement, memory and expected speed, before loading",
		Long:  planHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.plan(ctx, &f) }),
	}
	f.engineFlags.add(cmd)
	fs := cmd.Flags()
	fs.IntVar(&f.requests, "requests", 8, "requests at once")
	fs.IntVar(&f.context, "at", 128, "earlier positions of a row, on average, for the speeds")
	fs.BoolVar(&f.measure, "measure", true, "measure the devices, where that has not been done")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.BoolVar(&f.dot, "dot", false, "print the plan as a graph for Graphviz")
	atMostOne(cmd, "json", "dot")
	return cmd
}

func (a *app) plan(ctx context.Context, f *planFlags) (err error) {
	if f.requests < 1 || f.context < 0 {
		return usagef("--requests must be at least 1 and --at at least 0")
	}
	if err := f.settle(ctx, a); err != nil {
		return err
	}
	opt, err := f.options(a)
	if err != nil {
		return err
	}
	opt.MaxSeqs = f.requests
	if opt.Profiles = nil; f.measure {
		opt.Profiles = a.profiles()
	}
	file, err := f.open(a)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, file.Close()) }()
	l, forecast, err := stages.Plan(ctx, file, opt, f.requests, float64(f.context))
	if err != nil {
		return openFailure(ctx, err)
	}
	switch {
	case f.json:
		return a.out.json(map[string]any{"layout": l, "forecast": forecast}, true)
	case f.dot:
		return l.Replicas[0].Plan.WriteDot(a.out)
	}
	return writePlan(a.out, l, forecast)
}

// writePlan is the table for people.
func writePlan(out io.Writer, l *stages.Layout, f *stages.Forecast) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	size := humanize.IBytes
	fmt.Fprintln(w, "device\tholds\tweights\tcopies\tscreening\tkv cache\tactivations\ttotal\tof\ta step")
	row := 0
	for ri, r := range l.Replicas {
		for i, p := range r.Plan.Parts() {
			m := l.Memory.Devices[row]
			limit, step := "no limit", "-"
			if m.Limit > 0 {
				limit = size(m.Limit)
			}
			if f != nil && ri == 0 {
				step = fmt.Sprintf("%.1f ms (%.0f%%)", 1e3*f.Parts[i].Step, 100*f.Parts[i].Busy)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Device, p.Stages(), size(m.Weights), size(m.Copies),
				size(m.Screening), size(m.KV), size(m.Activations), size(m.Total()), limit, step)
			row++
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	limit := ""
	if l.Memory.Limit > 0 {
		limit = " of " + size(l.Memory.Limit) + " allowed"
	}
	_, err := fmt.Fprintf(out, "\nhost memory %s%s (%s of weights are shared, %s for the program); KV pages %d of %d wanted\n"+
		"%d sequences of %d positions, cache %s; %d steps in flight a replica, at most %d rows each\n",
		size(l.Memory.Host), limit, size(l.Memory.Shared), size(l.Memory.Program), l.Memory.Pages, l.Memory.Wanted,
		l.Seqs, l.Ctx, l.KV, l.Waves, l.Chunk)
	if err != nil || f == nil {
		return err
	}
	fmt.Fprintf(w, "\nexpected\ttok/s\n")
	for _, line := range []struct {
		name string
		tokS float64
	}{
		{"one request, answering", f.Single},
		{"one prompt of 512, being read", f.Prefill},
		{fmt.Sprintf("%d requests, as planned", f.Requests), f.AsPlanned},
		{fmt.Sprintf("%d requests, one step in flight", f.Requests), f.Unpipelined},
		{fmt.Sprintf("%d requests, a step for each device", f.Requests), f.Pipelined},
		{fmt.Sprintf("%d requests on the best single device (%s)", f.Requests, f.BestName), f.BestDevice},
		{fmt.Sprintf("%d requests on a replica for each device", f.Requests), f.AsReplicas},
	} {
		speed := "does not fit"
		if line.tokS > 0 {
			speed = fmt.Sprintf("%.1f", line.tokS)
		}
		fmt.Fprintf(w, "%s\t%s\n", line.name, speed)
	}
	return w.Flush()
}
