package receipt

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf/vocab"
	"tritflow/stages"
)

// Difference is the first thing that did not come out as the receipt says.
type Difference struct {
	Where string `json:"where"`
	Want  string `json:"want"` // of the receipt
	Got   string `json:"got"`
}

func (d *Difference) String() string {
	return fmt.Sprintf("%s: the receipt has %s, here it is %s", d.Where, d.Want, d.Got)
}

// Request is the one that an answer of a run was made with. An error is that of
// the model's chat template.
func (r *Run) Request(prompt string, v *vocab.Vocab) (stages.Request, error) {
	o := r.Options
	q := stages.Request{MaxTokens: o.MaxTokens, Sampling: o.Sampling.Params(), Stop: o.Stop, IgnoreEOS: o.IgnoreEOS}
	if !r.Chat {
		q.Prompt, q.NoSpecial = prompt, !r.Special
		return q, nil
	}
	t, err := v.Template()
	if err != nil {
		return q, err
	}
	q.Segments, err = t.Render([]vocab.Message{{Role: "user", Content: prompt}}, true)
	return q, err
}

// Check computes a run again, all answers at once, and compares. The error is that of
// a request or of ctx; a difference is none.
func Check(ctx context.Context, e *stages.Engine, r *Receipt) (*Difference, error) {
	found := make([]*Difference, len(r.Run.Answers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(underWay)
	for i := range r.Run.Answers {
		want := &r.Run.Answers[i]
		group.Go(func() error {
			q, err := r.Run.Request(want.Prompt, e.Vocab())
			if err != nil {
				return err
			}
			got, err := Answered(ctx, e, q)
			if err != nil {
				return fmt.Errorf("answer %d: %w", i+1, err)
			}
			found[i] = want.compare(got, fmt.Sprintf("answer %d, ", i+1), e.Vocab())
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, d := range found {
		if d != nil {
			return d, nil
		}
	}
	return nil, nil
}

// underWay bounds the requests that wait for an engine.
const underWay = 256

// Answered computes an answer.
func Answered(ctx context.Context, e *stages.Engine, q stages.Request) (*Answer, error) {
	s, err := e.Submit(ctx, q)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	for t, err := range s.Tokens() {
		if err != nil {
			return nil, err
		}
		text.WriteString(t.Text)
	}
	res := s.Result()
	return NewAnswer(q.Prompt, text.String(), s.Prompt(), &res), nil
}

// NewAnswer is the entry of a receipt for what was generated.
func NewAnswer(prompt, text string, ids []int32, res *stages.Result) *Answer {
	sum := res.Digest()
	a := &Answer{
		Prompt: prompt, PromptTokens: ids, Text: text, Finish: string(res.Finish), Digest: hex.EncodeToString(sum[:]),
		Drawn: make([]int32, len(res.Drawn)), Logits: make([]float32, len(res.Drawn)),
	}
	for i, d := range res.Drawn {
		a.Drawn[i], a.Logits[i] = d.ID, d.Logit
	}
	return a
}

// compare says what is different first, nil for nothing.
func (a *Answer) compare(got *Answer, where string, v *vocab.Vocab) *Difference {
	token := func(ids []int32, i int) string {
		if i >= len(ids) {
			return "no token"
		}
		return fmt.Sprintf("%d %q", ids[i], v.Piece(ids[i], true))
	}
	for i := range max(len(a.PromptTokens), len(got.PromptTokens)) {
		if want, have := token(a.PromptTokens, i), token(got.PromptTokens, i); want != have {
			return &Difference{where + fmt.Sprintf("token %d of the prompt", i+1), want, have}
		}
	}
	for i := range max(len(a.Drawn), len(got.Drawn)) {
		at := where + fmt.Sprintf("draw %d", i+1)
		// The logit first where both drew the same, because it came out first.
		if want, have := token(a.Drawn, i), token(got.Drawn, i); want != have {
			return &Difference{at, want, have}
		}
		if i < len(a.Logits) && math.Float32bits(a.Logits[i]) != math.Float32bits(got.Logits[i]) {
			return &Difference{at + ", logit of " + token(a.Drawn, i), number(a.Logits[i]), number(got.Logits[i])}
		}
	}
	for _, x := range []struct{ what, want, got string }{
		{"reason of its end", a.Finish, got.Finish}, {"text", fmt.Sprintf("%q", a.Text), fmt.Sprintf("%q", got.Text)}, {"digest", a.Digest, got.Digest},
	} {
		if x.want != x.got {
			return &Difference{where + x.what, x.want, x.got}
		}
	}
	return nil
}

// number shows a logit with its bits, because differences may be in the last one.
func number(x float32) string { return fmt.Sprintf("%v (%08x)", x, math.Float32bits(x)) }
