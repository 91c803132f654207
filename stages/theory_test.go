package stages

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"tritflow/graph"
)

// TestPipelineReachesTheory: with S equal stages and R requests of which each
// Step carries its share, the pipeline draws R/S tokens in the time that one
// stage takes for R/S rows; below R = S a stage waits for its next request.
// The knee is at R = S.
func TestPipelineReachesTheory(t *testing.T) {
	for _, stages := range []int{2, 4, 8, 16} {
		knee := map[int]float64{}
		for _, requests := range []int{stages / 2, stages, 2 * stages, 8 * stages} {
			synctest.Test(t, func(t *testing.T) {
				devs := equalDevices(stages)
				got := simulate(t, devs, ones(stages), nil).answer(t, requests, 200)
				rows := ceilDiv(requests, stages)
				waves := min(requests, stages)
				theory := float64(requests) / float64(waves) / devs[0].block(rows).Seconds() * float64(waves) / float64(stages)
				if got < 0.95*theory || got > 1.001*theory {
					t.Errorf("%d stages, %d requests: %.1f tokens a second, theory %.1f", stages, requests, got, theory)
				}
				knee[requests] = got
				// Without overlap every Step takes the time of all stages.
				one := simulate(t, equalDevices(stages), ones(stages), func(l *limits) { l.waves = 1 }).answer(t, requests, 200)
				alone := float64(requests) / (float64(stages) * devs[0].block(requests).Seconds())
				if math.Abs(one/alone-1) > 0.05 {
					t.Errorf("%d stages, %d requests, one wave: %.1f tokens a second, theory %.1f", stages, requests, one, alone)
				}
				t.Logf("%2d stages %3d requests: %7.0f tokens a second pipelined (theory %7.0f), %6.0f not", stages, requests, got, theory, one)
			})
		}
		// Up to the knee twice the requests are twice the speed; beyond it
		// only what larger Steps gain.
		if up := knee[stages] / knee[stages/2]; up < 1.9 {
			t.Errorf("%d stages: %.2f times the speed from %d to %d requests", stages, up, stages/2, stages)
		}
		if up := knee[2*stages] / knee[stages]; up > 1.9 {
			t.Errorf("%d stages: %.2f times the speed from %d to %d requests, which is beyond the knee", stages, up, stages, 2*stages)
		}
	}
}

// TestSlowLinks: a hop costs the stage behind it its time and no other.
func TestSlowLinks(t *testing.T) {
	const link = 500 * time.Microsecond
	synctest.Test(t, func(t *testing.T) {
		devs := equalDevices(4)
		devs[2].link = link
		got := simulate(t, devs, ones(4), nil).answer(t, 64, 100)
		// The slowest stage sets the pace as long as there is a wave for each.
		round := 4*devs[0].block(16) + link
		slowest := max(devs[0].block(16)+link, round/4)
		if theory := 16 / slowest.Seconds(); got < 0.95*theory || got > 1.001*theory {
			t.Errorf("%.0f tokens a second, theory %.0f", got, theory)
		}
	})
}

// TestUnequalDevices: the planner's split is within 5 % of the best of all
// splits, each of them tried.
func TestUnequalDevices(t *testing.T) {
	const blocks, requests, tokens = 12, 24, 40
	for _, speeds := range [][]float64{{1, 2}, {3, 1, 2}, {1, 1.5, 4}, {1, 10, 1}} {
		try := func(split []int) (got float64) {
			synctest.Test(t, func(t *testing.T) {
				var devs []*simulated
				for i, s := range speeds {
					devs = append(devs, newSimulated(fmt.Sprintf("sim:%d", i), s))
				}
				got = simulate(t, devs, split, nil).answer(t, requests, tokens)
			})
			return got
		}
		var caps []graph.Capacity
		for i, s := range speeds {
			d := newSimulated(fmt.Sprintf("sim:%d", i), s)
			caps = append(caps, graph.Capacity{Name: d.name, Times: &graph.Times{Block: d.block(requests / len(speeds)).Seconds()}})
		}
		m := &graph.Model{Vocab: 2}
		for i := range blocks {
			m.Blocks = append(m.Blocks, sizedBlock(i))
		}
		plan, err := graph.MakePlan(m, caps, nil, graph.KVShape{})
		if err != nil {
			t.Fatal(err)
		}
		var chosen []int
		for _, p := range plan.Parts() {
			chosen = append(chosen, p.Hi-p.Lo)
		}
		best, bestSplit := 0.0, []int(nil)
		for _, split := range splits(blocks, len(speeds)) {
			if got := try(split); got > best {
				best, bestSplit = got, split
			}
		}
		if got := try(chosen); got < 0.95*best {
			t.Errorf("speeds %v: split %v gives %.0f tokens a second, %v gives %.0f", speeds, chosen, got, bestSplit, best)
		}
	}
}

// splits lists every way to give n blocks to so many devices.
func splits(n, devices int) [][]int {
	if devices == 1 {
		return [][]int{{n}}
	}
	var all [][]int
	for first := range n + 1 {
		for _, rest := range splits(n-first, devices-1) {
			all = append(all, append([]int{first}, rest...))
		}
	}
	return all
}

