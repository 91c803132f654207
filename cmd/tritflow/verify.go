package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/receipt"
)

const verifyHelp = `Compute again what a receipt tells, and say whether the same came out.

The receipt is one that ` + "`run --receipt FILE`" + ` or ` + "`batch --receipt FILE`" + ` wrote. The
hashes of the model's metadata and tensors are compared first, then the ids of
every prompt, every token that was drawn and the bits of its logit, and the text;
for a batch the input, the output and the digest of all draws. What differs first
is named.

On CPUs the results do not depend on kernels, threads, devices or what else is
computed, so --devices may be anything; a receipt of a GPU is confirmed on a GPU of
the same kind. -m names the model, -i the input of a batch and -o its output where
they are elsewhere now.

--json prints one object:

  confirmed receipt model tensors answers draws notes[] difference{where, want, got}

Exit codes:
  0    confirmed
  1    something differs
  2    refused: no receipt, a damaged one, a missing model or input
  130  interrupted with Ctrl-C (143: terminated)`

// errDiffers: verify has said what differs.
var errDiffers = errors.New("the receipt is not confirmed")

type verifyFlags struct {
	engineFlags
	in, out string
	json    bool
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify RECEIPT",
		Short: "Compute a receipt again and compare",
		Long:  verifyHelp,
		Args:  arguments(1, 1),
		RunE:  a.do(func(ctx context.Context, args []string) error { return a.verify(ctx, &f, args[0]) }),
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.path, "model", "m", "", "the model's file, where it is not the one that the receipt names")
	fs.StringVar(&f.devices, "devices", "", "where to compute (default: the processor; for a receipt of GPUs the same GPUs)")
	fs.IntSliceVar(&f.split, "split", nil, "blocks on each device, for example 15,15 (default: planned)")
	fs.StringVar(&f.screen, "screen", "", "8-bit copy of the head: auto, 6 or 8 (bits read), or off")
	fs.IntVar(&f.waves, "waves", 0, "steps in flight (default: as many as devices)")
	fs.IntVar(&f.replicas, "replicas", 1, "divide the devices into so many equal parts, with a whole model on each")
	fs.StringVar(&f.prefixCache, "prefix-cache", "on", "on or off")
	fs.StringSliceVar(&f.maxMemory, "max-memory", nil, "most memory to use, as for run")
	fs.StringVarP(&f.in, "input", "i", "", "the input of a batch, where it is not the one that the receipt names")
	fs.StringVarP(&f.out, "output", "o", "", "the output of a batch, to name the first line that differs")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

// verdict is what verify prints.
type verdict struct {
	Confirmed  bool                `json:"confirmed"`
	Receipt    string              `json:"receipt"`
	Model      string              `json:"model"`
	Tensors    int                 `json:"tensors"` // equal ones
	Answers    int64               `json:"answers"`
	Draws      int64               `json:"draws"` // tokens that were computed again
	Notes      []string            `json:"notes"` // what is different and must not matter
	Difference *receipt.Difference `json:"difference"`
}

func (a *app) verify(ctx context.Context, f *verifyFlags, path string) error {
	r, err := receipt.Read(path)
	if err != nil {
		return err
	}
	f.restore(r)
	v := &verdict{Receipt: path, Model: f.path, Notes: f.notes(r)}
	if v.Model == "" {
		v.Model = "the model inside the program"
	}
	model, err := f.fingerprint(ctx)
	if err != nil {
		return err
	}
	if what := r.Model.Differs(model); what != "" {
		v.Difference = &receipt.Difference{Where: "model, " + what, Want: r.Model.Digest, Got: model.Digest}
		return a.tell(f, v)
	}
	v.Tensors = len(model.Tensors)
	if r.Batch != nil {
		err = a.verifyBatch(ctx, f, r.Batch, v)
	} else {
		err = a.verifyRun(ctx, f, r, v)
	}
	if err != nil {
		return err
	}
	return a.tell(f, v)
}

// restore takes over what decides the results.
func (f *verifyFlags) restore(r *receipt.Receipt) {
	s := r.Settings
	f.kv, f.ctx, f.pre, f.layout, f.tiles, f.q2 = s.KV, s.Ctx, s.Pre, s.Layout, s.Tiles, s.Q2
	if f.path == "" {
		f.path = r.Model.File
	}
	if f.devices != "" {
		return
	}
	f.devices = "cpu"
	var names []string
	for _, d := range r.Ran.Devices {
		names = append(names, d.Name)
	}
	if kinds := r.Ran.Kinds(); len(kinds) > 1 || len(kinds) == 1 && !kinds["cpu"] {
		f.devices = strings.Join(names, ",")
	}
}

// notes tell what is other than it was and need not change anything.
func (f *verifyFlags) notes(r *receipt.Receipt) []string {
	notes := []string{}
	if v := version(); v != r.Program.Version {
		notes = append(notes, fmt.Sprintf("the receipt is of version %s, this program is %s", r.Program.Version, v))
	}
	for kind := range r.Ran.Kinds() {
		if !strings.Contains(f.devices, kind) {
			notes = append(notes, fmt.Sprintf("the receipt was computed on %s, whose bits are not those of %s", kind, f.devices))
		}
	}
	return notes
}

// verifyRun computes the answers of a run.
func (a *app) verifyRun(ctx context.Context, f *verifyFlags, r *receipt.Receipt, v *verdict) (err error) {
	e, err := f.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	if v.Difference, err = receipt.Check(ctx, e, r); err != nil {
		return err
	}
	v.Answers = int64(len(r.Run.Answers))
	for i := range r.Run.Answers {
		v.Draws += int64(len(r.Run.Answers[i].Drawn))
	}
	return nil
}

// tell prints the verdict and gives the error for the exit code.
func (a *app) tell(f *verifyFlags, v *verdict) error {
	v.Confirmed = v.Difference == nil
	var err error
	if f.json {
		err = a.out.json(v, true)
	} else {
		err = a.out.print(v.text())
	}
	if err == nil && !v.Confirmed {
		err = errDiffers
	}
	return err
}

func (v *verdict) text() string {
	var b strings.Builder
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	if v.Tensors > 0 {
		fmt.Fprintf(&b, "model: %s, %d tensors and the metadata are the same\n", v.Model, v.Tensors)
	}
	if v.Difference != nil {
		fmt.Fprintf(&b, "DIFFERENT: %s\n", v.Difference)
		return b.String()
	}
	fmt.Fprintf(&b, "confirmed: %d answers, %d draws with the same logits to the bit\n", v.Answers, v.Draws)
	return b.String()
}
