package sample

import (
	"cmp"
	"slices"

	"tritflow/device"
	"tritflow/quantkern"
)

// total is the softmax denominator Σ exp(l − max) of the live
// candidates, in float64.
func (c *candidates) total() float64 {
	top := c.at(0).Logit
	var sum float64
	for _, x := range c.live() {
		sum += float64(weight(x.Logit, top, 1))
	}
	return sum
}

// weight is the softmax numerator. The difference is divided, not the logits:
// this cannot overflow however small the temperature is.
func weight(logit, top, temp float32) float32 {
	return quantkern.Exp((logit - top) / temp)
}

// typical keeps the tokens whose surprise is nearest to the expected one until
// their probabilities exceed p (locally typical sampling, Meister et al. 2022;
// min_keep below 1 is taken as 1).
func (c *candidates) typical(p float32) {
	if p <= 0 || p >= 1 {
		return
	}
	type scored struct {
		device.Candidate
		prob, distance float32
	}
	top, total := c.at(0).Logit, c.total()
	logTotal := quantkern.Log(float32(total))
	all := make([]scored, 0, c.n)
	var entropy float64
	for _, x := range c.live() {
		prob := float32(float64(weight(x.Logit, top, 1)) / total)
		surprise := logTotal - (x.Logit - top)
		if prob > 0 {
			entropy += float64(prob) * float64(surprise)
		}
		all = append(all, scored{x, prob, surprise})
	}
	for i := range all {
		if all[i].distance -= float32(entropy); all[i].distance < 0 {
			all[i].distance = -all[i].distance
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), order(a.Candidate, b.Candidate))
	})
	var kept []device.Candidate
	var sum float64
	for _, x := range all {
		kept = append(kept, x.Candidate)
		if sum += float64(x.prob); sum > float64(p) {
			break
		}
	}
	c.reset(kept)
}

// topP keeps the shortest prefix whose probabilities reach p (nucleus
// sampling, Holtzman et al. 2019).
func (c *candidates) topP(p float32) {
	if p <= 0 || p >= 1 {
		return
	}
	top, total := c.at(0).Logit, c.total()
	var sum float64
	for i := range c.n {
		sum += float64(weight(c.at(i).Logit, top, 1)) / total
		if sum >= float64(p) {
			c.cut(i + 1)
			return
		}
	}
}

// minP keeps the tokens at least p times as probable as the best one.
func (c *candidates) minP(p float32) {
	if p <= 0 {
		return
	}
	least := c.at(0).Logit + quantkern.Log(p)
	for i := 1; i < c.n; i++ {
		if c.at(i).Logit < least {
			c.cut(i)
			return
		}
	}
}

// draw picks one of the live candidates with the probabilities of the softmax
// at temp, as libstdc++'s discrete_distribution does: float32 probabilities are
// normalized by their float64 sum, one canonical double is drawn, and the first
// candidate whose cumulative probability reaches it wins. A single candidate
// draws no number.
func (c *candidates) draw(temp float32, rng *mt19937) int32 {
	if c.n == 1 {
		return c.at(0).ID
	}
	top := c.at(0).Logit
	var total, norm float64
	c.weights = c.weights[:0]
	for _, x := range c.live() {
		w := weight(x.Logit, top, temp)
		c.weights = append(c.weights, w)
		total += float64(w)
	}
	share := func(w float32) float64 { return float64(float32(float64(w) / total)) }
	for _, w := range c.weights {
		norm += share(w)
	}
	u := rng.canonical()
	var sum float64
	for i := range c.n - 1 {
		if sum += share(weight(c.at(i).Logit, top, temp)) / norm; sum >= u {
			return c.at(i).ID
		}
	}
	return c.at(c.n - 1).ID
}
