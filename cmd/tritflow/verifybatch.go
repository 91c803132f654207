package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/openai"
	"tritflow/cmd/tritflow/internal/receipt"
)

// verifyBatch does the job of a receipt again, beside nobody's files.
func (a *app) verifyBatch(ctx context.Context, f *verifyFlags, b *receipt.Batch, v *verdict) (err error) {
	dir, err := os.MkdirTemp("", "tritflow-verify-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	if b.Input == "-" && f.in == "" {
		return usagef("the input of this job came through a pipe: name a file with the same lines with -i")
	}
	again := f.job(b, filepath.Join(dir, "out.jsonl"))
	proof := filepath.Join(dir, "receipt.json")
	again.receipt.path = proof
	if err := a.batch(ctx, again); err != nil && !errors.Is(err, errSomeFailed) {
		return err
	}
	r, err := receipt.Read(proof)
	if err != nil {
		return err
	}
	got := r.Batch
	v.Answers, v.Draws = got.Requests, got.CompletionTokens
	if v.Difference = b.Compare(got); v.Difference != nil && v.Difference.Where != receipt.Input {
		return f.findLine(b, again.out, v)
	}
	return nil
}

// job is the receipt's job with another output.
func (f *verifyFlags) job(b *receipt.Batch, out string) *batchFlags {
	j := &batchFlags{
		engineFlags: f.engineFlags, in: b.Input, out: out, format: b.Format,
		columns: input.Columns{Prompt: b.Column, ID: b.IDColumn},
		chat:    b.Chat, special: b.Special, order: b.Order,
		defaults: openai.Defaults{
			MaxTokens: b.Defaults.MaxTokens, Sampling: b.Defaults.Sampling.Params(), Stop: b.Defaults.Stop, IgnoreEOS: b.Defaults.IgnoreEOS,
		},
	}
	if f.in != "" {
		j.in = f.in
	}
	return j
}

// findLine looks for the first line of the output that came out otherwise, where the
// output is still there as it was.
func (f *verifyFlags) findLine(b *receipt.Batch, again string, v *verdict) error {
	path := f.out
	if path == "" {
		path = b.Output
	}
	if b.Order != string(batch.OrderInput) {
		v.Notes = append(v.Notes, "the lines stand in the order in which they were finished: which one differs cannot be told")
		return nil
	}
	was, err := os.Open(path)
	if err != nil {
		v.Notes = append(v.Notes, fmt.Sprintf("%v: name the output with -o to learn which line differs", err))
		return nil
	}
	defer was.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, was); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != b.OutputSHA {
		v.Notes = append(v.Notes, fmt.Sprintf("%s is not the output of the receipt any more", path))
		return nil
	}
	if _, err := was.Seek(0, io.SeekStart); err != nil {
		return err
	}
	is, err := os.Open(again)
	if err != nil {
		return err
	}
	defer is.Close()
	line, want, got, err := firstLine(was, is)
	if line > 0 {
		v.Difference = &receipt.Difference{Where: fmt.Sprintf("line %d of the output", line), Want: want, Got: got}
	}
	return err
}

// firstLine finds the first line that differs, 0 for none, and what stands there from
// shortly before the first byte that does.
func firstLine(a, b io.Reader) (line int, want, got string, err error) {
	x, y := bufio.NewReader(a), bufio.NewReader(b)
	for n := 1; ; n++ {
		p, perr := x.ReadBytes('\n')
		q, qerr := y.ReadBytes('\n')
		if !bytes.Equal(p, q) {
			at := 0
			for at < min(len(p), len(q)) && p[at] == q[at] {
				at++
			}
			return n, excerpt(p, at), excerpt(q, at), nil
		}
		if perr != nil || qerr != nil {
			if errors.Is(perr, io.EOF) {
				perr = nil
			}
			return 0, "", "", perr
		}
	}
}

// excerpt shows a line around a byte.
func excerpt(line []byte, at int) string {
	const before, after = 24, 40
	return fmt.Sprintf("%q", line[max(0, at-before):min(len(line), at+after)])
}
