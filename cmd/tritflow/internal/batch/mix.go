package batch

import (
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/openai"
)

// What Mix goes by: so many lines at the beginning of the input, so many of their bytes, as
// many bytes a token as English text has in large vocabularies, and answers that are not longer
// than contexts usually are.
const (
	mixLines   = 256
	mixBytes   = 4 << 20
	perToken   = 4
	mostAnswer = 4096
)

// Mix says how many tokens the requests at the beginning of an input have in their prompts for each that
// they may be answered with at most, roughly: nothing is tokenized. 0 = nothing is known.
func Mix(src input.Source, jsonLines, chat bool, defaults openai.Defaults) float64 {
	w := Work{JSON: jsonLines, Chat: chat, Defaults: defaults}
	reads, writes := 0.0, 0.0
	for lines, size := 0, 0; lines < mixLines && size < mixBytes; lines++ {
		it, err := src.Next()
		if err != nil {
			break
		}
		size += len(it.Text)
		if it.Fault != nil {
			continue
		}
		_, call, fault := w.call(&it)
		if fault != nil {
			continue
		}
		for _, m := range call.Messages {
			reads += float64(call.N) * float64(len(m.Content)) / perToken
		}
		for _, p := range call.Prompts {
			reads += float64(call.N) * (float64(len(p.Text))/perToken + float64(len(p.Tokens)))
		}
		for i := range call.Requests() {
			writes += float64(min(call.Request(i).MaxTokens, mostAnswer))
		}
	}
	if writes == 0 {
		return 0
	}
	return reads / writes
}
