package crossval

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText prints the report for people; layers adds a line for every tensor.
func (r *Report) WriteText(w io.Writer, layers bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "model      %s\nours       %s\nreference  %s\n\n", r.Model, r.Ours, r.Reference)
	r.cases(&b)
	r.layers(&b, layers)
	r.summary(&b)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "FAIL %s\n", p)
	}
	if r.Pass {
		fmt.Fprintf(&b, "pass: everything is within the limits (%s)\n", r.Tolerance)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) cases(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if r.Logits != nil {
		fmt.Fprintln(t, "case\ttokens\tsame likeliest\tgreedy answer\tcorrelation\tMSE\tmean diff\tmax diff\tKL\t")
		for _, c := range r.Cases {
			if f := c.Logits; f != nil {
				fmt.Fprintf(t, "%s\t%d\t%d/%d\t%s\t%.8f\t%.3g\t%.3g\t%.3g\t%.3g\t\n", c.title(), len(c.Tokens), f.Equal, f.Rows, c.answered(),
					f.Correlation, f.MSE, f.Mean, f.Max, f.KL)
			}
		}
	}
	if r.Listed != nil {
		fmt.Fprintln(t, "case\ttokens\tsame likeliest\tgreedy answer\tlisted\tmean diff\tmax diff\tKL, at least\t")
		for _, c := range r.Cases {
			if f := c.Listed; f != nil {
				fmt.Fprintf(t, "%s\t%d\t%d/%d\t%s\t%d\t%.3g\t%.3g\t%.3g\t\n", c.title(), len(c.Tokens), f.Equal, f.Rows, c.answered(), f.Values, f.Mean, f.Max, f.KL)
			}
		}
	}
	_ = t.Flush() // to a strings.Builder, which takes everything
	b.WriteString("\n")
}

// answered is how much of the reference's answer is ours too, "" without one.
func (c *Case) answered() string {
	n := len(c.Tokens) - c.Given
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", c.Equal, n)
}

// title is the prompt's beginning, or the name of the file.
func (c *Case) title() string {
	const most = 32
	if c.Prompt == "" {
		return c.Name
	}
	s := []rune(strings.ReplaceAll(c.Prompt, "\n", " "))
	if len(s) > most {
		s = append(s[:most-1], '…')
	}
	return string(s)
}

// layers prints the first tensor that diverges and its neighbours, or all.
func (r *Report) layers(b *strings.Builder, all bool) {
	if len(r.Layers) == 0 {
		fmt.Fprintf(b, "layers     the reference tells nothing of them\n")
		return
	}
	worst := r.Layers[0]
	for _, l := range r.Layers {
		if l.Figures.RelativeMSE > worst.Figures.RelativeMSE {
			worst = l
		}
	}
	if r.First == nil {
		fmt.Fprintf(b, "layers     %d tensors agree; the largest relative MSE is %.3g, in %s of %s\n", len(r.Layers), worst.Figures.RelativeMSE, worst.Point, worst.Stage)
	} else {
		fmt.Fprintf(b, "layers     the first that diverges is %s of %s\n", r.First.Point, r.First.Stage)
	}
	if !all && r.First == nil {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  stage\ttensor\trelative MSE\tcorrelation\tmax diff\t")
	before := 0
	for i, l := range r.Layers {
		if r.First != nil && l == r.First {
			before = i - 2
		}
	}
	for i, l := range r.Layers {
		if !all && (i < before || i > before+5) {
			continue
		}
		mark := ""
		if !l.Pass {
			mark = "diverges"
		}
		fmt.Fprintf(t, "  %s\t%s\t%.3g\t%.8f\t%.3g\t%s\n", l.Stage, l.Point, l.Figures.RelativeMSE, l.Figures.Correlation, l.Figures.Max, mark)
	}
	_ = t.Flush()
}

func (r *Report) summary(b *strings.Builder) {
	equal, rows := r.rows()
	fmt.Fprintf(b, "tokens     the likeliest is the same at %d of %d positions", equal, rows)
	if r.Tokens.Tokens > 0 {
		fmt.Fprintf(b, "; greedy answers: %d of %d tokens", r.Tokens.Equal, r.Tokens.Tokens)
	}
	b.WriteString("\n")
	if d := r.first(); d != nil {
		least := ""
		if d.AtLeast {
			least = "at least "
		}
		fmt.Fprintf(b, "           first difference: %s, position %d: %d %q, the reference %d %q, whose logits are %s%.4g apart there (ours %.4g)\n",
			r.Cases[d.Case].title(), d.Position, d.Token, d.TokenText, d.Reference, d.ReferenceText, least, d.Gap, d.OurGap)
	}
	if f := r.Logits; f != nil {
		fmt.Fprintf(b, "logits     correlation %.8f, MSE %.4g, mean difference %.4g, largest %.4g, KL %.4g nats (most %.4g)\n", f.Correlation, f.MSE, f.Mean, f.Max, f.KL, f.KLMax)
	}
	if f := r.Listed; f != nil {
		fmt.Fprintf(b, "listed     %d log-probabilities, %s a position, with %.4g %% of the probability: mean difference %.4g, largest %.4g\n", f.Values, span(f.Least, f.Most), 100*f.Mass, f.Mean, f.Max)
		if f.Max > 0 {
			fmt.Fprintf(b, "           %s\n", r.worstListed())
		}
		fmt.Fprintf(b, "           KL of the listed tokens and of the remainder as one more: %.4g nats (most %.4g); the whole divergence is no less\n", f.KL, f.KLMax)
	}
	if x := r.Text; x != nil {
		fmt.Fprintf(b, "perplexity %.5g, the reference %.5g (%+.4f %%) over %d tokens\n", x.Perplexity, x.Reference, 100*x.Relative, x.Tokens)
	}
	fmt.Fprintf(b, "speed      prefill with all logits %s tok/s, the reference %s; decode %s, the reference %s\n", speed(r.Speed.Prefill), speed(r.Speed.ReferencePrefill),
		speed(r.Speed.Decode), speed(r.Speed.ReferenceDecode))
}

// span is "20", or "3 to 20".
func span(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

func speed(x float64) string {
	if x == 0 {
		return "?"
	}
	return fmt.Sprintf("%.0f", x)
}
