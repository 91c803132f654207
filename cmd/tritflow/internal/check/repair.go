package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"tritflow/gguf"
)

// Done is one thing that a repair did.
type Done struct {
	Cause string `json:"cause"`
	What  string `json:"what"`
}

// Repaired is what a repair came to.
type Repaired struct {
	Before *Report `json:"before"`
	Out    string  `json:"out"`   // the file that was written; "" where nothing could be mended
	Done   []Done  `json:"done"`  // in this order
	After  *Report `json:"after"` // of the file that was written; nil without one
}

// FixError: a fix that was asked for by name cannot be made.
type FixError struct {
	Name  string
	Known []string // fixes that the file offers, and those that can be forced
}

func (e *FixError) Error() string {
	return fmt.Sprintf("check: this file has no fix %q; there are %s", e.Name, strings.Join(e.Known, ", "))
}

// SameFileError: a repair cannot be written over what it reads.
type SameFileError struct{ Path string }

func (e *SameFileError) Error() string {
	return fmt.Sprintf("check: %s is the file that is to be repaired: name another one", e.Path)
}

// rounds bounds how often a repaired file is examined and repaired again: what
// one fault hid comes to light in the next round.
const rounds = 6

// Repair examines the file at path, mends what can be mended without loss, and
// what asked names beside, and writes the result to out, which appears whole or
// not at all; the original is not touched. Then the result is examined. Where
// one fault hides another, this happens several times.
func Repair(ctx context.Context, path, out string, gopt gguf.Options, opt Options, asked []string) (*Repaired, error) {
	if same(path, out) {
		return nil, &SameFileError{out}
	}
	if err := writable(out); err != nil {
		return nil, err
	}
	rep := &Repaired{Done: []Done{}}
	from, left := path, slices.Clone(asked)
	work := &workbench{out: out}
	defer work.clear()
	for range rounds {
		to := work.next()
		before, did, err := repairOnce(ctx, from, to, work.name(from), gopt, opt, &left, rep.Done)
		if err != nil {
			return nil, err
		}
		if rep.Before == nil {
			rep.Before = before
		} else {
			rep.After = before
		}
		if len(did) == 0 {
			break
		}
		rep.Done, rep.Out, from = append(rep.Done, did...), out, to
		rep.After = nil
		if slices.ContainsFunc(did, func(d Done) bool { return d.Cause == "i2s-layout" }) {
			gopt = gguf.Options{} // the layout that was asked for is no more
		}
	}
	if len(left) > 0 {
		return rep, &FixError{left[0], append(offers(rep.Before), Forced()...)}
	}
	if rep.Out == "" {
		return rep, nil
	}
	if err := work.deliver(from); err != nil {
		return nil, err
	}
	if rep.After == nil || !rep.After.OK { // whose messages have the name of what is no more
		after, err := Path(ctx, out, gopt, opt)
		if err != nil {
			return nil, err
		}
		rep.After = after
	}
	return rep, nil
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func offers(r *Report) []string {
	var names []string
	for _, p := range r.Problems() {
		if p.Fix != nil && p.Fix.apply != nil && !slices.Contains(names, p.Fix.Name) {
			names = append(names, p.Fix.Name)
		}
	}
	return names
}

// repairOnce examines a file, which reports call name, and writes a better one, unless there is
// nothing to do.
func repairOnce(ctx context.Context, path, out, name string, gopt gguf.Options, opt Options, left *[]string, already []Done) (r *Report, did []Done, err error) {
	p, err := open(path, gopt)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	p.name = name
	if r, err = p.report(ctx, opt); err != nil {
		return nil, nil, err
	}
	fixes := r.chosen(left, already)
	for _, name := range slices.Clone(*left) {
		if f := forced(p.file, name); f != nil {
			fixes = append(fixes, f)
			*left = slices.DeleteFunc(*left, func(n string) bool { return n == name })
		}
	}
	if len(*left) > 0 && p.file != nil && len(already) == 0 {
		return nil, nil, &FixError{(*left)[0], append(offers(r), Forced()...)} // before anything is written
	}
	if len(fixes) == 0 {
		return r, nil, nil
	}
	err = gguf.Guard(func() error {
		d, err := p.draft()
		if err != nil {
			return err
		}
		for _, f := range fixes {
			if err := f.apply(d); err != nil {
				return err
			}
			did = append(did, Done{f.Name, f.What})
		}
		return d.write(ctx, out)
	})
	if errors.Is(err, gguf.ErrSize) {
		return r, nil, nil // a tensor is not whole; the report says so
	}
	if err != nil {
		return nil, nil, fmt.Errorf("repairing %s: %w", name, err)
	}
	return r, did, nil
}

// chosen are the fixes to make: the automatic ones and those that were named,
// each once. What was done in an earlier round and did not help is not done again.
// A file that will not run either way is not written for its warnings' sake.
func (r *Report) chosen(left *[]string, already []Done) []*Fix {
	var out []*Fix
	for _, p := range r.Reasons {
		if p.Fix != nil && p.Fix.apply != nil && (p.Fix.automatic() || slices.Contains(*left, p.Fix.Name)) {
			out = []*Fix{}
		}
	}
	if !r.OK && out == nil {
		return nil
	}
	made := map[string]bool{}
	for _, p := range r.Problems() {
		f := p.Fix
		if f == nil || f.apply == nil {
			continue
		}
		id := f.Name + "\x00" + f.What + "\x00" + p.Tensor
		named := slices.Contains(*left, f.Name)
		if made[id] || !named && !f.automatic() || slices.Contains(already, Done{f.Name, f.What}) {
			continue
		}
		made[id] = true
		if named {
			defer func() { *left = slices.DeleteFunc(*left, func(n string) bool { return n == f.Name }) }()
		}
		out = append(out, f)
	}
	return out
}

// patient is a file on the table.
type patient struct {
	path   string
	name   string     // that reports have for it
	file   *gguf.File // nil: the header is refused
	faults []error
	err    error // why it is refused
	raw    *raw  // nil: not even that
	src    *os.File
}

// open opens a file however damaged it is. The error is one of the system.
func open(path string, gopt gguf.Options) (*patient, error) {
	p := &patient{path: path, name: path}
	p.file, p.faults, p.err = gguf.Survey(path, gopt)
	if errors.Is(p.err, gguf.ErrOption) {
		return nil, p.err
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // opening a pipe waits until somebody writes
		return p, nil //nolint:nilerr // p.err says it
	}
	src, err := os.Open(path)
	if err != nil {
		return p, nil //nolint:nilerr // p.err says it
	}
	p.src = src
	if p.raw, err = scan(src, info.Size()); err != nil {
		p.raw = nil
	}
	return p, nil
}

func (p *patient) close() error {
	var errs []error
	if p.file != nil {
		errs = append(errs, p.file.Close())
	}
	if p.src != nil {
		errs = append(errs, p.src.Close())
	}
	return errors.Join(errs...)
}

// split tells one part of several, whose raw header is not the whole.
func (p *patient) split() bool {
	n, err := p.file.Metadata().Uint("split.count")
	return err == nil && n > 1
}

func (p *patient) report(ctx context.Context, opt Options) (*Report, error) {
	if p.file == nil {
		r := newReport(p.name)
		r.header(p.err, p.raw, p.source())
		r.finish()
		return r, nil
	}
	opt.Faults = p.faults
	if p.raw != nil && !p.split() {
		opt.geometry = newGeometry(p.file, p.raw, p.src)
	}
	r, err := File(ctx, p.file, opt)
	if err == nil {
		r.File = p.name
		r.finish()
	}
	return r, err
}

// source keeps a missing file from becoming an interface that is not nil.
func (p *patient) source() io.ReaderAt {
	if p.src == nil {
		return nil
	}
	return p.src
}

func (p *patient) draft() (*draft, error) {
	if p.file == nil {
		return newRawDraft(p.raw, p.src)
	}
	if p.raw == nil || p.split() {
		return newDraft(p.file, nil, nil), nil
	}
	return newDraft(p.file, p.raw, p.src), nil
}

// Path examines the file at a path; whatever is wrong with it is in the report.
func Path(ctx context.Context, path string, gopt gguf.Options, opt Options) (r *Report, err error) {
	p, err := open(path, gopt)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	return p.report(ctx, opt)
}
