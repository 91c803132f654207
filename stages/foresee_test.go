package stages

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/stages/sample"
)

// promises compares every step with what the one before it said of it.
type promises struct {
	pageSize int

	last   *device.Batch // that hinted
	steps  []device.Batch
	broken []string
}

func (p *promises) hook(c call) error {
	if c.kind != "embed" {
		return nil
	}
	b := device.Batch{Rows: slices.Clone(c.batch.Rows), Seqs: slices.Clone(c.batch.Seqs), Outputs: slices.Clone(c.batch.Outputs), Next: c.batch.Next}
	for i := range b.Seqs {
		b.Seqs[i].Pages = slices.Clone(b.Seqs[i].Pages)
	}
	if p.last != nil {
		p.compare(&b)
	}
	if p.last = nil; b.Next {
		p.last = &b
	}
	p.steps = append(p.steps, b)
	return nil
}

// compare tells whether b holds sequences of whose next position the last step spoke and nothing
// else, in their order. All of them may have ended; then b is about others.
func (p *promises) compare(b *device.Batch) {
	at, met := 0, 0
	for i := range b.Seqs {
		s := &b.Seqs[i]
		for j := at; j < len(p.last.Seqs); j++ {
			was := &p.last.Seqs[j]
			pos := p.last.Rows[was.First].Pos + 1
			if was.ID != s.ID || s.N != 1 || b.Rows[s.First].Pos != pos || len(was.Pages)*p.pageSize <= int(pos) {
				continue
			}
			at = j + 1
			met++
			// The page before the last may have become that of another with the same contents.
			n := len(was.Pages)
			if len(s.Pages) < n || !slices.Equal(s.Pages[:max(0, n-2)], was.Pages[:max(0, n-2)]) || s.Pages[n-1] != was.Pages[n-1] {
				p.broken = append(p.broken, fmt.Sprintf("sequence %d has pages %v, had %v", s.ID, s.Pages, was.Pages))
			}
			break
		}
	}
	if met > 0 && (met != len(b.Seqs) || len(b.Outputs) != len(b.Rows)) {
		p.broken = append(p.broken, fmt.Sprintf("of %d sequences %d are those of the step before", len(b.Seqs), met))
	}
}

// hints are those of all steps, in text.
func (p *promises) hints() string {
	var s []byte
	for _, b := range p.steps {
		c := byte('.')
		if b.Next {
			c = 'N'
		}
		s = append(s, c)
	}
	return string(s)
}

// TestForesee: a step tells what follows it exactly where that can be known.
func TestForesee(t *testing.T) {
	type ask struct {
		prompt, max int
		change      func(*Request)
	}
	for _, c := range []struct {
		name   string
		asks   []ask
		limits func(*limits)
		want   string
	}{
		{"one", []ask{{3, 5, nil}}, nil, ".NNN."},
		{"a prompt of one", []ask{{1, 5, nil}}, nil, "NNNN."},
		{"one token", []ask{{1, 1, nil}}, nil, "."},
		{"two of one length", []ask{{1, 4, nil}, {1, 4, nil}}, nil, "NNN."},
		{"two, one ends", []ask{{1, 5, nil}, {1, 3, nil}}, nil, "NNNN."},
		{"a prompt is read", []ask{{1, 9, nil}, {12, 3, nil}}, func(l *limits) { l.chunk = 5 }, "...NNNNN."},
		{"top-k of one", []ask{{1, 3, func(q *Request) { q.Sampling = sample.Params{Temperature: 1, TopK: 1, TopP: 1} }}}, nil, "NN."},
		{"drawn", []ask{{1, 3, func(q *Request) { q.Sampling = sample.Params{Temperature: 1, TopK: 2, TopP: 1} }}}, nil, "..."},
		{"drawn from all", []ask{{1, 3, func(q *Request) { q.Sampling = sample.Params{Temperature: 1, TopP: 1} }}}, nil, "..."},
		{"penalties", []ask{{1, 3, func(q *Request) { q.Sampling = sample.Params{Presence: 1, LastN: 4} }}}, nil, "..."},
		{"log-probabilities", []ask{{1, 3, func(q *Request) { q.Logprobs = 1 }}}, nil, "..."},
		{"one of two is drawn", []ask{{1, 4, nil}, {1, 2, func(q *Request) { q.Sampling = sample.Params{Temperature: 1, TopP: 1} }}}, nil, "..N."},
		{"to the end of the context", []ask{{1, 100, nil}}, func(l *limits) { l.ctx, l.pages = 8, 2 }, "NNNNNNN."},
		{"one after the other", []ask{{1, 6, nil}, {1, 6, nil}}, func(l *limits) { l.pages, l.ctx = 2, 8 }, "NNNNN.NNNNN."},
		{"no page is left for one", []ask{{1, 6, nil}, {1, 6, nil}}, func(l *limits) { l.pages, l.ctx = 3, 8 }, "NNNN..N."},
		{"no device wants it", []ask{{1, 5, nil}}, func(l *limits) { l.ahead = false }, "....."},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p promises
			submitted := make(chan struct{})
			r := newRig(t, rigOptions{
				hook: func(c call) error {
					<-submitted
					return p.hook(c)
				},
				limits: func(l *limits) {
					l.ahead, l.tokens, l.chunk = true, 100, 32
					if c.limits != nil {
						c.limits(l)
					}
					p.pageSize = l.pageSize
				},
			})
			// The first step waits; all are there when the second is composed, unless the first
			// is about all: then a sequence of no interest keeps it waiting.
			first := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(99, 1), MaxTokens: 1})
			eventually(t, "the first step", func() bool { return r.pipe.rings[0].gauges.flying.Load() == 1 })
			var streams []*Stream
			for i, a := range c.asks {
				q := Request{Tokens: prompt(i, a.prompt), MaxTokens: a.max}
				if a.change != nil {
					a.change(&q)
				}
				streams = append(streams, r.mustSubmit(t, context.Background(), q))
			}
			close(submitted)
			if _, _, err := read(first); err != nil {
				t.Error(err)
			}
			for i, s := range streams {
				a := c.asks[i]
				ids, _, err := read(s)
				q := Request{}
				if a.change != nil {
					a.change(&q)
				}
				if want := r.want(prompt(i, a.prompt), q.Sampling, len(ids)); err != nil || !slices.Equal(ids, want) || len(ids) != min(a.max, r.pipe.limits.ctx) {
					t.Errorf("request %d: %v, %v, want %v", i, ids, err, want)
				}
			}
			r.finish(t)
			if got := p.hints(); got != "."+c.want {
				t.Errorf("hints %s, want .%s", got, c.want)
			}
			for _, broken := range p.broken {
				t.Error(broken)
			}
		})
	}
}

