package check

import (
	"context"
	"errors"
	"fmt"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// Problem is one finding.
type Problem struct {
	Kind    string `json:"kind"`             // file, vocabulary, network, type, values
	Tensor  string `json:"tensor,omitempty"` // where it is about one
	Message string `json:"message"`
}

// Report is what was found.
type Report struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`       // the model will run
	Reasons  []Problem `json:"reasons"`  // why it will not
	Warnings []Problem `json:"warnings"` // what is odd but harmless
}

func newReport(file string) *Report {
	return &Report{File: file, OK: true, Reasons: []Problem{}, Warnings: []Problem{}}
}

func (r *Report) reason(kind, tensor, format string, args ...any) {
	r.OK = false
	r.Reasons = append(r.Reasons, Problem{kind, tensor, fmt.Sprintf(format, args...)})
}

func (r *Report) warn(kind, tensor, format string, args ...any) {
	r.Warnings = append(r.Warnings, Problem{kind, tensor, fmt.Sprintf(format, args...)})
}

// Options of File.
type Options struct {
	Pre      string                // pre-tokenizer instead of the file's
	Faults   []error               // of the file, as gguf.Survey found them
	Progress func(done, total int) // bytes of tensors looked at, in MiB; may be nil
}

// Unreadable is the report on a file that could not be opened.
func Unreadable(file string, err error) *Report {
	r := newReport(file)
	r.reason("file", "", "%v", err)
	return r
}

// File examines an open file and reads every weight that is there. The error
// is that of ctx; whatever is wrong with the file is in the report.
func File(ctx context.Context, f *gguf.File, opt Options) (*Report, error) {
	r := newReport(f.Name())
	damaged := r.faults(opt.Faults)
	r.vocabulary(f, opt.Pre)
	surplus := r.network(f, damaged)
	if err := r.values(ctx, r.types(f, damaged, surplus), opt.Progress); err != nil {
		return nil, err
	}
	return r, nil
}

// faults reports what is wrong with the file as such and returns the names of
// the tensors that cannot be read because of it.
func (r *Report) faults(all []error) (damaged map[string]bool) {
	const most = 20 // named, as graph.BindError does
	damaged = map[string]bool{}
	for i, fault := range all {
		tensor := ""
		var fe *gguf.FormatError
		if errors.As(fault, &fe) {
			tensor = fe.Tensor
			damaged[tensor] = true
		}
		if i < most {
			r.reason("file", tensor, "%v", fault)
		}
	}
	if more := len(all) - most; more > 0 {
		r.reason("file", "", "and %d more faults", more)
	}
	return damaged
}

// vocabulary loads the tokenizer.
func (r *Report) vocabulary(f *gguf.File, pre string) {
	v, err := vocab.Load(f.Metadata(), vocab.Options{Pre: pre})
	if err != nil {
		r.reason("vocabulary", "", "%v", err)
		return
	}
	for _, w := range v.Warnings() {
		r.warn("vocabulary", "", "%s", w)
	}
	if t, err := v.Template(); err != nil {
		r.warn("vocabulary", "", "chat will not work: %v", err)
	} else if t.Note() != "" {
		r.warn("vocabulary", "", "chat template: %s", t.Note())
	}
}

// network binds the tensors and returns the names of those that nothing uses.
// A vocabulary that does not fit the embedding is found here too.
func (r *Report) network(f *gguf.File, damaged map[string]bool) (surplus map[string]bool) {
	m, err := graph.Bind(f)
	var names []string
	var unfit *graph.BindError
	var key *graph.KeyError
	switch {
	case err == nil:
		for _, note := range m.Notes {
			r.warn("network", "", "%s", note)
		}
		names = m.Surplus
	case errors.As(err, &unfit):
		for _, p := range unfit.Problems {
			if p.Fault == graph.Storage && damaged[p.Tensor] {
				continue // its type is the damage
			}
			r.reason("network", p.Tensor, "%v", p)
		}
		if unfit.More > 0 {
			r.reason("network", "", "and %d more tensors do not fit architecture %s", unfit.More, unfit.Arch)
		}
		if unfit.Vocab != nil {
			r.reason("vocabulary", "", "%v", unfit.Vocab)
		}
		names = unfit.Surplus
	case errors.As(err, &key):
		for _, k := range append([]*graph.KeyError{key}, key.Also...) {
			r.reason("network", "", "%s", k.Fault())
		}
	default:
		r.reason("network", "", "%v", err)
	}
	surplus = map[string]bool{}
	for _, name := range names {
		surplus[name] = true
		r.warn("network", name, "the network does not use tensor %q", name)
	}
	return surplus
}
