package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Report is what Run found. As JSON it is the object that `tritflow bench
// --json` promises.
type Report struct {
	Machine Machine        `json:"machine"`
	Results []Result       `json:"results"`
	Kernels []KernelResult `json:"kernels,omitempty"` // when they were asked for
	LoadMS  float64        `json:"load_ms"`           // from opening the file to the first token, median
	PeakRSS uint64         `json:"peak_rss_bytes"`    // of a process that filled LoadContext positions; 0 = not known
	Against *Comparison    `json:"against,omitempty"` // when other devices were asked for too

	// GPU says that the devices are not processors, GPUBytes what the largest ledger
	// of one counted.
	GPU      bool   `json:"-"`
	GPUBytes uint64 `json:"-"`

	// For people.
	Model       string   `json:"-"`
	Tier        string   `json:"-"`
	Skipped     []string `json:"-"` // what does not fit the model, and why
	LoadContext int      `json:"-"` // positions that were filled when PeakRSS was read
	PlanBytes   uint64   `json:"-"` // of the same memory, as it was planned
}

// Result is the speed of one kind of work beside its limit: the speed at which
// the bytes that it must read (weights with scales and norms, keys and values, of a
// screened head the copy and the rows computed exactly, as counted in the run) could
// be read, or its int8 products made, whichever is slower.
type Result struct {
	Name     string `json:"name"`    // decode, prefill or batch
	Threads  int    `json:"threads"` // of the processor
	N        int    `json:"n"`       // tokens of the prompt, or sequences
	Context  int    `json:"context"` // positions before the first token that was measured, for each sequence
	TokS     Spread `json:"tok_s"`
	Limit    Figure `json:"limit_tok_s"`
	Fraction Figure `json:"fraction"` // median / limit

	// For the roofline: work of a token.
	bytes, ops float64
}

// KernelResult is a matrix product on one thread. Rows that fit the caches are
// read from there.
type KernelResult struct {
	Tensor string  `json:"tensor"`
	Type   string  `json:"type"`
	Rows   int     `json:"rows"`
	Cols   int     `json:"cols"`
	N      int     `json:"n"` // rows of activations
	GBps   float64 `json:"gbps"`
	GOPS   float64 `json:"gops"`
}

// Spread is what repeats of a measurement gave.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// spread sorts up at least one sample.
func spread(samples []float64) Spread {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	return Spread{Min: s[0], Median: (s[(n-1)/2] + s[n/2]) / 2, Max: s[n-1]}
}

// Figure is a number that may be unknown: NaN, in JSON null.
type Figure float64

var unknown = Figure(math.NaN())

// MarshalJSON writes null for what is not known.
func (f Figure) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

func (f Figure) text(format string) string {
	if math.IsNaN(float64(f)) {
		return "-"
	}
	return fmt.Sprintf(format, float64(f))
}

// limit sets the limit of a result whose step gives so many tokens.
func (r *Result) limit(m *Machine, c *costs, s step, tokens float64) {
	alone := r.Name == "decode"
	r.Limit, r.Fraction = unknown, unknown
	w := c.total(s)
	r.bytes, r.ops = w.bytes/tokens, w.ops/tokens
	if seconds, ok := c.seconds(m, s, alone); ok {
		r.Limit = Figure(tokens / seconds)
		r.Fraction = Figure(r.TokS.Median / float64(r.Limit))
	}
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "model\t%s\n", r.Model)
	fmt.Fprintf(t, "processor\t%s\n", r.Machine.CPU)
	fmt.Fprintf(t, "kernels\t%s of %s\n", r.Tier, strings.Join(r.Machine.Features, " "))
	for i, bytes := range r.Machine.ReadGBps {
		fmt.Fprintf(t, "%d threads\tread %.1f GB/s, int8 %.2f TOPS\n", i+1, bytes, r.Machine.Int8TOPS[i])
	}
	for _, d := range r.Machine.Devices {
		fmt.Fprintf(t, "%s\t%s, read %.1f GB/s, int8 %.4g TOPS\n", d.Name, d.Model, d.ReadGBps, d.Int8TOPS)
	}
	fmt.Fprintf(t, "load\t%.0f ms to the first token\n", r.LoadMS)
	if r.PeakRSS > 0 {
		fmt.Fprintf(t, "memory\t%s at most, with %d positions; the plan has %s\n", humanize.IBytes(r.PeakRSS), r.LoadContext, humanize.IBytes(r.PlanBytes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := writeResults(w, r.Results); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Kernels) > 0 {
		fmt.Fprint(t, "\nmatrix (1 thread)\ttype\trows\tcolumns\tn\tGB/s\tGOPS\t\n")
	}
	for _, k := range r.Kernels {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%.1f\t%.1f\t\n", k.Tensor, k.Type, k.Rows, k.Cols, k.N, k.GBps, k.GOPS)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Against != nil {
		if err := r.Against.writeTable(w); err != nil {
			return err
		}
	}
	for _, s := range r.Skipped {
		if _, err := fmt.Fprintf(w, "skipped: %s\n", s); err != nil {
			return err
		}
	}
	return nil
}

func writeResults(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(results) > 0 {
		fmt.Fprint(t, "\nwork\tthreads\tn\tcontext\ttok/s\tmin\tmax\tlimit\tfraction\t\n")
	}
	for _, x := range results {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%s\t%s\t\n", x.Name, x.Threads, x.N, x.Context,
			x.TokS.Median, x.TokS.Min, x.TokS.Max, x.Limit.text("%.1f"), x.Fraction.text("%.2f"))
	}
	return t.Flush()
}
