package stages

import (
	"fmt"
	"math"
	"testing"

	"tritflow/device"
	"tritflow/stages/profile"
)

// TestForecast: what layouts do follows from what their devices take for steps.
func TestForecast(t *testing.T) {
	m := openBuiltin(t, Options{Ctx: 512}).Model()
	blocks := float64(len(m.Blocks))
	// A block takes a millisecond and 10 us a row, a head as much for each row that it answers.
	curve := profile.Curve{Rows: []int{1, 1001}, Seconds: []float64{1.01e-3, 11.01e-3}}
	p := profile.Profile{Block: curve, Head: curve, Screened: curve}
	block := func(rows float64) float64 { return 1e-3 + 1e-5*rows }
	for _, c := range []struct {
		devices, waves, chunk int
		prefill, single       float64
	}{
		{1, 1, 512, 512 / (blocks * block(512)), 1 / ((blocks + 1) * block(1))},
		{1, 1, 2048, 512 / (blocks * block(512)), 1 / ((blocks + 1) * block(1))},
		{1, 1, 128, 512 / (4 * blocks * block(128)), 1 / ((blocks + 1) * block(1))},
		// Two pieces, one behind the other; then four.
		{2, 2, 512, 512 / (1.5 * blocks * block(256)), 1 / ((blocks + 1) * block(1))},
		{2, 2, 128, 512 / (2.5 * blocks * block(128)), 1 / ((blocks + 1) * block(1))},
		{2, 1, 512, 512 / (blocks * block(512)), 1 / ((blocks + 1) * block(1))},
	} {
		var devs []device.Device
		set := &profile.Set{}
		for i := range c.devices {
			devs = append(devs, newSimulated(fmt.Sprintf("sim:%d", i), 1))
			set.Alone, set.Together = append(set.Alone, p), append(set.Together, p)
		}
		o, err := Options{Waves: c.waves, Chunk: c.chunk, Ctx: 512}.settle(m)
		if err != nil {
			t.Fatal(err)
		}
		if c.devices == 2 {
			o.Split = []int{len(m.Blocks) / 2, len(m.Blocks) / 2}
		}
		l, err := o.layoutOf(m, devs, set)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := l.Forecast(4, 0)
		if near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6*b }; !ok || !near(f.Prefill, c.prefill) || !near(f.Single, c.single) {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

// TestUsual: a Step of a job's middle carries what the devices wish, and as many answers as the job has.
func TestUsual(t *testing.T) {
	devs := []device.Device{newSimulated("sim:0", 1), newSimulated("sim:1", 1)}
	for _, c := range []struct {
		promptRows              float64
		chunk, seqs             int
		wantRows, wantAnswering int
	}{
		{0, 0, 8, 40, 8},    // four rows of prompts for each answer
		{4, 0, 8, 40, 8},    // the same
		{1, 0, 8, 16, 8},    // mostly answers
		{0.01, 0, 8, 8, 8},  // answers alone
		{99, 0, 8, 200, 2},  // more would not fit in a Step
		{1e6, 0, 8, 256, 1}, // prompts alone
		{99, 2048, 8, 800, 8},
		{0, 0, 64, 255, 51},
	} {
		o := Options{PromptRows: c.promptRows, Chunk: c.chunk}
		if rows, answers := o.usual(devs, c.seqs); rows != c.wantRows || answers != c.wantAnswering {
			t.Errorf("%+v: %d rows, %d answered", c, rows, answers)
		}
	}
}
