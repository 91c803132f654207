package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/gguf/atomicfile"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

const logitsHelp = `Run tokens through the network and write the logits of every position:
float32, little-endian, row-major [position, vocabulary].

--tokens takes ids as they are; -p takes text as run does (with the begin token
where the file says so). -o writes a file, --sha256 prints the SHA-256 of those
bytes; both may be given.`

type logitsFlags struct {
	engineFlags
	tokens  string
	prompt  string
	special bool
	step    bool
	out     string
	sha     bool
}

func (a *app) logitsCommand() *cobra.Command {
	var f logitsFlags
	cmd := &cobra.Command{
		Use:   "logits [-m FILE] (--tokens 1,5,9 | -p TEXT) (-o OUT | --sha256)",
		Short: "Write the logits of every position",
		Long:  logitsHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.logits(ctx, &f) }),
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVar(&f.tokens, "tokens", "", "token ids, separated by commas")
	fs.StringVarP(&f.prompt, "prompt", "p", "", "text")
	fs.BoolVar(&f.special, "special", true, "special tokens written in the text are taken as such")
	fs.BoolVar(&f.step, "step", false, "one token for each pass through the network")
	fs.StringVarP(&f.out, "output", "o", "", "file to write")
	fs.BoolVar(&f.sha, "sha256", false, "print the SHA-256 of the bytes")
	atMostOne(cmd, "tokens", "prompt")
	return cmd
}

func (a *app) logits(ctx context.Context, f *logitsFlags) (err error) {
	switch {
	case f.tokens == "" && f.prompt == "":
		return usagef("there is nothing to run: give ids with --tokens or text with -p")
	case f.out == "" && !f.sha:
		return usagef("say with -o where the logits go, or ask for their --sha256")
	}
	if err := apart([]place{{"-m", f.path}}, []place{{"-o", f.out}}); err != nil {
		return err
	}
	var sinks []io.Writer
	hash := sha256.New()
	if f.sha {
		sinks = append(sinks, hash)
	}
	var file *atomicfile.File
	if f.out != "" {
		if file, err = atomicfile.Create(f.out, atomicfile.Options{Special: true}); err != nil {
			return err
		}
		defer func() { err = firstError(err, file.Abort()) }()
		sinks = append(sinks, file)
	}
	e, err := f.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	ids, err := f.ids(e.Vocab())
	if err != nil {
		return err
	}
	if err := writeLogits(ctx, io.MultiWriter(sinks...), e, ids, f.step); err != nil {
		return err
	}
	if file != nil {
		if err := file.Commit(); err != nil {
			return err
		}
	}
	if f.sha {
		return a.out.print(hex.EncodeToString(hash.Sum(nil)) + "\n")
	}
	return nil
}

// ids gives the tokens to run.
func (f *logitsFlags) ids(v *vocab.Vocab) ([]int32, error) {
	if f.tokens != "" {
		return parseIDs(strings.Split(f.tokens, ","), v.Size())
	}
	return v.Encode(f.prompt, vocab.EncodeOptions{AddSpecial: true, ParseSpecial: f.special}), nil
}

// writeLogits streams one row after the other, so that memory stays constant.
func writeLogits(ctx context.Context, w io.Writer, e *stages.Engine, ids []int32, step bool) error {
	var buf []byte
	for row, err := range e.Logits(ctx, ids, step) {
		if err != nil {
			return err
		}
		buf = buf[:0]
		for _, v := range row {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
