package main

import (
	"fmt"
	"strconv"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/fingerprint"
)

// settings are what decides the bytes of the output. Devices, threads and the
// number of requests in flight are not among them.
func (f *batchFlags) settings(model *fingerprint.Model, format input.Format) []batch.Setting {
	d := f.defaults
	p := d.Sampling
	return []batch.Setting{
		{Name: "model", Value: model.Digest},
		{Name: "--kv", Value: f.kv},
		{Name: "--ctx", Value: strconv.Itoa(f.ctx)},
		{Name: "--pre", Value: f.pre},
		{Name: "--i2s-layout", Value: f.layout},
		{Name: "--tl-tiles", Value: f.tiles}, // the size of Q2_0's blocks is in the model's digest
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
	}
}
