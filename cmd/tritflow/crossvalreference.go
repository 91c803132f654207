package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/gguf/vocab"
	"tritflow/quantkern"
)

// The kinds of references.
const (
	byDump     = "a dump"
	byLlama    = "llama.cpp"
	byTritflow = "tritflow"
	byServer   = "a server"
)

// kind is what the reference is.
func (f *crossvalFlags) kind() string {
	switch {
	case f.reference == byLlama || f.reference == byTritflow:
		return f.reference
	case remote.IsAddress(f.reference):
		return byServer
	}
	return byDump
}

// refuseIdle refuses flags that a reference has no use for: who gave them believes
// that something else is compared. It comes after cmd.Args is set.
func (f *crossvalFlags) refuseIdle(cmd *cobra.Command) {
	lookFirst(cmd, func(fs *pflag.FlagSet) error {
		for _, x := range []struct {
			flags, kinds []string
		}{
			{[]string{"file", "max-tokens", "keep"}, []string{byLlama, byTritflow, byServer}},
			{[]string{"python", "threads"}, []string{byLlama}},
			{[]string{"ref-model", "ref-devices", "ref-kv", "ref-isa"}, []string{byTritflow}},
			{[]string{"ref-api", "ref-name", "ref-top", "ref-timeout"}, []string{byServer}},
		} {
			for _, name := range x.flags {
				if f.reference != "" && fs.Changed(name) && !slices.Contains(x.kinds, f.kind()) {
					return usagef("--%s says nothing where the reference is %s: leave it out", name, f.kind())
				}
			}
		}
		return nil
	})
}

// dump opens the reference's dump, or lets the reference make one. The engine is
// not loaded yet: kernels may be switched, and memory is the reference's.
func (f *crossvalFlags) dump(ctx context.Context, a *app) (d *crossval.Dump, clean func() error, err error) {
	switch {
	case f.reference == "":
		return nil, nil, usagef("--reference is missing: name a dump, llama.cpp, tritflow or the address of a server")
	case f.kind() == byDump:
		if d, err = crossval.OpenDump(f.reference, f.path, false); err != nil {
			return nil, nil, &usageError{err}
		}
		return d, func() error { return nil }, nil
	}
	prompts, v, err := f.cases(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	dir, clean, err := f.folder()
	if err != nil {
		return nil, nil, err
	}
	if d, err = f.make(ctx, a, dir, prompts, v); err != nil {
		return nil, nil, firstError(err, clean())
	}
	return d, clean, nil
}

// folder is where the reference's dump goes: kept, or removed by clean.
func (f *crossvalFlags) folder() (dir string, clean func() error, err error) {
	if f.keep != "" {
		if _, err := os.Stat(filepath.Join(f.keep, crossval.IndexName)); err == nil {
			return "", nil, usagef("--keep %s: there is a dump already: compare with it (--reference %s), or name another folder", f.keep, f.keep)
		}
		if err := os.MkdirAll(f.keep, 0o777); err != nil {
			return "", nil, usagef("--keep: %w; name a folder that can be made", err)
		}
		return f.keep, func() error { return nil }, nil
	}
	if dir, err = os.MkdirTemp("", "tritflow-crossval-"); err != nil {
		return "", nil, err
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// make lets the reference make a dump.
func (f *crossvalFlags) make(ctx context.Context, a *app, dir string, prompts []crossval.Prompt, v *vocab.Vocab) (*crossval.Dump, error) {
	var err error
	switch f.kind() {
	case byTritflow:
		err = f.other(ctx, a, dir, prompts)
	case byLlama:
		err = f.llama(ctx, dir, prompts)
	default:
		err = f.server(ctx, a, dir, prompts, v)
	}
	if err != nil {
		return nil, err
	}
	return crossval.OpenDump(dir, f.path, false)
}

// cases reads the prompts, and the vocabulary that makes tokens of them.
func (f *crossvalFlags) cases(ctx context.Context, a *app) ([]crossval.Prompt, *vocab.Vocab, error) {
	text, name := crossval.Prompts, "the program's prompts"
	if f.prompts != "" {
		var err error
		if text, name, err = a.textFile(ctx, f.prompts); err != nil {
			return nil, nil, err
		}
	}
	v, err := f.vocab(a)
	if err != nil {
		return nil, nil, err
	}
	prompts, err := crossval.ReadPrompts(name, text, v)
	if err != nil {
		return nil, nil, &usageError{err}
	}
	return prompts, v, nil
}

// llama runs llama.cpp.
func (f *crossvalFlags) llama(ctx context.Context, dir string, prompts []crossval.Prompt) error {
	l := crossval.Llama{Python: f.python, Model: f.path, Threads: f.threads, KV: f.kv, Tensors: true}
	if l.Threads <= 0 {
		l.Threads = runtime.GOMAXPROCS(0)
	}
	if f.path == "" {
		return usagef("--reference llama.cpp reads a file: name one with -m (it does not know the types of the model inside this program)")
	}
	return l.Write(ctx, dir, prompts, f.n)
}

// server asks a model server.
func (f *crossvalFlags) server(ctx context.Context, a *app, dir string, prompts []crossval.Prompt, v *vocab.Vocab) error {
	if f.n < 1 {
		return usagef("-n %d: a server tells log-probabilities of the tokens that it generates; let it generate 1 or more", f.n)
	}
	if f.timeout <= 0 {
		return usagef("--ref-timeout %v: give an answer some time", f.timeout)
	}
	s := crossval.Server{Options: remote.Options{
		Address: f.reference, Dialect: f.api, Key: os.Getenv(remote.KeyVariable), Model: f.refName, Top: f.top, Timeout: f.timeout, Vocab: v,
	}}
	var done func()
	s.Progress, done = a.progress("asking the server")
	defer done()
	return s.Write(ctx, dir, prompts, f.n)
}

// other runs another configuration of this program.
func (f *crossvalFlags) other(ctx context.Context, a *app, dir string, prompts []crossval.Prompt) (err error) {
	o := f.engineFlags
	if f.refModel != "" {
		o.path = f.refModel
	}
	if f.refDevices != "" {
		o.devices, o.split = f.refDevices, nil
	}
	if f.refKV != "" {
		o.kv = f.refKV
	}
	if f.refISA != "" {
		restore, err := quantkern.UseTier(f.refISA)
		if err != nil {
			return &usageError{err}
		}
		defer restore()
	}
	e, err := o.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	s := crossval.Source{Engine: e, Name: o.configuration(e), KV: o.kv, Tensors: true}
	if f.path != "" {
		s.Model = filepath.Base(f.path)
	}
	if f.refModel != "" {
		s.Name += ", " + f.refModel
	}
	return s.Write(ctx, dir, prompts, f.n)
}
