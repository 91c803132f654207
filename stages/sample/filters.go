package sample

import (
	"slices"

	"tritflow/device"
	"tritflow/quantkern"
)

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
	_, total := c.softmax(1)
	top, logTotal := c.at(0).Logit, quantkern.Log(float32(total))
	all := make([]scored, 0, c.n)
	var entropy float64
	add := func(x device.Candidate) {
		prob := float32(float64(quantkern.Exp(x.Logit-top)) / total)
		surprise := logTotal - (x.Logit - top)
		if prob > 0 {
			entropy += float64(prob) * float64(surprise)
		}
		all = append(all, scored{x, prob, surprise})
	}
	if c.whole() {
		for id, l := range c.row {
			add(device.Candidate{ID: int32(id), Logit: l})
		}
	} else {
		for _, x := range c.all[:c.n] {
			add(x)
		}
	}
	for i := range all {
		if all[i].distance -= float32(entropy); all[i].distance < 0 {
			all[i].distance = -all[i].distance
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		switch {
		case a.distance < b.distance:
			return -1
		case a.distance > b.distance:
			return 1
		}
		return order(a.Candidate, b.Candidate)
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
	_, total := c.softmax(1)
	top := c.at(0).Logit
	var sum float64
	for i := range c.n {
		sum += float64(quantkern.Exp(c.at(i).Logit-top)) / total
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
	probs, _ := c.softmax(temp)
	var norm float64
	for _, p := range probs {
		norm += float64(p)
	}
	u := rng.canonical()
	byID := c.whole()
	var sum float64
	for i := range c.n - 1 {
		x := c.at(i)
		place := i
		if byID {
			place = int(x.ID)
		}
		if sum += float64(probs[place]) / norm; sum >= u {
			return x.ID
		}
	}
	return c.at(c.n - 1).ID
}
