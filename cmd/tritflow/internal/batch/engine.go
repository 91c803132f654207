package batch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"

	"tritflow/cmd/tritflow/internal/batch/openai"
	"tritflow/device"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

// Engine answers calls with a model.
type Engine struct {
	engine  *stages.Engine
	name    string
	special bool

	template    *vocab.Template
	templateErr error
}

// NewEngine uses an engine, which stays the caller's. With special set, special
// tokens that are written in the prompts of completions are taken as such.
func NewEngine(e *stages.Engine, special bool) *Engine {
	a := &Engine{engine: e, name: e.Model().Name, special: special}
	if a.name == "" {
		a.name = "tritflow"
	}
	a.template, a.templateErr = e.Vocab().Template()
	return a
}

// Answer implements Answerer. All choices of a call are under way at once.
func (a *Engine) Answer(ctx context.Context, c *openai.Call, k openai.Key) (Answer, *openai.Fault, error) {
	segments, fault, err := a.chat(c)
	if fault != nil || err != nil {
		return Answer{}, fault, err
	}
	choices := make([]openai.Choice, c.Requests())
	draws := make([][32]byte, len(choices))
	errs := make([]error, len(choices))
	var group sync.WaitGroup
	for i := range choices {
		r := c.Request(i)
		if c.Chat {
			r.Segments = segments
		} else {
			p := c.Prompt(i)
			r.Prompt, r.Tokens, r.NoSpecial = p.Text, p.Tokens, !a.special
		}
		if i == len(choices)-1 { // most calls have one choice
			errs[i] = a.generate(ctx, r, &choices[i], &draws[i])
			break
		}
		group.Go(func() { errs[i] = a.generate(ctx, r, &choices[i], &draws[i]) })
	}
	group.Wait()
	if fault, err := blame(c, errs); fault != nil || err != nil {
		return Answer{}, fault, err
	}
	text, usage, err := c.Line(k, a.name, choices)
	return Answer{text, usage, joined(draws)}, nil, err
}

// joined makes one digest of those of a call's choices.
func joined(draws [][32]byte) [32]byte {
	if len(draws) == 1 {
		return draws[0]
	}
	var all []byte
	for _, d := range draws {
		all = append(all, d[:]...)
	}
	return sha256.Sum256(all)
}

// chat renders the messages of a chat.
func (a *Engine) chat(c *openai.Call) ([]vocab.Segment, *openai.Fault, error) {
	if !c.Chat {
		return nil, nil, nil
	}
	err := a.templateErr
	var segments []vocab.Segment
	if err == nil {
		segments, err = a.template.Render(c.Messages, true)
	}
	if te := (*vocab.TemplateError)(nil); errors.As(err, &te) {
		return nil, openai.Refused("invalid_value", "messages", "The messages do not go through the model's chat template: "+te.Reason+"."), nil
	}
	return segments, nil, err
}

// generate makes one choice.
func (a *Engine) generate(ctx context.Context, r stages.Request, out *openai.Choice, draws *[32]byte) error {
	s, err := a.engine.Submit(ctx, r)
	if err != nil {
		return err
	}
	var text strings.Builder
	for t, err := range s.Tokens() {
		if err != nil {
			return err
		}
		text.WriteString(t.Text)
		if r.Logprobs > 0 && t.ID != stages.NoToken {
			out.Positions = append(out.Positions, a.position(&t))
		}
	}
	res := s.Result()
	*draws = res.Digest()
	out.Text, out.Finish, out.Tokens, out.Prompt = text.String(), res.Finish, len(res.Tokens), res.PromptTokens
	return nil
}

func (a *Engine) position(t *stages.Token) openai.Position {
	score := func(id int32, logprob float64) openai.Scored {
		return openai.Scored{ID: id, Bytes: a.engine.Vocab().Piece(id, true), Logprob: logprob}
	}
	p := openai.Position{Scored: score(t.ID, t.Logprob)}
	for _, o := range t.Top {
		p.Others = append(p.Others, score(o.ID, o.Logprob))
	}
	return p
}

// blame sorts the errors of a call's requests. What every run would meet is the
// line's own fault, the first one counts; anything else ends the job.
func blame(c *openai.Call, errs []error) (fault *openai.Fault, err error) {
	for _, e := range errs {
		var re *stages.RequestError
		var ne *device.NumericError
		var f *openai.Fault
		switch {
		case e == nil:
			continue
		case errors.As(e, &re):
			f = refusal(c, re)
		case errors.As(e, &ne):
			f = openai.Failed("numerical_error", fmt.Sprintf("The network made %s in %s at position %d.", ne.Kind, ne.Stage, ne.Pos))
		default:
			return nil, e
		}
		if fault == nil {
			fault = f
		}
	}
	return fault, nil
}

// refusal says in the API's words what the engine did not take.
func refusal(c *openai.Call, re *stages.RequestError) *openai.Fault {
	code, param := "invalid_value", ""
	switch re.Field {
	case "Prompt", "Tokens", "Segments":
		param = "prompt"
		if c.Chat {
			param = "messages"
		}
		if strings.Contains(re.Reason, "more than the context") {
			code = "context_length_exceeded"
		}
	}
	return openai.Refused(code, param, strings.ToUpper(re.Reason[:1])+re.Reason[1:]+".")
}
