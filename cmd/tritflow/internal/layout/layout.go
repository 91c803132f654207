package layout

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"tritflow/cmd/tritflow/internal/layout/i2slayout"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/gguf/vocab"
	"tritflow/graph"
	"tritflow/stages"
)

// Layouts are the candidates, likeliest first: all published files have A.
var Layouts = []string{"A", "B", "C"}

// Score is what speaks for one layout.
type Score struct {
	Layout    string  `json:"layout"`
	Problem   string  `json:"problem,omitempty"`    // why the file cannot have it
	Structure float64 `json:"structure"`            // agreement of the weights with each other, in nats; differences count
	Loss      float64 `json:"loss,omitempty"`       // of the text, nats a token; 0: not measured
	PassError string  `json:"pass_error,omitempty"` // why there was no forward pass

	losses []float64 // of every token
}

// Verdict is what was found.
type Verdict struct {
	Layout string  `json:"layout"`
	Sure   float64 `json:"sure"` // probability that it is this one, by the evidence; 1/3 is none
	Told   bool    `json:"told"` // the file itself says it, or has no I2_S
	Why    string  `json:"why"`
	Chance float64 `json:"chance,omitempty"` // loss of one who knows nothing, nats a token
	Scores []Score `json:"scores,omitempty"`

	weights i2slayout.Verdict
}

// String is one line for people.
func (v *Verdict) String() string {
	if v.Told {
		return fmt.Sprintf("I2_S layout %s: %s", v.Layout, v.Why)
	}
	return fmt.Sprintf("I2_S layout %s, %s sure: %s", v.Layout, percent(v.Sure), v.Why)
}

func percent(p float64) string {
	if p > 0.999 {
		return "over 99.9 %"
	}
	return fmt.Sprintf("%.1f %%", 100*p)
}

// Options of Detect.
type Options struct {
	Pre  string // pre-tokenizer instead of the file's
	Fast bool   // without the forward pass
}

// Needed tells whether a file has I2_S tensors and does not say how they are laid out.
func Needed(f *gguf.File) bool {
	if _, err := f.Metadata().Str(gguf.I2SLayoutKey); err == nil {
		return false
	}
	return slices.ContainsFunc(f.Tensors(), func(t *gguf.Tensor) bool { return t.Type.ID() == gguf.TypeI2_S.ID() && isI2S(t.Type) })
}

func isI2S(t gguf.Type) bool {
	return t == gguf.TypeI2_S || t == gguf.TypeI2_S_B || t == gguf.TypeI2_S_C
}

