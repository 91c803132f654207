package crossval

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/stages"
)

// Source is an engine that is to become a dump.
type Source struct {
	Engine  Engine
	Name    string // what it is: program, configuration
	Model   string // file name, without folder
	KV      string // for the walk
	Tensors bool   // also the tensors of the first prompt
}

// Write computes a dump: for every prompt n greedy tokens, and the logits of all
// positions. The folder must exist.
func (s *Source) Write(ctx context.Context, dir string, prompts []Prompt, n int) error {
	d := Dump{Engine: s.Name}
	for i, p := range prompts {
		it, err := s.item(ctx, dir, fmt.Sprintf("case%d", i), p, n)
		if err != nil {
			return err
		}
		if i == 0 && s.Tensors {
			it.Tensors = "case0-tensors"
			if err := s.tensors(ctx, filepath.Join(dir, it.Tensors), p.Tokens); err != nil {
				return err
			}
		}
		d.Items = append(d.Items, it)
	}
	return writeJSON(filepath.Join(dir, IndexName), &d)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o666)
}

func (s *Source) item(ctx context.Context, dir, stem string, p Prompt, n int) (*Item, error) {
	it := &Item{File: stem + ".f32", Model: s.Model, Tokens: p.Tokens, Prompt: p.Text, Given: len(p.Tokens)}
	if n > 0 {
		stream, err := s.Engine.Submit(ctx, stages.Request{Tokens: p.Tokens, MaxTokens: n, IgnoreEOS: true})
		if err != nil {
			return nil, err
		}
		it.Tokens = append([]int32(nil), p.Tokens...)
		for t, err := range stream.Tokens() {
			if err != nil {
				return nil, err
			}
			it.Tokens = append(it.Tokens, t.ID)
		}
		if s := stream.Result().Decode.Seconds(); s > 0 && n > 1 {
			it.DecodeTS = float64(len(it.Tokens)-it.Given-1) / s
		}
		// The last token of a full context has no position of its own.
		it.Tokens = it.Tokens[:min(len(it.Tokens), s.Engine.Ctx())]
	}
	began, vocab := time.Now(), 0
	err := create(filepath.Join(dir, it.File), func(w *bufio.Writer) error {
		for row, err := range s.Engine.Logits(ctx, it.Tokens, false) {
			if err != nil {
				return err
			}
			vocab = len(row)
			if err := writeFloats(w, row); err != nil {
				return err
			}
		}
		return nil
	})
	it.Shape = []int{len(it.Tokens), vocab}
	it.PrefillTS = float64(len(it.Tokens)) / time.Since(began).Seconds()
	return it, err
}

// tensors writes what a walk sees.
func (s *Source) tensors(ctx context.Context, dir string, ids []int32) error {
	if err := os.MkdirAll(dir, 0o777); err != nil { // an interrupted run may have made it
		return err
	}
	var index []*tensor
	_, err := walk.Run(ctx, s.Engine.Model(), ids, walk.Options{KV: s.KV, Visit: func(p walk.Point, values []float32, width int) error {
		if p.Name == walk.Logits {
			return nil
		}
		name := p
		name.Turn = 0
		t := &tensor{File: fmt.Sprintf("%d.f32", len(index)), Name: name.String(), NE: []int{width, len(values) / width}}
		index = append(index, t)
		return create(filepath.Join(dir, t.File), func(w *bufio.Writer) error { return writeFloats(w, values) })
	}})
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "index.json"), index)
}

// create writes a file.
func create(path string, fill func(*bufio.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<16)
	if err := fill(w); err != nil {
		return err
	}
	return w.Flush()
}

func writeFloats(w *bufio.Writer, values []float32) error {
	var b [4]byte
	for _, v := range values {
		binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
		if _, err := w.Write(b[:]); err != nil {
			return err
		}
	}
	return nil
}
