package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/requant"
	"tritflow/gguf"
)

type quantizeFlags struct {
	fileFlags
	typ       string
	embedding string
	head      string
	absmean   bool
	round     bool
}

func (a *app) quantizeCommand() *cobra.Command {
	var f quantizeFlags
	cmd := &cobra.Command{
		Use:   "quantize IN OUT --type T",
		Short: "Write a model with other tensor types, ternary ones without losing anything",
		Long: `Write a model file again with the weights of its blocks, its embedding or its
head in other types. Between ternary types nothing is lost: the result is read
again and every trit and scale compared before OUT appears. A scale that the
type's half precision cannot hold goes into an F32 tensor of its own beside the
weights. Weights that are not ternary are refused, unless --absmean rounds them
as BitNet b1.58 is trained with. Which byte order I2_S tensors of IN have is
found out where neither the file nor --i2s-layout says it. Memory stays that of
the largest tensor.

Types of the blocks: ` + strings.Join(requant.MatrixNames(), " ") + `
Types of embedding and head: ` + strings.Join(requant.TableNames(), " ") + `

q2_0 has blocks of 64 values (llama.cpp), q2_0_128 of 128 (PrismML's files);
i2_s is the layout of all published files, i2_s_b and i2_s_c are those of
other builds of bitnet.cpp.`,
		Args: arguments(2, 2),
		RunE: a.do(func(ctx context.Context, args []string) error { return a.quantize(ctx, args[0], args[1], &f) }),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.typ, "type", "", "type of the blocks' matrices (default: as they are)")
	fs.StringVar(&f.embedding, "embedding", "", "type of the token embedding (default: as it is)")
	fs.StringVar(&f.head, "head", "", "type of an output head of its own (default: as it is)")
	fs.BoolVar(&f.absmean, "absmean", false, "round matrices that are not ternary: for master weights of models trained as BitNet b1.58")
	fs.BoolVar(&f.round, "round-scales", false, "round scales to half precision where the type has no more, instead of adding tensors that some engines do not read")
	f.addReading(fs)
	return cmd
}

// options turns names of types into types.
func (f *quantizeFlags) options() (o requant.Options, err error) {
	o.Absmean, o.RoundScales = f.absmean, f.round
	for _, t := range []struct {
		flag, name string
		find       func(string) (gguf.Type, error)
		to         *gguf.Type
	}{
		{"--type", f.typ, requant.MatrixType, &o.Type},
		{"--embedding", f.embedding, requant.TableType, &o.Embedding},
		{"--head", f.head, requant.TableType, &o.Head},
	} {
		if t.name == "" {
			continue
		}
		if *t.to, err = t.find(t.name); err != nil {
			return o, usagef("%s: %w", t.flag, err)
		}
	}
	if o.Type == gguf.TypeNone && o.Embedding == gguf.TypeNone && o.Head == gguf.TypeNone {
		return o, usagef("nothing to change: give --type, --embedding or --head")
	}
	return o, nil
}

func (a *app) quantize(ctx context.Context, in, out string, f *quantizeFlags) (err error) {
	opt, err := f.options()
	if err != nil {
		return err
	}
	if f.path = in; sameFile(in, out) {
		return usagef("%s is both the input and the output: name another output", in)
	}
	if err := f.settleUntold(ctx, a); err != nil {
		return err
	}
	file, err := f.open(a)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := file.Close(); err == nil && cerr != nil {
			err = wrapModel(cerr)
		}
	}()
	plan, err := requant.NewPlan(ctx, file, opt)
	if err != nil {
		if is[*requant.RefusedError](err) {
			return wrapModel(fmt.Errorf("%s: %w", in, err))
		}
		return err
	}
	w, err := gguf.Create(out)
	if err != nil {
		return err
	}
	defer func() {
		// Close has said what went wrong; after it Abort does nothing.
		err = firstError(err, w.Abort())
	}()
	w.Check(func(path string) error { return plan.Verify(ctx, path) })
	progress, done := a.progress("writing")
	err = plan.Write(ctx, w, progress)
	done()
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		a.sayChanges(plan, out)
	}
	return err
}

// sayChanges tells what was done.
func (a *app) sayChanges(plan *requant.Plan, out string) {
	for _, s := range plan.Summary() {
		e := a.log.Info().Int("tensors", s.Tensors)
		if s.Scales > 0 {
			e = e.Int("scales_beside", s.Scales)
		}
		text := s.From + " → " + s.To
		switch s.How {
		case "trits":
			text += ", every trit and scale compared"
		case "absmean":
			text += ", rounded by absmean"
			e = e.Str("lost", fmt.Sprintf("up to %.0f %% of a matrix's squares", 100*s.Lost))
		case "rounded":
			text += ", rounded"
		}
		e.Msg(text)
	}
	if st, err := gguf.Open(out, gguf.Options{}); err == nil {
		a.log.Info().Str("file", out).Str("size", humanize.IBytes(st.Size())).Msg("written")
		if err := st.Close(); err != nil {
			a.log.Warn().Msg(err.Error())
		}
	}
}
