package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"tritflow/graph"
	"tritflow/stages"
)

const (
	warmTokens   = 3  // of each sequence before its speed counts
	leastTokens  = 8  // of each sequence that are measured, however long they take
	windowTokens = 2  // of each sequence at least in a sample
	mostRepeats  = 10 // samples of a measurement
	mostRounds   = 20 // requests, or sets of them, for one measurement
)

// prompt is n ids of the middle of the vocabulary, which are ordinary words.
func prompt(m *graph.Model, n int) []int32 {
	from, span := m.Vocab/4, max(m.Vocab/2, 1)
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(from + i*31%span)
	}
	return ids
}

// arrivals are the moments at which a sequence's tokens came.
type arrivals []time.Time

// stream runs n requests of the same prompt at once until each has given the
// tokens asked for, or, when all are under way and have given leastTokens,
// the time is over. It returns when the tokens of each came.
func stream(ctx context.Context, e *stages.Engine, n, length, tokens int, within time.Duration) ([]arrivals, error) {
	r := stages.Request{Tokens: prompt(e.Model(), length), MaxTokens: tokens, IgnoreEOS: true}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var warm, enough, all sync.WaitGroup
	warm.Add(n)
	enough.Add(n)
	times, errs := make([]arrivals, n), make([]error, n)
	for i := range n {
		all.Go(func() {
			warmed, satisfied := sync.OnceFunc(warm.Done), sync.OnceFunc(enough.Done)
			defer warmed()
			defer satisfied()
			for _, err := range e.Generate(running, r) {
				if err != nil {
					errs[i] = err
					return
				}
				times[i] = append(times[i], time.Now())
				if len(times[i]) == warmTokens {
					warmed()
				}
				if len(times[i]) == warmTokens+leastTokens {
					satisfied()
				}
			}
		})
	}
	warm.Wait()
	finished := make(chan struct{})
	timer := time.NewTimer(within)
	defer timer.Stop()
	go func() {
		all.Wait()
		close(finished)
	}()
	select {
	case <-timer.C:
	case <-finished:
	}
	enough.Wait()
	cancel()
	<-finished
	for _, err := range errs {
		if err != nil && (ctx.Err() != nil || !errors.Is(err, context.Canceled)) {
			return nil, err
		}
	}
	return times, nil
}

// speeds cuts the time in which all sequences were giving tokens into windows
// of equal numbers of tokens and returns the tokens a second of each, and how
// many tokens of a sequence lie before the middle of that time. There are none
// where the sequences were too short.
func speeds(times []arrivals) (tokS []float64, middle float64) {
	n := len(times)
	var begin, end time.Time
	for _, t := range times {
		if len(t) <= warmTokens {
			return nil, 0
		}
		if first := t[warmTokens-1]; first.After(begin) {
			begin = first
		}
		if last := t[len(t)-1]; end.IsZero() || last.Before(end) {
			end = last
		}
	}
	var merged []time.Time
	before := 0
	for _, t := range times {
		for _, at := range t {
			switch {
			case !at.After(begin):
				before++
			case !at.After(end):
				merged = append(merged, at)
			}
		}
	}
	slices.SortFunc(merged, time.Time.Compare)
	each := len(merged) / n // tokens of a sequence
	windows := min(each/windowTokens, mostRepeats)
	if each > 0 && windows == 0 {
		windows = 1
	}
	last := begin
	for w := range windows {
		count := each / windows * n
		at := merged[(w+1)*count-1]
		if took := at.Sub(last).Seconds(); took > 0 {
			tokS = append(tokS, float64(count)/took)
		}
		last = at
	}
	return tokS, (float64(before) + float64(len(merged))/2) / float64(n)
}

// decode measures n sequences after a prompt of length tokens, again and again
// until the time is over, and returns speeds and the mean position.
func decode(ctx context.Context, e *stages.Engine, n, length int, within time.Duration) (tokS []float64, position float64, err error) {
	tokens := min(answer, e.Ctx()-length+1)
	start := time.Now()
	rounds := 0
	for ; rounds < mostRounds; rounds++ {
		left := within - time.Since(start)
		if rounds > 0 && left < within/mostRepeats {
			break
		}
		times, err := stream(ctx, e, n, length, tokens, left)
		if err != nil {
			return nil, 0, err
		}
		s, middle := speeds(times)
		tokS, position = append(tokS, s...), position+float64(length)+middle
	}
	return tokS, position / float64(rounds), nil
}

// prefill measures the reading of prompts of length tokens, at least twice.
func prefill(ctx context.Context, e *stages.Engine, length int, within time.Duration) (tokS []float64, err error) {
	r := stages.Request{Tokens: prompt(e.Model(), length), MaxTokens: 1, IgnoreEOS: true}
	start := time.Now()
	for len(tokS) < 2 || len(tokS) < mostRepeats && time.Since(start) < within {
		s, err := e.Submit(ctx, r)
		if err != nil {
			return nil, err
		}
		if err := s.Err(); err != nil {
			return nil, err
		}
		tokS = append(tokS, float64(length)/max(s.Result().Prefill, time.Nanosecond).Seconds())
	}
	return tokS, nil
}
