package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"tritflow/cmd/tritflow/internal/check"
)

// checkText is a report for people.
func checkText(r *check.Report) string {
	var b strings.Builder
	describeContents(&b, r)
	switch {
	case r.OK && r.Healthy:
		fmt.Fprintf(&b, "%s will run\n", r.File)
	case r.OK:
		fmt.Fprintf(&b, "%s will run, and answer wrongly:\n", r.File)
	default:
		fmt.Fprintf(&b, "%s will not run:\n", r.File)
	}
	describeProblems(&b, r)
	describeHere(&b, r.Here)
	describeEngine(&b, r.Engine)
	return b.String()
}

func describeContents(b *strings.Builder, r *check.Report) {
	if c := r.Contents; c != nil {
		fmt.Fprintf(b, "%s, %s, %s parameters", c.Format, humanize.IBytes(c.Bytes), humanize.Comma(int64(c.Parameters)))
		if c.Ternary > 0 {
			fmt.Fprintf(b, " (%.0f %% ternary)", 100*c.Ternary)
		}
		fmt.Fprintf(b, ", %.2f bits each\n", c.Bits)
		fmt.Fprintf(b, "architecture %s, %d blocks, tokenizer %s", orNone(c.Arch), c.Blocks, c.Tokenizer)
		if c.Name != "" {
			fmt.Fprintf(b, ", named %.60q", c.Name)
		}
		b.WriteString("\n")
		var types []string
		for _, t := range c.Types {
			types = append(types, fmt.Sprintf("%d %s (%s)", t.Tensors, t.Type, humanize.IBytes(t.Bytes)))
		}
		fmt.Fprintf(b, "%d tensors: %s\n", c.Tensors, strings.Join(types, ", "))
	}
	if o := r.Origin; o != nil && o.Program != "" {
		fmt.Fprintf(b, "written by %s (%.0f %% sure: %s)\n", o.Program, 100*o.Sure, strings.Join(o.Marks, "; "))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func describeProblems(b *strings.Builder, r *check.Report) {
	tell := func(what string, all []check.Problem) {
		for _, p := range all {
			sure := ""
			if p.Sure < 1 {
				sure = fmt.Sprintf(" (%.4g %% sure)", 100*p.Sure)
			}
			fmt.Fprintf(b, "  %s%s: %s%s\n", what, p.Kind, p.Message, sure)
			if p.Fix != nil {
				fmt.Fprintf(b, "    -> %s\n", p.Fix.What)
			}
		}
	}
	tell("", r.Reasons)
	tell("", r.Wrong)
	tell("warning, ", r.Warnings)
	commands := map[string]bool{}
	for _, p := range r.Problems() {
		if p.Fix != nil && p.Fix.Command != "" && !commands[p.Fix.Command] {
			if len(commands) == 0 {
				b.WriteString("to mend it:\n")
			}
			commands[p.Fix.Command] = true
			fmt.Fprintf(b, "  %s\n", p.Fix.Command)
		}
	}
}

func describeHere(b *strings.Builder, h *check.Here) {
	if h == nil {
		return
	}
	if !h.Fits {
		fmt.Fprintf(b, "on this machine: does not fit: %s\n", h.Problem)
		return
	}
	fmt.Fprintf(b, "on this machine: %s, %s of memory for one request of %s positions", h.Device, humanize.IBytes(h.Memory), humanize.Comma(int64(h.Positions)))
	if h.Free > 0 {
		fmt.Fprintf(b, " (%s free)", humanize.IBytes(h.Free))
	}
	b.WriteString("\n")
	if h.Problem != "" {
		fmt.Fprintf(b, "  %s\n", h.Problem)
	}
	if h.Decode > 0 {
		most := "at most "
		if h.Prefill > 0 {
			most = ""
		}
		fmt.Fprintf(b, "  %sabout %s tokens a second", most, speed(h.Decode))
		if h.Prefill > 0 {
			fmt.Fprintf(b, ", prompts at %s", speed(h.Prefill))
		}
		fmt.Fprintf(b, "; %s\n", h.How)
	}
}

// speed has no more figures than an estimate deserves.
func speed(tokS float64) string {
	if tokS < 10 {
		return fmt.Sprintf("%.1f", tokS)
	}
	return humanize.Comma(int64(tokS + 0.5))
}

func describeEngine(b *strings.Builder, e *check.Engine) {
	if e == nil {
		return
	}
	switch {
	case !e.Loads:
		fmt.Fprintf(b, "%s will not load it:\n", e.Name)
	case !e.Right:
		fmt.Fprintf(b, "%s will load it, and answer wrongly:\n", e.Name)
	default:
		fmt.Fprintf(b, "%s will run it\n", e.Name)
	}
	for _, list := range [][]string{e.Reasons, e.Garbage} {
		for _, text := range list {
			fmt.Fprintf(b, "  %s\n", text)
		}
	}
	for _, text := range e.Warnings {
		fmt.Fprintf(b, "  warning: %s\n", text)
	}
	fmt.Fprintf(b, "  (as of %s)\n", e.Basis)
}

// repairText tells what a repair did, and what the result is like.
func repairText(rep *check.Repaired) string {
	var b strings.Builder
	if rep.Out == "" {
		b.WriteString(checkText(rep.Before))
		b.WriteString("nothing was written: there is nothing that could be mended without loss\n")
		return b.String()
	}
	for _, d := range rep.Done {
		fmt.Fprintf(&b, "mended, %s: %s\n", d.Cause, d.What)
	}
	b.WriteString(checkText(rep.After))
	return b.String()
}
