package crossval

import (
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Sizes of a plot.
const (
	plotWidth  = 16 * vg.Centimeter
	plotHeight = 9 * vg.Centimeter
)

var (
	blue = color.RGBA{0, 0x72, 0xb2, 0xff}
	red  = color.RGBA{0xd5, 0x5e, 0, 0xff}
	grey = color.RGBA{0x99, 0x99, 0x99, 0xff}
)

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Add(plotter.NewGrid())
	return p
}

func render(p *plot.Plot, w io.Writer) error {
	c := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(c))
	_, err := c.WriteTo(w)
	return err
}

// plotLogits draws our logits, or log-probabilities, over the reference's, some of every case.
func (r *Report) plotLogits(w io.Writer) error {
	var points plotter.XYs
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, c := range r.Cases {
		for _, s := range c.sample {
			x, y := float64(s[0]), float64(s[1])
			if x-x != 0 || y-y != 0 {
				continue
			}
			points = append(points, plotter.XY{X: x, Y: y})
			lo, hi = math.Min(lo, x), math.Max(hi, x)
		}
	}
	if len(points) == 0 || lo == hi {
		return nil
	}
	title := "Logits"
	if r.Logits == nil {
		title = "Log-probabilities that the reference lists"
	}
	p := newPlot(title, "reference", "ours")
	equal, err := plotter.NewLine(plotter.XYs{{X: lo, Y: lo}, {X: hi, Y: hi}})
	if err != nil {
		return err
	}
	equal.Color = grey
	s, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: blue, Radius: vg.Points(1), Shape: draw.CircleGlyph{}}
	p.Add(equal, s)
	return render(p, w)
}

// plotKL draws how far the distributions are apart, over the position, for all cases.
func (r *Report) plotKL(w io.Writer) error {
	var points plotter.XYs
	for _, c := range r.Cases {
		for pos, kl := range c.KL {
			if c.Positions != nil {
				pos = c.Positions[pos]
			}
			points = append(points, plotter.XY{X: float64(pos), Y: logarithmic(kl)})
		}
	}
	return scatter(w, points, nil, newPlot("Kullback-Leibler divergence", "position", "nats"))
}

// plotLayers draws the relative error of every tensor, in the order of the network.
func (r *Report) plotLayers(w io.Writer) error {
	var good, bad plotter.XYs
	for i, l := range r.Layers {
		p := plotter.XY{X: float64(i), Y: logarithmic(l.Figures.RelativeMSE)}
		if l.Pass {
			good = append(good, p)
		} else {
			bad = append(bad, p)
		}
	}
	return scatter(w, good, bad, newPlot("Tensors, embedding to head", "tensor", "relative MSE"))
}

// scatter draws points over a logarithmic axis; bad ones in red.
func scatter(w io.Writer, good, bad plotter.XYs, p *plot.Plot) error {
	if len(good)+len(bad) == 0 {
		return nil
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: 1}
	lo, hi := math.Inf(1), smallest
	for _, part := range []struct {
		points plotter.XYs
		color  color.Color
	}{{good, blue}, {bad, red}} {
		if len(part.points) == 0 {
			continue
		}
		s, err := plotter.NewScatter(part.points)
		if err != nil {
			return err
		}
		s.GlyphStyle = draw.GlyphStyle{Color: part.color, Radius: vg.Points(2), Shape: draw.CircleGlyph{}}
		p.Add(s)
		for _, xy := range part.points {
			lo, hi = math.Min(lo, xy.Y), math.Max(hi, xy.Y)
		}
	}
	// Whole decades, so that there are names on the axis.
	p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)+0.01))
	return render(p, w)
}
