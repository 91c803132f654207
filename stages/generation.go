package stages

import (
	"sync/atomic"
	"time"

	"tritflow/device"
	"tritflow/stages/sample"
)

// textStream turns ids into text as they come (see vocab.Stream).
type textStream interface {
	Push(id int32) string
	Flush() string
}

// generation is the task of a Request: draw tokens until a stop rule says so.
type generation struct {
	// Read-only.
	sampler  *sample.Sampler
	params   sample.Params
	logprobs int              // as sample.Sampler.Sample takes it
	ends     func(int32) bool // end tokens and stop ids
	limit    int              // tokens to draw at most
	prompt   int              // tokens of the prompt
	submit   time.Time

	// Of the sample stage, and of the scheduler while nothing is under way.
	text  textStream
	stop  stopMatcher
	drawn int

	// Of the scheduler, and of the consumer after the end.
	seq         *sequence
	out         *outlet[Token]
	result      Result
	first, last time.Time     // of the tokens
	ended       chan struct{} // closed by the scheduler when result is complete

	reading atomic.Bool // somebody receives the tokens
}

func (g *generation) every() bool { return false }

func (g *generation) output(row int32) device.Output {
	topK, full := g.params.Need(g.logprobs)
	return device.Output{Row: row, TopK: topK, Full: full}
}

// consume draws a token and turns it into text.
func (g *generation) consume(l device.Logits, lo, _ int) (answer, error) {
	scores, err := l.Row(lo)
	if err != nil {
		return answer{}, err
	}
	choice, err := g.sampler.Sample(scores, g.logprobs)
	if err != nil {
		return answer{}, err
	}
	drawn := Drawn{choice.ID, choice.Logit}
	if g.ends(choice.ID) {
		a := answer{token: Token{ID: NoToken, Text: g.flush()}, done: FinishStop, drawn: drawn}
		a.emit = a.token.Text != ""
		return a, nil
	}
	g.sampler.Accept(choice.ID)
	g.drawn++
	a := answer{emit: true, drawn: drawn, token: Token{ID: choice.ID, Logprob: choice.Logprob, Top: choice.Top}}
	a.token.Text = g.stop.push(g.text.Push(choice.ID))
	if !g.stop.hit && g.drawn == g.limit {
		a.token.Text += g.flush()
		a.done = FinishLength
	}
	if g.stop.hit {
		a.done = FinishStop
	}
	a.more = a.done == ""
	return a, nil
}

// flush returns the text that was held back.
func (g *generation) flush() string {
	return g.stop.push(g.text.Flush()) + g.stop.flush()
}

func (g *generation) room(underWay int) bool { return g.out.room(underWay) }

func (g *generation) drained(owed int) bool { return g.out.drained(owed) }

func (g *generation) deliver(a answer) {
	now := time.Now()
	if g.first.IsZero() {
		g.first = now
		g.result.Tokens = make([]int32, 0, g.limit)
		g.result.Drawn = make([]Drawn, 0, g.limit)
	}
	g.result.Drawn = append(g.result.Drawn, a.drawn)
	if a.token.ID != NoToken {
		g.result.Tokens = append(g.result.Tokens, a.token.ID)
		g.last = now
	}
	if a.emit {
		g.out.put(a.token)
	}
}

// end completes the result. Text that was held back when the request was
// broken off is handed out too: it was produced. Not where it may be that of a token
// that came to nothing, because a step before it failed.
func (g *generation) end(f Finish, err error) {
	defer func() {
		g.out.close(err)
		close(g.ended)
	}()
	g.result.Finish, g.result.PromptTokens = f, g.prompt
	g.result.CachedTokens = min(g.seq.reused, g.prompt)
	if !g.first.IsZero() {
		g.result.FirstToken = g.first.Sub(g.submit)
		g.result.Prefill = g.first.Sub(g.seq.started)
	}
	if !g.last.IsZero() {
		g.result.Decode = g.last.Sub(g.first)
	}
	if err != nil && g.drawn == len(g.result.Tokens) {
		if rest := g.flush(); rest != "" {
			g.out.put(Token{ID: NoToken, Text: rest})
		}
	}
}
