package main

import (
	"context"
	"io"
	"os"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/batch/input"
)

// resolved follows links, so that a file has one journal and one lock whatever
// it is called.
func resolved(path string) (string, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "", usagef("writing %s: it is not a regular file; name a file", path)
	}
	real, err := behindLinks(path)
	if err != nil {
		return "", usagef("writing %s: %v; make its folder, or name another place", path, err)
	}
	return real, nil
}

// open opens the input. A pipe may keep it waiting, for its other end and, where the
// first line names columns, for that.
func (f *batchFlags) open(ctx context.Context, a *app, output string) (input.Format, input.Source, error) {
	name := f.in
	if name == "-" {
		name = ""
	}
	format, err := input.FormatOf(f.format, name)
	if err != nil {
		return "", nil, err
	}
	if name == "" && format == input.Parquet {
		return "", nil, usagef("Parquet files are read from their end: name a file with -i instead of a pipe")
	}
	src, err := await(ctx, func() (input.Source, error) {
		if name == "" {
			return f.source(format, input.Pump(a.in), 0)
		}
		return f.openFile(format, name, output)
	})
	return format, src, err
}

// openFile opens an input that has a name.
func (f *batchFlags) openFile(format input.Format, name, output string) (input.Source, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("reading the input: %w", err)
	}
	info, err := file.Stat()
	if err == nil {
		if info.IsDir() {
			err = usagef("reading the input: %s is a folder; name a file", name)
		}
		if out, oerr := os.Stat(output); oerr == nil && os.SameFile(info, out) {
			err = usagef("%s is both the input and the output: name another output", name)
		}
	}
	if err != nil {
		return nil, firstError(err, file.Close())
	}
	return f.ofFile(format, file, info)
}

// ofFile reads an open file, which it owns.
func (f *batchFlags) ofFile(format input.Format, file *os.File, info os.FileInfo) (input.Source, error) {
	switch {
	case format == input.Parquet:
		return input.NewParquet(file, f.columns)
	case !info.Mode().IsRegular():
		return f.source(format, input.Pump(file), 0)
	}
	return f.source(format, file, info.Size())
}

// mix is what batch.Mix says of an input that can be read twice; 0 of others.
func (f *batchFlags) mix(format input.Format) float64 {
	info, err := os.Stat(f.in)
	if f.in == "-" || err != nil || !info.Mode().IsRegular() { // to open a pipe would wait
		return 0
	}
	file, err := os.Open(f.in)
	if err != nil {
		return 0
	}
	src, err := f.ofFile(format, file, info)
	if err != nil {
		return 0 // who reads it all will say why
	}
	defer func() { _ = src.Close() }() // nothing was written
	return batch.Mix(src, format == input.JSONL, f.chat, f.defaults)
}

func (f *batchFlags) source(format input.Format, r io.ReadCloser, size int64) (input.Source, error) {
	switch format {
	case input.CSV:
		return input.NewCSV(r, ',', f.columns, size)
	case input.TSV:
		return input.NewCSV(r, '\t', f.columns, size)
	}
	return input.NewLines(r, format == input.Text, size), nil
}