// TestFailingDevice: every request that meets it ends with a typed error, at
// whatever call it begins to fail; those before and after are whole.
func TestFailingDevice(t *testing.T) {
	broken := errors.New("simulated: the device is gone")
	for _, from := range []int{1, 2, 7, 50} {
		for _, forever := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				devs := equalDevices(3)
				devs[1].fail = func(calls int) error {
					if calls == from || forever && calls > from {
						return broken
					}
					return nil
				}
				s := simulate(t, devs, ones(3), func(l *limits) { l.maxSeqs = 4 })
				var streams []*Stream
				for i := range 12 {
					streams = append(streams, must(s.submit(context.Background(), Request{Tokens: prompt(i, 40), MaxTokens: 20})))
				}
				failed := 0
				for i, o := range outcomes(streams) {
					var se *StageError
					switch {
					case o.err == nil && len(o.ids) == 20:
					case errors.As(o.err, &se) && errors.Is(o.err, broken) && se.Device == "sim:1" && o.res.Finish == FinishError:
						failed++
					default:
						t.Errorf("request %d: %d tokens, %v", i, len(o.ids), o.err)
					}
				}
				if failed == 0 || !forever && failed == len(streams) {
					t.Errorf("failing from call %d (for ever %v): %d requests failed", from, forever, failed)
				}
				if st := s.pipe.stats(); st.PagesUsed != 0 {
					t.Errorf("%d pages are still held", st.PagesUsed)
				}
				if err := s.pipe.shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPrefillOverlapsDecode: a long prompt that is read beside answers costs no
// more than its rows do.
func TestPrefillOverlapsDecode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		devs := equalDevices(4)
		s := simulate(t, devs, ones(4), func(l *limits) { l.chunk = 64 })
		begin := time.Now()
		streams := []*Stream{must(s.submit(context.Background(), Request{Tokens: prompt(1, 4000), MaxTokens: 1}))}
		for i := range 8 {
			streams = append(streams, must(s.submit(context.Background(), Request{Tokens: prompt(i, 1), MaxTokens: 100})))
		}
		for i, o := range outcomes(streams) {
			if o.err != nil {
				t.Errorf("request %d: %v", i, o.err)
			}
		}
		took := time.Since(begin)
		// What the busiest device had to do is what it all may take, and the way through the others.
		for _, d := range devs {
			if share := float64(d.busy) / float64(took); share < 0.85 {
				t.Errorf("%s was busy for %.2f of the time", d.name, share)
			}
		}
		if err := s.pipe.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestSuffixOfACachedPrefix: of 64 requests with 1,000 tokens in common, one
// computes them; a request that comes later with 20 tokens of its own has its
// first token in less than a tenth of the first one's time.
func TestSuffixOfACachedPrefix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const common, own = 1000, 20
		s := simulate(t, equalDevices(2), ones(2), nil)
		ask := func(i int) *Stream {
			tokens := append(prompt(1, common), prompt(100+i, own)...)
			return must(s.submit(context.Background(), Request{Tokens: tokens, MaxTokens: 2}))
		}
		first := ask(0).Result()
		var rest []*Stream
		for i := range 63 {
			rest = append(rest, ask(1+i))
		}
		outcomes(rest)
		later := ask(64).Result()
		if later.FirstToken >= first.FirstToken/10 {
			t.Errorf("the first token took %v, then %v", first.FirstToken, later.FirstToken)
		}
		const pages = common / 32 * 32
		if st := s.pipe.stats(); st.Reused != 64*pages || st.Rows != 65*(common+own+1)-64*pages {
			t.Errorf("%d rows computed, %d taken over", st.Rows, st.Reused)
		}
		if err := s.pipe.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestDeadlines: of requests that wait, the one with the earliest deadline goes
// first; one that cannot make it ends with what it has.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulate(t, equalDevices(1), ones(1), func(l *limits) { l.maxSeqs = 1 })
		now := time.Now()
		ask := func(deadline time.Duration, n int) *Stream {
			r := Request{Tokens: prompt(1, 3), MaxTokens: n}
			if deadline > 0 {
				r.Deadline = now.Add(deadline)
			}
			return must(s.submit(context.Background(), r))
		}
		streams := []*Stream{ask(0, 20)}
		synctest.Wait() // it has the place
		streams = append(streams, ask(0, 20), ask(time.Second, 20), ask(300*time.Millisecond, 20), ask(20*time.Millisecond, 5))
		all := outcomes(streams)
		if all[1].res.FirstToken < all[2].res.FirstToken || all[2].res.FirstToken < all[3].res.FirstToken {
			t.Errorf("first tokens after %v, %v and %v", all[1].res.FirstToken, all[2].res.FirstToken, all[3].res.FirstToken)
		}
		if o := all[4]; o.res.Finish != FinishTimeout || !errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("the one that came too late: %q, %v", o.res.Finish, o.err)
		}
		if err := s.pipe.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
