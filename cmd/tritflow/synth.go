package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/requant"
	"tritflow/cmd/tritflow/internal/synth"
	"tritflow/gguf"
	"tritflow/graph"
)

type synthFlags struct {
	shape string
	typ   string
	head  string
	seed  uint64
}

func (a *app) synthCommand() *cobra.Command {
	var f synthFlags
	var names []string
	for _, s := range graph.Shapes() {
		names = append(names, s.Name)
	}
	cmd := &cobra.Command{
		Use:   "synth OUT",
		Short: "Write a model with random weights",
		Long: `Write a valid model of a given shape with random weights and a made-up
vocabulary of the real size: for measuring and testing where no trained file is
at hand. The same shape, type and seed give the same bytes.

Shapes: ` + strings.Join(names, ", "),
		Args: arguments(1, 1),
		RunE: a.do(func(ctx context.Context, args []string) error { return a.synth(ctx, args[0], &f) }),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.shape, "shape", "tiny", "shape of the network")
	fs.StringVar(&f.typ, "type", "i2_s", "type of the blocks' matrices: "+strings.Join(requant.MatrixNames(), ", ")+" ...")
	fs.StringVar(&f.head, "head", "f16", "type of embedding and head: f16, q8_0, q6_k, q4_0 ...")
	fs.Uint64Var(&f.seed, "seed", 1, "seed of the weights")
	return cmd
}

func (a *app) synth(ctx context.Context, path string, f *synthFlags) (err error) {
	shape, err := graph.ShapeByName(f.shape)
	if err != nil {
		return &usageError{err}
	}
	typ, ok := gguf.TypeByName(f.typ)
	if !ok {
		return usagef("--type %q is unknown: use for example i2_s, tq2_0, tq1_0 or f16", f.typ)
	}
	head, ok := gguf.TypeByName(f.head)
	if !ok {
		return usagef("--head %q is unknown: use for example f16, q8_0, q6_k or q4_0", f.head)
	}
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		// Close has said what went wrong; after it Abort does nothing.
		err = firstError(err, w.Abort())
	}()
	progress, done := a.progress("writing")
	err = synth.Write(ctx, w, synth.Options{Shape: shape, Type: typ, Head: head.String(), Seed: f.seed, Progress: progress})
	done()
	if is[*synth.TypeError](err) {
		return &usageError{err}
	}
	if err == nil {
		err = w.Close()
	}
	return err
}
