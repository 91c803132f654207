package openai

import (
	"math"

	"tritflow/gguf/vocab"
	"tritflow/stages"
	"tritflow/stages/sample"
)

// Defaults are what a line gets that does not say otherwise.
type Defaults struct {
	MaxTokens int
	Sampling  sample.Params // Seed: what the seeds of lines without one are made from
	Stop      []string
	IgnoreEOS bool
}

// Prompt of a completion: text, or token ids.
type Prompt struct {
	Text   string
	Tokens []int32
}

// Call is a line that asks for something.
type Call struct {
	ID       string // custom_id
	Chat     bool
	Model    string          // as the line names it, "" = not at all
	Messages []vocab.Message // of a chat
	Prompts  []Prompt        // of a completion, one or more
	N        int             // choices a prompt
	Tops     int             // alternatives to report with each token; -1 = no log-probabilities

	request stages.Request // but the prompt; the seed is that of choice 0
	seeded  bool           // the seed was made here and is told in the answer
}

// Requests is how many requests the call makes: N a prompt.
func (c *Call) Requests() int { return max(1, len(c.Prompts)) * c.N }

// Request gives everything but the prompt of the i-th request. Each choice of a
// prompt draws with a seed of its own.
func (c *Call) Request(i int) stages.Request {
	r := c.request
	r.Sampling.Seed += uint64(i % c.N)
	if c.Tops >= 0 {
		r.Logprobs = c.Tops + 1
	}
	if p := &r.Sampling; p.Frequency != 0 || p.Presence != 0 {
		p.AnswerOnly, p.LastN = true, r.MaxTokens // all of it
	}
	return r
}

// Prompt gives the prompt of the i-th request of a completion.
func (c *Call) Prompt(i int) Prompt { return c.Prompts[i/c.N] }

// Bounds of the API, and of what one line may make the program hold.
const (
	mostChoices  = 128
	mostTops     = 20
	mostStops    = 16
	mostPrompts  = 128
	mostRequests = 1024
)

// settle reads what both kinds of request share.
func (c *Call) settle(f *fields, d Defaults, line uint64) {
	c.Model, _ = f.text("model")
	r := &c.request
	r.MaxTokens, r.Sampling, r.Stop, r.IgnoreEOS = d.MaxTokens, d.Sampling, d.Stop, d.IgnoreEOS
	c.N, c.Tops = 1, -1
	if n, ok := f.integer("max_tokens", 1, math.MaxInt32); ok {
		r.MaxTokens = int(n)
	}
	if n, ok := f.integer("n", 1, mostChoices); ok {
		c.N = int(n)
	}
	p := &r.Sampling
	if x, ok := f.number("temperature"); ok {
		if x < 0 || x > math.MaxFloat32 {
			f.wrong("temperature", "%v is not a number from 0 (greedy) on", x)
		}
		p.Temperature = float32(x)
	}
	if x, ok := f.number("top_p"); ok {
		if x < 0 || x > 1 {
			f.wrong("top_p", "%v is not between 0 and 1", x)
		}
		// 0 leaves the likeliest token, as any number does that is small enough.
		p.TopP = max(float32(x), math.SmallestNonzeroFloat32)
	}
	if x, ok := f.number("min_p"); ok {
		if x < 0 || x > 1 {
			f.wrong("min_p", "%v is not between 0 and 1", x)
		}
		p.MinP = float32(x)
	}
	if n, ok := f.integer("top_k", -1, math.MaxInt32); ok {
		p.TopK = int(max(n, 0)) // -1 and 0 are both in use for "off"
	}
	penalty(f, "frequency_penalty", &p.Frequency)
	penalty(f, "presence_penalty", &p.Presence)
	if n, ok := f.integer("seed", math.MinInt64, math.MaxInt64); ok {
		p.Seed = uint64(n)
	} else if p.Temperature > 0 {
		p.Seed, c.seeded = line&math.MaxUint32, true
	}
	if b, ok := f.flag("ignore_eos"); ok {
		r.IgnoreEOS = b
	}
	c.stops(f)

	f.idle("stream", "false")
	f.idle("stream_options")
	f.idle("logit_bias", "{}")
	// What says who asks and why changes no answer.
	for _, name := range []string{"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"} {
		f.take(name)
	}
}

// penalty reads what tokens lose that the answer has already.
func penalty(f *fields, name string, to *float32) {
	x, ok := f.number(name)
	if !ok {
		return
	}
	if x < -2 || x > 2 {
		f.wrong(name, "%v is not between -2 and 2", x)
	}
	*to = float32(x)
}

func (c *Call) stops(f *fields) {
	raw, ok := f.take("stop")
	if !ok {
		return
	}
	list, ok := texts(raw)
	switch {
	case !ok:
		f.bad("stop", "a string or an array of strings", raw)
	case len(list) > mostStops:
		f.wrong("stop", "there are %d strings, at most %d are allowed", len(list), mostStops)
	}
	for _, s := range list {
		if s == "" {
			f.wrong("stop", "a stop string is empty")
		}
	}
	c.request.Stop = list
}
