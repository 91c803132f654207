package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/evaluation"
	"tritflow/gguf/builtin"
)

const evalHelp = `Ask a model the questions of the built-in model's card, count the right
answers, and say pass or fail.

Every question has one right answer, or words that must be in it, and the answer
must end by itself. Answers are greedy. A row passes when its share reaches the
target and, for the built-in model, is within 0.5 % of what the trainer's own
forward pass counted (the card), or one answer off. The set is in the program; ` + "`tritflow builtin --card`" + `
and docs/builtin.md say how the model was made.

--only asks the groups whose names contain one of the words; --most asks some of
each group, evenly chosen, and leaves the card out.

--json prints one object:

  model pass rows[]{name, right, of, share, target, card, pass, wrong[]}
  wrong[]{question, answer, finish, want, words[]}

` + exitHelp

// evalSeqs is how many questions the built-in model answers at once; it is so
// small that its cache hardly counts. Other models have the engine's default.
const evalSeqs = 32

// errBelow: eval has printed what is below the card.
var errBelow = errors.New("the model does not reach the card")

type evalFlags struct {
	engineFlags
	only  []string
	most  int
	wrong bool
	json  bool
}

func (a *app) evalCommand() *cobra.Command {
	var f evalFlags
	cmd := &cobra.Command{
		Use:   "eval [-m FILE]",
		Short: "Count a model's right answers beside the built-in model's card",
		Long:  evalHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.eval(ctx, &f) }),
	}
	fs := cmd.Flags()
	f.add(cmd)
	fs.StringSliceVar(&f.only, "only", nil, "groups whose names contain one of these words")
	fs.IntVar(&f.most, "most", 0, "questions of each group (default: all)")
	fs.BoolVar(&f.wrong, "wrong", false, "print the wrong answers too")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

func (a *app) eval(ctx context.Context, f *evalFlags) (err error) {
	set, err := builtin.ReadQuestions()
	if err != nil {
		return err
	}
	opt := evaluation.Options{Most: f.most, Groups: f.chosen}
	if f.most < 0 {
		return usagef("--most %d is negative: give a number of questions, or 0 for all", f.most)
	}
	if !anyGroup(set, f.chosen) {
		return usagef("--only %s: no group has such a name; `tritflow builtin --card` lists them", strings.Join(f.only, ","))
	}
	if f.path == "" {
		f.seqs = evalSeqs
		if opt.Card, err = builtin.ReadCard(); err != nil {
			return err
		}
	}
	e, err := f.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	var done func()
	opt.Progress, done = a.progress("evaluating")
	report, err := evaluation.Run(ctx, e, set, opt)
	done()
	if err != nil {
		return err
	}
	report.Model = builtin.Name
	if f.path != "" {
		report.Model = f.path
	}
	if f.json {
		err = a.out.json(report, true)
	} else {
		err = report.WriteTable(a.out, f.wrong)
	}
	if err == nil && !report.Pass {
		err = errBelow
	}
	return err
}

// chosen says whether --only names a group.
func (f *evalFlags) chosen(g *builtin.Group) bool {
	if len(f.only) == 0 {
		return true
	}
	for _, word := range f.only {
		if strings.Contains(g.Name, word) {
			return true
		}
	}
	return false
}

func anyGroup(set *builtin.Questions, chosen func(*builtin.Group) bool) bool {
	for i := range set.Groups {
		if chosen(&set.Groups[i]) {
			return true
		}
	}
	return false
}
