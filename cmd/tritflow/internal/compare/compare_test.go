package compare_test

import (
	"encoding/json"
	"math"
	"testing"

	"tritflow/cmd/tritflow/internal/compare"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*max(1, math.Abs(b)) }

func TestValues(t *testing.T) {
	var v compare.Values
	v.Add(4, []float32{1, 2, 3}, []float32{1, 2, 5})
	v.Add(5, []float32{4}, []float32{3})
	f := v.Figures()
	// By hand: got 1 2 3 4, reference 1 2 5 3; covariance 9/8, variances 5/4 and 35/16.
	if f.Values != 4 || !near(f.MSE, 1.25) || !near(f.Mean, 0.75) || f.Max != 2 || !near(f.Correlation, 1.125/math.Sqrt(1.25*2.1875)) ||
		!near(f.RelativeMSE, 1.25/2.1875) || f.Worst.Row != 4 || f.Worst.Column != 2 || f.Worst.Reference != 5 {
		t.Errorf("%+v", f)
	}
	nan := float32(math.NaN())
	v.Add(6, []float32{0, nan, 0}, []float32{0, 0, float32(math.Inf(1))})
	f = v.Figures()
	if f.NonFinite != 2 || f.Worst.Row != 6 || f.Worst.Column != 1 || f.Values != 5 {
		t.Errorf("%+v", f)
	}
	for _, c := range []struct {
		got, reference float32
		correlation    float64
	}{{2, 2, 1}, {2, 3, 0}} {
		var v compare.Values
		v.Add(0, []float32{c.got, c.got}, []float32{c.reference, c.reference})
		if f := v.Figures(); f.Correlation != c.correlation {
			t.Errorf("constant %v and %v: %+v", c.got, c.reference, f)
		}
	}
	if f := (&compare.Values{}).Figures(); f != (compare.Figures{}) {
		t.Errorf("of nothing: %+v", f)
	}
}

func TestLogits(t *testing.T) {
	var l compare.Logits
	half, third := float32(math.Log(2)), float32(math.Log(3))
	// Reference 1/6 2/6 3/6, then ours 1/3 each; then the same twice.
	kl, same := l.Add(2, 7, []float32{5, 5, 5}, []float32{0, half, third})
	want := math.Log(3) + (math.Log(1./6)/6 + math.Log(1./3)/3 + math.Log(1./2)/2)
	if math.Abs(kl-want) > 1e-7 || same {
		t.Errorf("KL %v, want %v; same %v", kl, want, same)
	}
	if kl, same := l.Add(2, 8, []float32{1, 2, 0}, []float32{11, 12, 10}); kl > 1e-12 || !same {
		t.Errorf("shifted logits: KL %v, same %v", kl, same)
	}
	f := l.Figures()
	d := f.First
	if f.Rows != 2 || f.Equal != 1 || f.Agreement != 0.5 || math.Abs(f.KL-want/2) > 1e-7 || d == nil {
		t.Fatalf("%+v", f)
	}
	if d.Case != 2 || d.Position != 7 || d.Token != 0 || d.Reference != 2 || !near(d.Gap, float64(third)) || d.OurGap != 0 {
		t.Errorf("%+v", d)
	}
	// What is not finite must not stop a report from being written.
	l.Add(0, 0, []float32{float32(math.NaN()), 1, float32(math.Inf(1))}, []float32{3, 2, 1})
	if _, err := json.Marshal(l.Figures()); err != nil {
		t.Error(err)
	}
}

func TestLogProb(t *testing.T) {
	if p := compare.LogProb([]float32{1000, 1000, 1000, 1000}, 2); !near(p, -math.Log(4)) {
		t.Errorf("a quarter is %v", p)
	}
	if s := compare.LogSum(nil); !math.IsInf(s, -1) {
		t.Errorf("of nothing %v", s)
	}
	nan := float32(math.NaN())
	if b := compare.Best([]float32{nan, 1, 3, 3}); b != 2 {
		t.Errorf("best is %d", b)
	}
}

// TestListed: by hand, with a distribution of halves.
func TestListed(t *testing.T) {
	ln := math.Log
	f32 := func(p ...float64) (row []float32) {
		for _, x := range p {
			row = append(row, float32(ln(x)+7)) // logits are not normalized
		}
		return row
	}
	const impossible = -9000
	var l compare.Listed
	// Ours 1/2 1/4 1/8 1/8; the reference lists 1/4 and 1/2 and leaves 1/4.
	r := l.Add(1, 4, f32(.5, .25, .125, .125), []int32{0, 1}, []float64{ln(.25), ln(.5)}, impossible)
	want := .25*ln(.25/.5) + .5*ln(.5/.25) // and a quarter remains to both
	if r.Same || math.Abs(r.KL-want) > 1e-6 || math.Abs(r.Gap-ln(2)) > 1e-9 {
		t.Errorf("%+v, want KL %v", r, want)
	}
	full := .25*ln(.25/.5) + .5*ln(.5/.25) + .2*ln(.2/.125) + .05*ln(.05/.125)
	if r.KL > full {
		t.Errorf("%v is more than the whole divergence, %v", r.KL, full)
	}
	// The same distribution; an impossible token is no difference.
	r = l.Add(1, 5, f32(.5, .25, .125, .125), []int32{0, 3, 2}, []float64{ln(.5), ln(.125), -9999}, impossible)
	if !r.Same || r.KL > 1e-6 {
		t.Errorf("the same: %+v", r)
	}
	// Ours is not listed: the gap is more than that to the last of the list.
	r = l.Add(2, 6, f32(.1, .2, .1, .6), []int32{0, 1}, []float64{ln(.6), ln(.3)}, impossible)
	if r.Same || !math.IsInf(r.Gap, 1) {
		t.Errorf("%+v", r)
	}
	f := l.Figures()
	d := f.First
	if f.Rows != 3 || f.Equal != 1 || f.Values != 6 || f.Least != 2 || f.Most != 2 || f.Worst.Case != 2 || f.Worst.Position != 6 || f.Worst.Token != 0 ||
		math.Abs(f.Max-ln(6)) > 1e-6 || math.Abs(f.Mean-(2*ln(2)+ln(6)+ln(1.5))/6) > 1e-6 || math.Abs(f.Mass-(.75+.625+.9)/3) > 1e-6 {
		t.Errorf("%+v", f)
	}
	if d == nil || d.Case != 1 || d.Position != 4 || d.Token != 0 || d.Reference != 1 || d.AtLeast || math.Abs(d.Gap-ln(2)) > 1e-6 || math.Abs(d.OurGap-ln(2)) > 1e-6 {
		t.Errorf("%+v", d)
	}
	var far compare.Listed
	far.Add(0, 0, f32(.1, .2, .1, .6), []int32{0, 1}, []float64{ln(.6), ln(.3)}, impossible)
	if d := far.Figures().First; d == nil || !d.AtLeast || math.Abs(d.Gap-ln(2)) > 1e-6 {
		t.Errorf("%+v", d)
	}
	// What is not finite is counted, and the report can be written.
	nan := float32(math.NaN())
	far.Add(0, 1, []float32{nan, 1, 2}, []int32{0, 1}, []float64{-1, -2}, impossible)
	if f := far.Figures(); f.NonFinite != 2 {
		t.Errorf("%+v", f)
	} else if _, err := json.Marshal(f); err != nil {
		t.Error(err)
	}
}
