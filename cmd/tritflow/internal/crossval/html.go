package crossval

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"regexp"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"title":    (*Case).title,
	"answered": (*Case).answered,
	"same": func(r *Report) string {
		equal, rows := r.rows()
		return fmt.Sprintf("%d of %d", equal, rows)
	},
	"g":        func(x float64) string { return fmt.Sprintf("%.4g", x) },
	"f8":       func(x float64) string { return fmt.Sprintf("%.8f", x) },
	"percent":  func(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) },
	"relative": func(x float64) string { return fmt.Sprintf("%+.4f %%", 100*x) },
	"span":     span,
	"speed":    speed,
}).Parse(pageText))

// WriteHTML writes one page with the figures and plots, without references to
// anything outside it.
func (r *Report) WriteHTML(w io.Writer) error {
	var plots []template.HTML
	for _, draw := range []func(io.Writer) error{r.plotLogits, r.plotKL, r.plotLayers} {
		var b bytes.Buffer
		if err := draw(&b); err != nil {
			return fmt.Errorf("crossval: drawing: %w", err)
		}
		if b.Len() > 0 {
			plots = append(plots, inline(b.Bytes()))
		}
	}
	return page.Execute(w, map[string]any{"R": r, "Plots": plots})
}

var prolog = regexp.MustCompile(`(?s)^.*?<svg`)

// inline is a picture without what only a file of its own begins with. It was
// drawn by this program from numbers.
func inline(svg []byte) template.HTML {
	return template.HTML(prolog.ReplaceAll(svg, []byte("<svg"))) //nolint:gosec // see above
}

// smallest is what plots with a logarithmic axis draw instead of 0.
const smallest = 1e-18

func logarithmic(x float64) float64 { return math.Min(math.Max(x, smallest), 1e18) }
