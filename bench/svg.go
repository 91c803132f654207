package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Sizes of the picture in pixels: the plot between its margins.
const (
	svgWidth, svgHeight      = 800, 480
	svgLeft, svgRight        = 70, 230
	svgTop, svgBottom        = 40, 60
	svgPlotRight, svgPlotEnd = svgWidth - svgRight, svgHeight - svgBottom
)

var pointColours = map[string]string{"decode": "#0072b2", "batch": "#d55e00", "prefill": "#009e73"}

// axis maps values to pixels logarithmically, over whole decades.
type axis struct {
	lo, hi   float64 // exponents of ten
	from, to float64 // pixels
}

func newAxis(lo, hi, from, to float64) axis {
	a := axis{math.Floor(math.Log10(lo)), math.Ceil(math.Log10(hi)), from, to}
	if a.hi <= a.lo {
		a.hi = a.lo + 1
	}
	return a
}

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.lo)/(a.hi-a.lo)*(a.to-a.from)
}

// WriteSVG draws the roofline: int8 operations a second over operations a
// byte, the roofs that were measured, and every result. Results of models
// without ternary weights have no operations and are left out.
func (r *Report) WriteSVG(w io.Writer) error {
	least, most := 1.0, 1000.0
	bottom, top := math.Inf(1), 0.0
	var points []Result
	for _, x := range r.Results {
		if x.ops > 0 && x.bytes > 0 && x.TokS.Median > 0 {
			points = append(points, x)
			least, most = min(least, x.ops/x.bytes), max(most, x.ops/x.bytes)
			bottom = min(bottom, x.ops*x.TokS.Median/1e12)
		}
	}
	lines := r.Machine.lines()
	for _, l := range lines {
		top = max(top, l.tops)
		bottom = min(bottom, least*l.gbps/1e3)
	}
	if top <= 0 {
		return fmt.Errorf("bench: nothing to draw: the machine was not probed")
	}
	x := newAxis(least, most, svgLeft, svgPlotRight)
	y := newAxis(bottom, top, svgPlotEnd, svgTop)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, svgHeight)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	text(&b, svgLeft, 24, "start", r.Model+" on "+r.Machine.CPU)
	grid(&b, x, y)
	drawRoofs(&b, x, y, lines)
	for _, p := range points {
		title := fmt.Sprintf("%s, n %d, context %d, %d threads: %.1f tok/s", p.Name, p.N, p.Context, p.Threads, p.TokS.Median)
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s" fill-opacity="0.8"><title>%s</title></circle>`+"\n",
			x.at(p.ops/p.bytes), y.at(p.ops*p.TokS.Median/1e12), pointColours[p.Name], escape(title))
	}
	for i, name := range []string{"decode", "batch", "prefill"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="4" fill="%s"/>`+"\n", svgPlotRight+20, svgPlotEnd-50+20*i, pointColours[name])
		text(&b, svgPlotRight+30, float64(svgPlotEnd-46+20*i), "start", name)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// roofLine is a roof that is drawn: along the bandwidth up to the peak.
type roofLine struct {
	name       string
	gbps, tops float64
}

// lines are the roofs that were measured: one for each number of threads, of many the
// first and the last, and one for each other device.
func (m *Machine) lines() (lines []roofLine) {
	n := len(m.Int8TOPS)
	for i, tops := range m.Int8TOPS {
		if n <= 4 || i == 0 || i == n-1 {
			lines = append(lines, roofLine{fmt.Sprintf("%d threads", i+1), m.ReadGBps[i], tops})
		}
	}
	for _, d := range m.Devices {
		if d.ReadGBps > 0 && d.Int8TOPS > 0 {
			lines = append(lines, roofLine{d.Name, d.ReadGBps, d.Int8TOPS})
		}
	}
	return lines
}

func drawRoofs(b *strings.Builder, x, y axis, lines []roofLine) {
	const lineHeight = 14
	below := math.Inf(1)
	for _, l := range lines {
		slope := l.gbps / 1e3 // TOPS at one operation a byte
		left, right := math.Pow(10, x.lo), math.Pow(10, x.hi)
		ridge := min(max(l.tops/slope, left), right)
		fmt.Fprintf(b, `<polyline fill="none" stroke="#444" stroke-width="1.5" points="%.1f,%.1f %.1f,%.1f %.1f,%.1f"/>`+"\n",
			x.at(left), y.at(min(left*slope, l.tops)), x.at(ridge), y.at(min(ridge*slope, l.tops)), x.at(right), y.at(min(right*slope, l.tops)))
		below = min(y.at(l.tops)+4, below-lineHeight) // names of equal roofs must not lie on each other
		text(b, svgPlotRight+6, below, "start", fmt.Sprintf("%s: %.1f GB/s, %.2f TOPS", l.name, l.gbps, l.tops))
	}
}

// grid draws a line for each decade and names the axes.
func grid(b *strings.Builder, x, y axis) {
	line := func(x1, y1, x2, y2 float64) {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", x1, y1, x2, y2)
	}
	for e := x.lo; e <= x.hi; e++ {
		v := math.Pow(10, e)
		line(x.at(v), svgTop, x.at(v), svgPlotEnd)
		text(b, x.at(v), svgPlotEnd+18, "middle", fmt.Sprintf("%g", v))
	}
	for e := y.lo; e <= y.hi; e++ {
		v := math.Pow(10, e)
		line(svgLeft, y.at(v), svgPlotRight, y.at(v))
		text(b, svgLeft-6, y.at(v)+4, "end", fmt.Sprintf("%g", v))
	}
	text(b, (svgLeft+svgPlotRight)/2, svgHeight-16, "middle", "int8 operations a byte of memory")
	fmt.Fprintf(b, `<text transform="translate(18 %d) rotate(-90)" text-anchor="middle">10¹² operations a second</text>`+"\n", (svgTop+svgPlotEnd)/2)
}

func text(b *strings.Builder, x, y float64, anchor, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, escape(s))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // to a strings.Builder, which takes everything
	return b.String()
}
