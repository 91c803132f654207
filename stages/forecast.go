package stages

import (
	"slices"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/stages/profile"
)

// Forecast is what a layout is expected to do, from measured times. Speeds are
// tokens a second; 0 = it does not fit or nothing was measured.
type Forecast struct {
	Requests int     `json:"requests"` // at once
	Context  float64 `json:"context"`  // earlier positions that a row sees, on average
	Chunk    int     `json:"chunk"`    // rows of a Step that reads prompts

	Parts []PartForecast `json:"parts"` // of the first replica

	Single      float64 `json:"single"`      // one request answering
	Prefill     float64 `json:"prefill"`     // one prompt of 512 tokens being read
	Unpipelined float64 `json:"unpipelined"` // all requests answering, one Step in flight
	Pipelined   float64 `json:"pipelined"`   // as many Steps as devices
	AsPlanned   float64 `json:"as_planned"`  // with this layout's waves and replicas
	BestDevice  float64 `json:"best_device"` // the whole model on the device that suits it most
	BestName    string  `json:"best_name"`
	AsReplicas  float64 `json:"as_replicas"` // the whole model on every device
}

// longPrompt is the prompt that Forecast.Prefill is about.
const longPrompt = 512

// PartForecast is a device's part of it.
type PartForecast struct {
	Device string  `json:"device"`
	Step   float64 `json:"step_seconds"` // a Step of a wave: requests divided among the waves
	Busy   float64 `json:"busy"`         // its part of the slowest device's time
}

// Forecast predicts speeds for a number of requests at once, each with about
// so many earlier positions. ok is false without measured times.
func (l *Layout) Forecast(requests int, context float64) (f Forecast, ok bool) {
	if l.profiles == nil || requests < 1 {
		return f, false
	}
	f = Forecast{Requests: requests, Context: context, Chunk: l.limits.chunk}
	r := l.Replicas[0]
	alone, together := l.profiles.Alone[r.First:], l.profiles.Together[r.First:]
	stages := max(1, devicesOf(r.Plan))

	answering := func(profiles []profile.Profile, rows int) []float64 {
		return l.stepTimes(r, profiles, rows, rows, context)
	}
	f.Single = 1 / sum(answering(alone, 1))
	f.Prefill = l.prefill(r, alone, together)
	f.Unpipelined = float64(requests) / sum(answering(alone, requests))
	f.Pipelined = rate(answering(together, ceilDiv(requests, stages)), requests, stages)

	waves := l.limits.waves
	own := ceilDiv(requests, len(l.Replicas))
	planned := answering(together, ceilDiv(own, waves))
	if len(l.devices) == 1 {
		planned = answering(alone, ceilDiv(own, waves))
	}
	f.AsPlanned = float64(len(l.Replicas)) * rate(planned, own, waves)
	for i, t := range planned {
		f.Parts = append(f.Parts, PartForecast{Device: r.devices[i].Info().Name, Step: t, Busy: t / slices.Max(planned)})
	}
	l.wholes(&f, requests, context)
	return f, true
}

// prefill is the speed at which one prompt is read: in one piece, or in as many as there are
// waves, that follow each other from device to device.
func (l *Layout) prefill(r Replica, alone, together []profile.Profile) float64 {
	prompt, waves := min(longPrompt, l.Ctx), l.limits.waves
	piece := min(l.limits.chunk, max(ceilDiv(prompt, waves), leastRows), prompt)
	profiles := alone
	if waves > 1 {
		profiles = together
	}
	times := l.stepTimes(r, profiles, piece, 0, float64(prompt)/2)
	period := max(slices.Max(times), sum(times)/float64(waves))
	return float64(prompt) / (sum(times) + float64(ceilDiv(prompt, piece)-1)*period)
}

// rate is the speed of n requests over devices that take so long for a Step of
// one of the waves. A ring gives at most waves Steps in the time of one round,
// and one Step in the time of its slowest device.
func rate(times []float64, n, waves int) float64 {
	waves = min(waves, n)
	period := max(slices.Max(times), sum(times)/float64(waves))
	return float64(n) / float64(waves) / period
}

// wholes adds what single devices would do with the whole model.
func (l *Layout) wholes(f *Forecast, requests int, context float64) {
	var replicas float64
	whole := graph.Part{Embed: true, Hi: len(l.model.Blocks), Head: true}
	for i, d := range l.devices {
		if !l.holdsAll(d) {
			replicas = -1
			continue
		}
		tokS := func(p *profile.Profile, rows int) float64 {
			return float64(rows) / p.Step(l.workOf(whole, rows, rows, context))
		}
		if own := tokS(&l.profiles.Alone[i], requests); own > f.BestDevice {
			f.BestDevice, f.BestName = own, d.Info().Name
		}
		if replicas >= 0 {
			replicas += tokS(&l.profiles.Together[i], ceilDiv(requests, len(l.devices)))
		}
	}
	f.AsReplicas = max(replicas, 0)
}

// holdsAll says whether a device has memory for the whole model and its cache.
func (l *Layout) holdsAll(d device.Device) bool {
	var limit uint64
	for _, m := range l.Memory.Devices {
		if m.Device == d.Info().Name {
			limit = m.Limit
		}
	}
	var need uint64
	for _, p := range l.Replicas[0].Plan.Parts() {
		need += p.WeightBytes + p.KVBytes
	}
	return limit == 0 || need <= limit
}

// stepTimes is what each device takes for a Step.
func (l *Layout) stepTimes(r Replica, profiles []profile.Profile, rows, answers int, context float64) []float64 {
	parts := r.Plan.Parts()
	times := make([]float64, len(parts))
	for i, p := range parts {
		times[i] = profiles[i].Step(l.workOf(p, rows, answers, context))
	}
	return times
}

func (l *Layout) workOf(p graph.Part, rows, answers int, context float64) profile.Work {
	var own, all uint64
	for i := range l.model.Blocks {
		bytes := l.model.Blocks[i].WeightBytes()
		all += bytes
		if i >= p.Lo && i < p.Hi {
			own += bytes
		}
	}
	blocks := 0.0
	if all > 0 {
		blocks = float64(own) / float64(all) * float64(len(l.model.Blocks))
	}
	return profile.Work{
		Embed: p.Embed, Head: p.Head, Blocks: blocks,
		Rows: rows, Answers: answers, Context: context, Screened: l.screening,
	}
}

func sum(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}
