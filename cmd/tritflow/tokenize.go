package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/gguf/vocab"
)

const tokenizeHelp = `Turn standard input into token ids, or ids back into text with --decode.

The text is taken byte for byte, its last newline included. The ids stand on one
line, separated by spaces. With --null the input is cut at NUL bytes, and each
part gives a line of its own (with --decode: each line gives a text, separated by
NUL bytes). A file with a vocabulary and no tensors is enough.`

type tokenizeFlags struct {
	fileFlags
	bos, special, null, decode bool
}

func (a *app) tokenizeCommand() *cobra.Command {
	var f tokenizeFlags
	cmd := &cobra.Command{
		Use:   "tokenize [-m FILE] < TEXT",
		Short: "Turn text into token ids and back",
		Long:  tokenizeHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.tokenize(ctx, &f) }),
	}
	fs := cmd.Flags()
	f.addModel(fs)
	fs.BoolVar(&f.bos, "bos", false, "add the begin and end tokens that the file asks for")
	fs.BoolVar(&f.special, "special", false, "take special tokens in the text as such (with --decode: print them)")
	fs.BoolVar(&f.null, "null", false, "several inputs, separated by NUL bytes")
	fs.BoolVar(&f.decode, "decode", false, "turn ids into text")
	atMostOne(cmd, "decode", "bos")
	return cmd
}

func (a *app) tokenize(ctx context.Context, f *tokenizeFlags) error {
	v, err := f.vocab(a)
	if err != nil {
		return err
	}
	if f.decode {
		return a.decodeInput(ctx, f, v)
	}
	input, err := a.readInput(ctx, "the text")
	if err != nil {
		return err
	}
	texts := []string{input}
	if f.null {
		texts = strings.Split(input, "\x00")
	}
	for _, text := range texts {
		ids := v.Encode(text, vocab.EncodeOptions{AddSpecial: f.bos, ParseSpecial: f.special})
		if err := a.out.print(formatIDs(ids) + "\n"); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) decodeInput(ctx context.Context, f *tokenizeFlags, v *vocab.Vocab) error {
	input, err := a.readInput(ctx, "the ids")
	if err != nil {
		return err
	}
	lines := []string{input}
	if f.null {
		lines = strings.Split(strings.TrimSuffix(input, "\n"), "\n")
	}
	for i, line := range lines {
		ids, err := parseIDs(strings.Fields(line), v.Size())
		if err != nil {
			return err
		}
		text := decode(v, ids, f.special)
		if i > 0 {
			text = "\x00" + text
		}
		if err := a.out.print(text); err != nil {
			return err
		}
	}
	return nil
}

// decode is the exact way back. A byte-level vocabulary gives every byte back
// token by token, where Decode may tidy the spaces around punctuation, as its
// model's authors like to see text; others need Decode for the space that
// encoding put in front.
func decode(v *vocab.Vocab, ids []int32, special bool) string {
	if v.Model() != "gpt2" {
		return v.Decode(ids, special)
	}
	var text []byte
	for _, id := range ids {
		text = append(text, v.Piece(id, special)...)
	}
	return string(text)
}

func formatIDs(ids []int32) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(int(id)))
	}
	return b.String()
}

// parseIDs reads ids that must lie in a vocabulary of size entries.
func parseIDs(words []string, size int) ([]int32, error) {
	ids := make([]int32, len(words))
	for i, w := range words {
		id, err := strconv.ParseInt(strings.TrimSpace(w), 10, 32)
		if err != nil {
			return nil, usagef("%q is not a token id: write whole numbers", w)
		}
		if id < 0 || id >= int64(size) {
			return nil, usagef("token id %d is out of range: the vocabulary has ids 0 to %d", id, size-1)
		}
		ids[i] = int32(id)
	}
	return ids, nil
}