// Detect looks at the file ("": the one inside the program) under every layout. Errors are those of opening it
// as it stands, and of ctx.
func Detect(ctx context.Context, path string, opt Options) (*Verdict, error) {
	f, err := builtin.OpenFile(path, gguf.Options{})
	if err != nil {
		return nil, err
	}
	needed := Needed(f)
	told := "A"
	if said, err := f.Metadata().Str(gguf.I2SLayoutKey); err == nil {
		told = said
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if !needed {
		return &Verdict{Layout: told, Sure: 1, Told: true, Why: "the file says so, or has no I2_S tensors"}, nil
	}
	v := &Verdict{weights: structure(path)}
	for i, l := range Layouts {
		s := Score{Layout: l, Structure: v.weights.Score[i2slayout.Layouts[i]]}
		positions := mostPositions
		if err := bound(path, l, func(m *graph.Model) {
			if m.Context > 0 {
				positions = min(positions, m.Context)
			}
		}); err != nil {
			s.Problem = err.Error()
		} else if !opt.Fast {
			if err := v.pass(ctx, path, opt, positions, &s); err != nil {
				s.PassError = err.Error()
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		v.Scores = append(v.Scores, s)
	}
	v.decide()
	return v, nil
}

// structure asks the weights, whose bytes are the same under any layout that
// the file can have.
func structure(path string) (v i2slayout.Verdict) {
	for _, l := range Layouts {
		if err := bound(path, l, func(m *graph.Model) { v = i2slayout.Detect(i2slayout.FromModel(m, mostBlocks)) }); err == nil {
			break
		}
	}
	return v
}

// bound gives the network of a file that is read with a layout.
func bound(path, layout string, use func(*graph.Model)) error {
	f, err := builtin.OpenFile(path, gguf.Options{I2SLayout: layout})
	if err != nil {
		return err
	}
	err = gguf.Guard(func() error {
		m, err := graph.Bind(f)
		if err == nil {
			use(m)
		}
		return err
	})
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// mostBlocks is how many blocks structure looks at, spread over the network: one
// is enough in a trained model.
const mostBlocks = 8

// mostPositions and mostTokens bound the forward pass.
const mostPositions, mostTokens = 512, 128

// pass measures how well the network predicts the text.
func (v *Verdict) pass(ctx context.Context, path string, opt Options, positions int, s *Score) (err error) {
	e, err := stages.Open(ctx, path, stages.Options{
		Devices: "cpu", Ctx: positions, MaxSeqs: 1, Screen: "off", Pre: opt.Pre, Gguf: gguf.Options{I2SLayout: s.Layout},
	})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := e.Close(); err == nil {
			err = cerr
		}
	}()
	ids := e.Vocab().Encode(text, vocab.EncodeOptions{AddSpecial: true})
	ids = ids[:min(len(ids), mostTokens, e.Ctx())]
	v.Chance = math.Log(float64(e.Vocab().Size()))
	at := 0
	for logits, err := range e.Logits(ctx, ids, false) {
		if err != nil {
			return err
		}
		if at++; at < len(ids) {
			s.losses = append(s.losses, loss(logits, ids[at]))
		}
	}
	s.Loss = mean(s.losses)
	return nil
}

// loss is the negative logarithm of the probability of an id.
func loss(logits []float32, id int32) float64 {
	top := float64(slices.Max(logits))
	sum := 0.0
	for _, x := range logits {
		sum += math.Exp(float64(x) - top)
	}
	return top + math.Log(sum) - float64(logits[id])
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(max(len(x), 1))
}

// decide weighs the scores.
func (v *Verdict) decide() {
	able := slices.DeleteFunc(slices.Clone(v.Scores), func(s Score) bool { return s.Problem != "" })
	v.Layout, v.Sure = "A", 1/float64(len(Layouts))
	switch len(able) {
	case 0:
		v.Why = "the file can have none of the layouts: " + v.Scores[0].Problem
		return
	case 1:
		v.Layout, v.Sure, v.Why = able[0].Layout, 1, "no other fits the shapes of the tensors"
		return
	}
	var why []string
	stable := func(less func(a, b Score) int) (best, next Score) {
		slices.SortStableFunc(able, less)
		return able[0], able[1]
	}
	found := ""
	if best, next := stable(func(a, b Score) int { return order(a.loss(), b.loss()) }); len(best.losses) > 1 && len(next.losses) == len(best.losses) {
		z := advantage(best.losses, next.losses)
		p := normal(z)
		switch {
		case best.Loss > 0.9*v.Chance:
			why = append(why, fmt.Sprintf("no layout predicts text (%.2f nats a token at best, chance is %.2f)", best.Loss, v.Chance))
		default:
			found, v.Sure = best.Layout, p
			why = append(why, fmt.Sprintf("English text costs %.2f nats a token, as %s %.2f", best.Loss, next.Layout, next.Loss))
		}
	}
	w := &v.weights
	likely := i2slayout.Letter(w.Layout)
	switch {
	case !w.Known || !slices.ContainsFunc(able, func(s Score) bool { return s.Layout == likely }):
		why = append(why, "the weights agree with each other in none of them")
	case found == "":
		found, v.Sure = likely, max(v.Sure, w.Sure())
		why = append(why, fmt.Sprintf("columns agree with norms and with the rows that feed them (by %.0f nats)", w.Odds))
	case found == likely:
		v.Sure = 1 - (1-v.Sure)/2
		why = append(why, fmt.Sprintf("and columns agree with norms and with the rows that feed them (by %.0f nats)", w.Odds))
	default:
		v.Sure *= 0.75
		why = append(why, fmt.Sprintf("but columns agree with norms and with the rows that feed them as %s (by %.0f nats)", likely, w.Odds))
	}
	if found == "" {
		why = append(why, "A is assumed, which all published files have")
		found = "A"
	}
	v.Layout, v.Why = found, strings.Join(why, ", ")
}

func (s Score) loss() float64 {
	if len(s.losses) == 0 {
		return math.Inf(1)
	}
	return s.Loss
}

func order(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// advantage is the mean of b − a in its standard errors.
func advantage(a, b []float64) float64 {
	n := float64(len(a))
	sum, squares := 0.0, 0.0
	for i := range a {
		d := b[i] - a[i]
		sum, squares = sum+d, squares+d*d
	}
	m := sum / n
	return m / math.Sqrt(max((squares/n-m*m)/(n-1), 1e-12))
}

// normal is the share of a normal distribution below z deviations.
func normal(z float64) float64 { return 0.5 * math.Erfc(-z/math.Sqrt2) }

// text is plain English of the kind that every model has seen.
const text = `Once upon a time there was a little girl named Lily. She liked to play outside in the park with her friends. ` +
	`One day, her mother gave her a red ball. "Thank you, mother!" she said, and ran to the garden. The sun was warm and the birds were singing in the trees. ` +
	`The capital of France is Paris, and the capital of Japan is Tokyo. Water is made of hydrogen and oxygen. ` +
	`It was the best day of the year, and everyone was happy.`
