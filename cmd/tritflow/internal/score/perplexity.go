package score

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"tritflow/cmd/tritflow/internal/compare"
)

// Source gives the logits [vocabulary] of every position of a prompt;
// *stages.Engine is one.
type Source interface {
	Logits(ctx context.Context, tokens []int32, step bool) iter.Seq2[[]float32, error]
}

// Options of Perplexity.
type Options struct {
	Window   int   // tokens the model sees at once, its first token included
	Stride   int   // tokens by which windows move on; 0 = as many as they hold
	First    int32 // token that begins every window, for example BOS
	HasFirst bool
	Progress func(done, total int) // tokens; may be nil
}

// Report is how likely a text is. Tokens that are the first of the text and have
// nothing before them are not counted.
type Report struct {
	Tokens     int     `json:"tokens"` // predicted
	Windows    int     `json:"windows"`
	Window     int     `json:"window"`
	Stride     int     `json:"stride"`     // 0: windows do not overlap
	LogProb    float64 `json:"logprob"`    // sum of natural logarithms
	NLL        float64 `json:"nll"`        // −LogProb / Tokens, nats
	Error      float64 `json:"nll_error"`  // standard error of NLL
	Perplexity float64 `json:"perplexity"` // exp(NLL)
	Equal      float64 `json:"top1"`       // share of tokens that the model thought likeliest
	TokS       float64 `json:"tok_s"`
}

// TextError: this text cannot be scored.
type TextError struct{ Reason string }

func (e *TextError) Error() string { return "score: " + e.Reason }

// window is tokens [lo, hi) of the text, of which those from first on are
// predicted here.
type window struct{ lo, first, hi int }

// windows cuts n tokens. Every token but an unconditioned first one is
// predicted once; the last window reaches back as far as it may.
func windows(n int, opt *Options) []window {
	size, most := opt.Window, opt.Window-1 // something has to stand before what is predicted
	if opt.HasFirst {
		size, most = size-1, size-1
	}
	stride := most
	if opt.Stride > 0 {
		stride = min(opt.Stride, most)
	}
	first := window{hi: min(size, n)}
	if !opt.HasFirst {
		first.first = 1
	}
	all := []window{first}
	for done := first.hi; done < n; {
		hi := min(done+stride, n)
		all = append(all, window{lo: max(0, hi-size), first: done, hi: hi})
		done = hi
	}
	return all
}

// Perplexity is exp of the mean negative log-probability of the tokens.
func Perplexity(ctx context.Context, src Source, tokens []int32, opt Options) (*Report, error) {
	least := 2
	if opt.HasFirst {
		least = 1
	}
	switch {
	case len(tokens) < least:
		return nil, &TextError{fmt.Sprintf("%d tokens are too few: at least one must have something before it", len(tokens))}
	case opt.Window < 3:
		return nil, &TextError{fmt.Sprintf("a window of %d tokens is too small: give 3 or more", opt.Window)}
	case opt.Stride < 0:
		return nil, &TextError{fmt.Sprintf("a stride of %d tokens goes nowhere", opt.Stride)}
	}
	r := &Report{Window: opt.Window, Stride: opt.Stride}
	began, seen, squares, equal := time.Now(), 0, 0.0, 0
	for _, w := range windows(len(tokens), &opt) {
		ids := tokens[w.lo:w.hi]
		skip := w.first - w.lo // of ids, known and not predicted
		if opt.HasFirst {
			ids, skip = append([]int32{opt.First}, ids...), skip+1
		}
		err := predict(ctx, src, ids, skip, func(logProb float64, best bool) {
			r.Tokens++
			r.LogProb += logProb
			squares += logProb * logProb
			if best {
				equal++
			}
		})
		if err != nil {
			return nil, err
		}
		r.Windows++
		seen += len(ids)
		if opt.Progress != nil {
			opt.Progress(w.hi, len(tokens))
		}
	}
	n := float64(r.Tokens)
	r.NLL = -r.LogProb / n
	r.Perplexity = min(math.Exp(r.NLL), math.MaxFloat64) // JSON has no infinity
	r.Error = math.Sqrt(max(squares/n-r.NLL*r.NLL, 0) / max(n-1, 1))
	r.Equal = float64(equal) / n
	r.TokS = float64(seen) / time.Since(began).Seconds()
	if math.IsNaN(r.NLL) || math.IsInf(r.NLL, 0) {
		return nil, fmt.Errorf("score: the log-probabilities sum up to %v: the model's numbers are not finite; `tritflow validate` says where", r.LogProb)
	}
	return r, nil
}

// predict tells each the log-probability of ids[from:], one after the other,
// and whether it was the likeliest token.
func predict(ctx context.Context, src Source, ids []int32, from int, each func(logProb float64, best bool)) error {
	pos := 0
	for row, err := range src.Logits(ctx, ids, false) {
		if err != nil {
			return err
		}
		if pos++; pos >= from && pos < len(ids) {
			next := ids[pos]
			each(compare.LogProb(row, next), compare.Best(row) == int(next))
		}
	}
	return nil
}
