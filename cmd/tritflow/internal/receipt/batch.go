package receipt

import "strconv"

// Input is where a Difference is when the input of a batch is another one.
const Input = "digest of the input"

// Compare says what is different first in a job that was done again, nil for nothing.
// Lines in the order of their end stand anywhere, so their file is not compared.
func (b *Batch) Compare(got *Batch) *Difference {
	whole := b.Order == "input"
	for _, x := range []struct {
		where, want, got string
		counts           bool
	}{
		{Input, b.InputDigest, got.InputDigest, true},
		{"number of lines", number64(b.Requests), number64(got.Requests), true},
		{"number of error lines", number64(b.Failed), number64(got.Failed), true},
		{"tokens of the prompts", number64(b.PromptTokens), number64(got.PromptTokens), true},
		{"tokens of the answers", number64(b.CompletionTokens), number64(got.CompletionTokens), true},
		{"digest of the draws", b.Draws, got.Draws, true},
		{"bytes of the output", number64(b.OutputBytes), number64(got.OutputBytes), whole},
		{"digest of the output", b.OutputSHA, got.OutputSHA, whole},
	} {
		if x.counts && x.want != x.got {
			return &Difference{x.where, x.want, x.got}
		}
	}
	return nil
}

func number64(n int64) string { return strconv.FormatInt(n, 10) }
