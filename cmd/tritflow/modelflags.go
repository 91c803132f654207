package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/gguf/vocab"
	"tritflow/stages"
	"tritflow/stages/trace"
)

// fileFlags say which model file to read and how.
type fileFlags struct {
	path   string
	pre    string
	layout string
}

// addModel adds -m and the flags that decide how the file is read.
func (f *fileFlags) addModel(fs *pflag.FlagSet) {
	fs.StringVarP(&f.path, "model", "m", "", "GGUF file (default: the small model inside the program)")
	f.addReading(fs)
}

// addReading adds the flags for commands that take the file as an argument.
func (f *fileFlags) addReading(fs *pflag.FlagSet) {
	fs.StringVar(&f.pre, "pre", "", "pre-tokenizer to use instead of the file's")
	fs.StringVar(&f.layout, "i2s-layout", "", "byte order of I2_S tensors: A (default), B or C")
}

// open opens the file, or the built-in model when none is named.
func (f *fileFlags) open(a *app) (*gguf.File, error) {
	if f.path == "" {
		a.noteBuiltin()
		file, err := builtin.Open()
		return file, wrapModel(err)
	}
	file, err := gguf.Open(f.path, gguf.Options{I2SLayout: f.layout})
	return file, wrapModel(err)
}

// vocab opens the file for its vocabulary alone, which a file without tensors
// has as well.
func (f *fileFlags) vocab(a *app) (*vocab.Vocab, error) {
	file, err := f.open(a)
	if err != nil {
		return nil, err
	}
	v, err := vocab.Load(file.Metadata(), vocab.Options{Pre: f.pre})
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, wrapModel(fmt.Errorf("%s: %w", file.Name(), err))
	}
	for _, w := range v.Warnings() {
		a.log.Warn().Msg(w)
	}
	return v, nil
}

func wrapModel(err error) error {
	if err == nil {
		return nil
	}
	return &modelError{err}
}

func (a *app) noteBuiltin() {
	a.log.Info().Str("model", builtin.Name).
		Msg("no model named (-m FILE): using the small one inside the program, which tells tiny stories, adds and names capitals")
}

// placementFlags say where a model runs.
type placementFlags struct {
	devices string
	split   []int
	kv      string
	screen  string
}

func (f *placementFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.devices, "devices", "auto", "where the model runs: auto, cpu, cpu:4 (workers), cpu:1,cpu:1 (two pools) ...")
	fs.IntSliceVar(&f.split, "split", nil, "blocks on each device, for example 15,15 (default: planned)")
	fs.StringVar(&f.kv, "kv", "f16", "type of the key/value cache: f16, f32 or q8_0 (half of f16, a little less exact)")
	fs.StringVar(&f.screen, "screen", "", "8-bit copy of the head that finds the largest logits, with the same answers: auto, 8 or off (default: TRITFLOW_SCREEN, or auto)")
}

// engineFlags say how to load a model and where it runs.
type engineFlags struct {
	fileFlags
	placementFlags
	ctx int
}

func (f *engineFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	f.addModel(fs)
	f.placementFlags.add(fs)
	fs.IntVar(&f.ctx, "ctx", 0, "positions a request may have (default: the model's, at most 4096)")
}

// load starts an engine. The caller closes it.
func (f *engineFlags) load(ctx context.Context, a *app, rec *trace.Recorder) (*stages.Engine, error) {
	if f.ctx < 0 {
		return nil, usagef("--ctx %d is negative: give a number of positions, or 0 for the model's own", f.ctx)
	}
	if f.path == "" {
		a.noteBuiltin()
	}
	progress, done := a.progress("loading")
	e, err := stages.Open(ctx, f.path, stages.Options{
		Devices:  f.devices,
		Split:    f.split,
		Ctx:      f.ctx,
		KV:       f.kv,
		Screen:   f.screen,
		Pre:      f.pre,
		Gguf:     gguf.Options{I2SLayout: f.layout},
		Trace:    rec,
		Log:      a.log,
		Progress: progress,
	})
	done()
	if err != nil {
		return nil, openFailure(ctx, err)
	}
	return e, nil
}

// closeEngine closes an engine and adds a failure to an error of the command.
func closeEngine(e *stages.Engine, err *error) {
	if cerr := e.Close(); cerr != nil && *err == nil {
		*err = fmt.Errorf("closing the model: %w", cerr)
	}
}
