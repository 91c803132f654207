package main

import (
	"context"
	"fmt"
	"strconv"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
)

// settings are what decides the bytes of the output. Devices, threads and the
// number of requests in flight are not among them.
func (f *batchFlags) settings(ctx context.Context, format input.Format) ([]batch.Setting, error) {
	open := builtin.Open
	if f.path != "" {
		open = func() (*gguf.File, error) { return gguf.Open(f.path, f.reading()) }
	}
	file, err := open()
	if err != nil {
		return nil, wrapModel(err)
	}
	digest, err := batch.ModelDigest(ctx, file)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, openFailure(ctx, err)
	}
	d := f.defaults
	p := d.Sampling
	return []batch.Setting{
		{Name: "model", Value: digest},
		{Name: "--kv", Value: f.kv},
		{Name: "--ctx", Value: strconv.Itoa(f.ctx)},
		{Name: "--pre", Value: f.pre},
		{Name: "--i2s-layout", Value: f.layout},
		{Name: "--format", Value: string(format)},
		{Name: "--column", Value: f.columns.Prompt},
		{Name: "--id-column", Value: f.columns.ID},
		{Name: "--chat", Value: strconv.FormatBool(f.chat)},
		{Name: "--special", Value: strconv.FormatBool(f.special)},
		{Name: "--order", Value: f.order},
		{Name: "--tokens", Value: strconv.Itoa(d.MaxTokens)},
		{Name: "--temp", Value: fmt.Sprint(p.Temperature)},
		{Name: "--top-k", Value: strconv.Itoa(p.TopK)},
		{Name: "--top-p", Value: fmt.Sprint(p.TopP)},
		{Name: "--min-p", Value: fmt.Sprint(p.MinP)},
		{Name: "--seed", Value: strconv.FormatUint(p.Seed, 10)},
		{Name: "--stop", Value: fmt.Sprintf("%q", d.Stop)},
		{Name: "--ignore-eos", Value: strconv.FormatBool(d.IgnoreEOS)},
	}, nil
}
