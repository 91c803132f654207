package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/convert"
	"tritflow/gguf"
	"tritflow/gguf/hf"
)

const convertHelp = `Write a GGUF file from a model folder of the Hugging Face libraries: safetensors
(one file or several), config.json, tokenizer.json or tokenizer.model, chat
template and generation settings.

Weights that were packed as trits are kept trit by trit; those of models that
were trained as BitNet are rounded to trits as in training, in units of their
mean magnitude. Others are refused as ternary types unless --absmean is given.
One matrix is in memory at a time, and nothing is left behind by a conversion
that does not finish.

Types: i2_s (the usual one for ternary models), tq2_0, tq1_0, f16, f32. A scale that
a block's half precision cannot hold goes into a tensor of its own.`

type convertFlags struct {
	out     string
	options convert.Options
}

func (a *app) convertCommand() *cobra.Command {
	var f convertFlags
	cmd := &cobra.Command{
		Use:   "convert FOLDER -o OUT.gguf",
		Short: "Write a GGUF file from a Hugging Face folder",
		Long:  convertHelp,
		Args:  arguments(1, 1),
		RunE:  a.do(func(ctx context.Context, args []string) error { return a.convert(ctx, args[0], &f) }),
	}
	fs := cmd.Flags()
	fs.StringVarP(&f.out, "output", "o", "", "file to write")
	fs.StringVar(&f.options.Type, "type", "", "type of the blocks' matrices (default: i2_s for ternary models, else f16)")
	fs.StringVar(&f.options.Head, "head", "f16", "type of embedding and head: f16, f32, q8_0, q6_k, q4_0")
	fs.StringVar(&f.options.Name, "name", "", "name of the model (default: the folder's)")
	fs.StringVar(&f.options.Pre, "pre", "", "pre-tokenizer (default: found by what the tokenizer says)")
	fs.StringVar(&f.options.Scale, "scale", convert.ScaleAuto, "how the scale of packed trits is meant: auto, times or over")
	fs.BoolVar(&f.options.Absmean, "absmean", false, "round to trits although the folder does not say that the model was trained for it")
	return cmd
}

func (a *app) convert(ctx context.Context, path string, f *convertFlags) (err error) {
	if f.out == "" {
		return usagef("say with -o where the model goes")
	}
	switch f.options.Scale {
	case convert.ScaleAuto, convert.ScaleTimes, convert.ScaleOver:
	default:
		return usagef("--scale %q: write auto, times or over", f.options.Scale)
	}
	folder, err := hf.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, folder.Close()) }()
	if err := apart(sources(path), []place{{"-o", f.out}}); err != nil {
		return err
	}
	w, err := gguf.Create(f.out)
	if err != nil {
		return err
	}
	defer func() {
		// Close has said what went wrong; after it Abort does nothing.
		err = firstError(err, w.Abort())
	}()
	progress, done := a.progress("converting")
	f.options.Progress = progress
	notes, err := convert.Write(ctx, w, folder, f.options)
	done()
	if err != nil {
		return err
	}
	for _, n := range notes {
		a.log.Warn().Str("model", path).Msg(n)
	}
	return w.Close()
}

// sources are the files of a folder but those that an earlier conversion may have left there.
func sources(folder string) []place {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // whoever needs one of them says why
	}
	var list []place
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) != ".gguf" {
			list = append(list, place{name + " of the folder", filepath.Join(folder, name)})
		}
	}
	return list
}