// TestForeseenStepComesFirst: who comes while a step is foreseen waits for that one.
func TestForeseenStepComesFirst(t *testing.T) {
	var p promises
	arrived, second := make(chan struct{}), make(chan struct{})
	r := newRig(t, rigOptions{
		limits: func(l *limits) {
			l.ahead, l.tokens = true, 16 // or a consumer that lags keeps its sequence out of a step
			p.pageSize = l.pageSize
		},
		hook: func(c call) error {
			err := p.hook(c)
			if c.kind == "embed" && len(p.steps) == 3 {
				close(arrived)
				<-second
			}
			return err
		},
	})
	one := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, 1), MaxTokens: 8})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-arrived
		two, err := r.submit(context.Background(), Request{Tokens: prompt(2, 6), MaxTokens: 3})
		close(second)
		if err != nil {
			t.Error(err)
			return
		}
		if ids, _, err := read(two); err != nil || !slices.Equal(ids, r.want(prompt(2, 6), sample.Params{}, 3)) {
			t.Errorf("%v, %v", ids, err)
		}
	}()
	if ids, _, err := read(one); err != nil || !slices.Equal(ids, r.want(prompt(1, 1), sample.Params{}, 8)) {
		t.Errorf("%v, %v", ids, err)
	}
	within(t, "the end of the second", done)
	r.finish(t)
	// The third step was hinted at and hints itself; the fourth, foreseen, is the first one's alone and
	// says nothing, because of the prompt that the fifth reads.
	var sizes []int
	for _, b := range p.steps {
		sizes = append(sizes, len(b.Rows))
	}
	if !slices.Equal(sizes, []int{1, 1, 1, 1, 7, 2, 2, 1}) || p.hints() != "NNN..NN." || len(p.broken) > 0 {
		t.Errorf("rows %v, hints %s, %v", sizes, p.hints(), p.broken)
	}
}

// TestLayoutForesees: only a ring that is one device, which begins steps early, is told of the next.
func TestLayoutForesees(t *testing.T) {
	m := openBuiltin(t, Options{Ctx: 256}).Model()
	for _, c := range []struct {
		ahead        []bool
		waves, parts int
		want         bool
	}{
		{[]bool{true}, 0, 1, true},
		{[]bool{false}, 0, 1, false},
		{[]bool{true}, 2, 1, false},
		{[]bool{true, true}, 0, 1, false},
		{[]bool{true, true}, 1, 1, false},
		{[]bool{true, true}, 0, 2, true},
		{[]bool{true, false}, 0, 2, false},
	} {
		var devs []device.Device
		for i, ahead := range c.ahead {
			devs = append(devs, aheadDevice{newSimulated(fmt.Sprintf("sim:%d", i), 1), ahead})
		}
		o, err := Options{Waves: c.waves, Replicas: c.parts, Ctx: 256}.settle(m)
		if err != nil {
			t.Fatal(err)
		}
		l, err := o.layoutOf(m, devs, nil)
		if err != nil {
			t.Fatal(err)
		}
		if l.limits.ahead != c.want {
			t.Errorf("%+v: %v", c, l.limits.ahead)
		}
	}
}

// aheadDevice is a device that may begin steps early.
type aheadDevice struct {
	*simulated
	ahead bool
}

func (d aheadDevice) Info() device.Info {
	info := d.simulated.Info()
	info.Ahead = d.ahead
	return info
}
