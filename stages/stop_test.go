package stages

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tritflow/stages/sample"
)

// firstStop is the model: the text before the stop string that is complete first.
func firstStop(text string, stops []string) (string, bool) {
	for end := 1; end <= len(text); end++ {
		cut := -1
		for _, s := range stops {
			if strings.HasSuffix(text[:end], s) && (cut < 0 || end-len(s) < cut) {
				cut = end - len(s)
			}
		}
		if cut >= 0 {
			return text[:cut], true
		}
	}
	return text, false
}

// TestStopMatcher cuts texts into pieces in all ways.
func TestStopMatcher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abé]{1,5}`)
		stops := rapid.SliceOfN(word, 0, 3).Draw(t, "stops")
		text := rapid.StringMatching(`[abéc]{0,24}`).Draw(t, "text")
		want, hit := firstStop(text, stops)
		m := stopMatcher{stops: stops}
		var got strings.Builder
		runes := []rune(text)
		for len(runes) > 0 {
			n := rapid.IntRange(1, len(runes)).Draw(t, "piece")
			got.WriteString(m.push(string(runes[:n])))
			for _, s := range stops {
				if strings.Contains(got.String(), s) {
					t.Fatalf("%q was handed out with stop string %q in it", got.String(), s)
				}
			}
			runes = runes[n:]
		}
		got.WriteString(m.flush())
		if got.String() != want || m.hit != hit {
			t.Fatalf("%q, %v; want %q, %v", got.String(), m.hit, want, hit)
		}
	})
}

func TestStopMatcherHoldsBackNoMoreThanNeeded(t *testing.T) {
	m := stopMatcher{stops: []string{"END"}}
	for _, c := range []struct{ piece, want string }{
		{"abc", "abc"}, {"dE", "d"}, {"N", ""}, {"x", "ENx"}, {"EEN", "E"}, {"D tail", ""}, {"more", ""},
	} {
		if got := m.push(c.piece); got != c.want {
			t.Errorf("push(%q) = %q, want %q", c.piece, got, c.want)
		}
	}
	if !m.hit || m.flush() != "" {
		t.Error("the stop string was missed")
	}
}

// TestStopRules runs every way an answer can end through the pipeline.
func TestStopRules(t *testing.T) {
	const n = 20
	start := prompt(3, 4)
	probe := newRig(t, rigOptions{})
	ids := probe.want(start, sample.Params{}, n)
	probe.finish(t)
	letters := func(ids []int32) string {
		var b strings.Builder
		for _, id := range ids {
			b.WriteRune('a' + id%26)
		}
		return b.String()
	}
	text := letters(ids)
	at := func(id int32) int { return slices.Index(ids, id) }
	end := 7
	for at(ids[end]) != end { // a token that was not drawn before
		end++
	}
	first := func(stop string) int { return strings.Index(text, stop) }

	for _, c := range []struct {
		name   string
		eog    int32
		change func(*Request)
		ids    []int32
		text   string
		finish Finish
	}{
		{"length", 0, func(*Request) {}, ids, text, FinishLength},
		{"end token", ids[end], func(*Request) {}, ids[:end], text[:end], FinishStop},
		{"end token ignored", ids[end], func(q *Request) { q.IgnoreEOS = true }, ids, text, FinishLength},
		{"stop id", 0, func(q *Request) { q.StopIDs = []int32{ids[end]} }, ids[:end], text[:end], FinishStop},
		{"stop id when end tokens are ignored", ids[end], func(q *Request) { q.IgnoreEOS, q.StopIDs = true, []int32{ids[end]} }, ids[:end], text[:end], FinishStop},
		{"stop string", 0, func(q *Request) { q.Stop = []string{"?", text[9:12]} }, ids[:first(text[9:12])+3], text[:first(text[9:12])], FinishStop},
		{"stop string that begins at the end", 0, func(q *Request) { q.Stop = []string{text[n-2:] + "?"} }, ids, text, FinishLength},
		{"end token flushes what was held back", ids[end], func(q *Request) { q.Stop = []string{text[end-2:end] + "?"} }, ids[:end], text[:end], FinishStop},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{eog: c.eog})
			q := Request{Tokens: start, MaxTokens: n}
			c.change(&q)
			s := r.mustSubmit(t, context.Background(), q)
			gotIDs, gotText, err := read(s)
			res := s.Result()
			if err != nil || gotText != c.text || !slices.Equal(gotIDs, c.ids) || !slices.Equal(res.Tokens, c.ids) || res.Finish != c.finish {
				t.Errorf("%v %q %q %v; want %v %q %q", gotIDs, gotText, res.Finish, err, c.ids, c.text, c.finish)
			}
			r.finish(t)
		})
	}
}

// TestContextEnds: an answer may fill the context and draw one token more.
func TestContextEnds(t *testing.T) {
	r := newRig(t, rigOptions{limits: func(l *limits) { l.ctx = 10 }})
	for _, n := range []int{1, 7, 10} {
		s := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, n), MaxTokens: 100})
		if res := s.Result(); len(res.Tokens) != 11-n || res.Finish != FinishLength || res.PromptTokens != n {
			t.Errorf("a prompt of %d: %+v", n, res)
		}
	}
	r.finish(t)
}

// TestHeldTextIsNotLost: what was held back comes out when a request is broken off.
func TestHeldTextIsNotLost(t *testing.T) {
	r := newRig(t, rigOptions{piece: func(int32) string { return "x" }, limits: func(l *limits) { l.ctx = 4000 }})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := r.mustSubmit(t, ctx, Request{Tokens: prompt(1, 2), MaxTokens: 2000, Stop: []string{strings.Repeat("x", 1990) + "y"}})
	n, text := 0, ""
	for tok, err := range s.Tokens() {
		if err != nil {
			break
		}
		text += tok.Text
		if tok.ID != NoToken {
			n++
		}
		if n == 5 {
			cancel()
		}
	}
	if text != strings.Repeat("x", n) || n < 5 {
		t.Errorf("%d tokens, %d letters", n, len(text))
	}
	r.finish(t)
}
