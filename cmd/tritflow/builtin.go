package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tritflow/gguf/atomicfile"
	"tritflow/gguf/builtin"
)

const builtinHelp = `Say what the model inside the program is. --card prints its whole card: how it was
made, and how many questions of each kind it answers rightly (` + "`tritflow eval`" + `
counts them again). --write makes a GGUF file of it, like any other.`

type builtinFlags struct {
	write string
	card  bool
	json  bool
}

func (a *app) builtinCommand() *cobra.Command {
	var f builtinFlags
	cmd := &cobra.Command{
		Use:   "builtin",
		Short: "The model inside the program: its card, and its file",
		Long:  builtinHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(_ context.Context, _ []string) error { return a.builtin(&f) }),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.write, "write", "", "write the model to this file (GGUF)")
	fs.BoolVar(&f.card, "card", false, "print the whole card")
	fs.BoolVar(&f.json, "json", false, "print the whole card as one JSON object")
	atMostOne(cmd, "card", "json")
	return cmd
}

func (a *app) builtin(f *builtinFlags) error {
	if f.write != "" {
		if err := writeBuiltin(f.write); err != nil || !f.card && !f.json {
			return err
		}
	}
	c, err := builtin.ReadCard()
	switch {
	case err != nil:
		return err
	case f.json:
		return a.out.json(c, true)
	}
	return printCard(a.out, c, f.card)
}

// writeBuiltin writes the file whole or not at all.
func writeBuiltin(path string) (err error) {
	file, err := atomicfile.Create(path, atomicfile.Options{Special: true})
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, file.Abort()) }()
	if _, err := builtin.WriteTo(file); err != nil {
		return err
	}
	return file.Commit()
}

func printCard(w io.Writer, c *builtin.Card, whole bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n, r := c.Network, c.Training
	fmt.Fprintf(t, "name\t%s\nfile\t%d bytes, GGUF, I2_S\nsha256\t%s\nlicence\t%s\n", c.Name, c.Bytes, c.SHA256, c.License)
	fmt.Fprintf(t, "network\tbitnet-b1.58, %d parameters: %d blocks of width %d, FFN %d, %d heads, %d of keys and values\n", c.Parameters, n.Blocks, n.Width, n.FFN, n.Heads, n.KVHeads)
	fmt.Fprintf(t, "vocabulary\t%d tokens; context %d\n", n.Vocab, n.Context)
	fmt.Fprintf(t, "limits\tproves the engine; not an assistant\n")
	if whole {
		fmt.Fprintf(t, "training\t%d tokens of text made by a program, batches of %d x %d, %s, learning rate %g, seed %d\n", r.Tokens, r.Batch, r.Context, r.Optimizer, r.Peak, r.Seed)
		fmt.Fprintf(t, "trained on\t%s, %.0f s\n", r.Device, r.Seconds)
		fmt.Fprintf(t, "loss\t%.3f, on rows never trained on %.3f\n", r.Loss, r.Validation)
		fmt.Fprintf(t, "rounding\tcorrelation of logits with those of float activations %.5f, least %.5f\n", c.Rounding.Mean, c.Rounding.Least)
		fmt.Fprintf(t, "plots\t%d different fourth sentences in 60 greedy stories\n", c.Plots.Different)
		fmt.Fprintf(t, "\t\nright answers, greedy, of the trainer's own forward pass\t\n")
		for _, row := range c.Rows {
			fmt.Fprintf(t, "%s\t%d/%d\t%.1f %%\n", row.Name, row.Right, row.Of, 100*float64(row.Right)/float64(row.Of))
		}
	}
	return t.Flush()
}
