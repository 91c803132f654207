package targets

import (
	"embed"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"tritflow/cmd/tritflow/internal/strictjson"
)

// Set is a file of targets.
type Set struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Targets []Target `json:"targets"`
}

// Target bounds one figure. At least one of Min and Max is there.
type Target struct {
	Metric string   `json:"metric"`
	Min    *float64 `json:"min,omitempty"`
	Max    *float64 `json:"max,omitempty"`
	Why    string   `json:"why,omitempty"`

	// LeastWeights leaves the target out for models of fewer bytes of weights: the
	// smallest live in caches and wait for nothing but the program.
	LeastWeights float64 `json:"least_weights,omitempty"`
}

// Figures are what was measured, by metric.
type Figures struct {
	Values  map[string]float64
	Weights float64 // bytes of the model's weights
}

// Verdict is what became of a target.
type Verdict struct {
	Metric  string   `json:"metric"`
	Target  string   `json:"target"` // "at least 5"
	Value   *float64 `json:"value"`  // nil where it was not measured
	Pass    bool     `json:"pass"`
	Skipped string   `json:"skipped,omitempty"` // why it says nothing
	Why     string   `json:"why,omitempty"`
}

// FileError: a file of targets cannot be used.
type FileError struct {
	Path   string
	Reason string
}

func (e *FileError) Error() string { return fmt.Sprintf("targets %s: %s", e.Path, e.Reason) }

//go:embed seed.json tritflow.json
var shipped embed.FS

// Shipped names the sets that are part of the program.
var Shipped = []string{"seed", "tritflow"}

// Read reads a file, or a set that is part of the program by its name. Errors are *FileErrors.
func Read(name string) (*Set, error) {
	text, err := []byte(nil), error(nil)
	if slices.Contains(Shipped, name) {
		text, err = shipped.ReadFile(name + ".json")
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, &FileError{name, fmt.Sprintf("%v; name a JSON file or one of %s", err, strings.Join(Shipped, ", "))}
	}
	var s Set
	if err := strictjson.Decode(text, &s); err != nil {
		return nil, &FileError{name, err.Error()}
	}
	if len(s.Targets) == 0 {
		return nil, &FileError{name, "there are no targets in it"}
	}
	for i, t := range s.Targets {
		switch {
		case !Known(t.Metric):
			return nil, &FileError{name, fmt.Sprintf("target %d: the metric %q is not measured; there are %s", i+1, t.Metric, strings.Join(Metrics(), ", "))}
		case t.Min == nil && t.Max == nil:
			return nil, &FileError{name, fmt.Sprintf("target %d (%s) has neither min nor max", i+1, t.Metric)}
		}
	}
	return &s, nil
}

// Judge compares. It passes where every target that could be measured is met.
func (s *Set) Judge(f Figures) (verdicts []Verdict, pass bool) {
	pass = true
	for _, t := range s.Targets {
		v := Verdict{Metric: t.Metric, Target: t.bound(), Why: t.Why}
		value, measured := f.Values[t.Metric]
		switch {
		case t.LeastWeights > f.Weights:
			v.Skipped = fmt.Sprintf("for models of %.0f MB of weights or more", t.LeastWeights/1e6)
		case !measured || math.IsNaN(value):
			v.Skipped = "not measured here"
		default:
			v.Value = &value
			v.Pass = (t.Min == nil || value >= *t.Min) && (t.Max == nil || value <= *t.Max)
			pass = pass && v.Pass
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, pass
}

func (t *Target) bound() string {
	switch {
	case t.Max == nil:
		return fmt.Sprintf("at least %.6g", *t.Min)
	case t.Min == nil:
		return fmt.Sprintf("at most %.6g", *t.Max)
	}
	return fmt.Sprintf("%.6g to %.6g", *t.Min, *t.Max)
}

// metrics without a number in their names.
var metrics = map[string]string{
	"cpu.decode_tok_s":          "one answer at the beginning of the context, all threads",
	"cpu.decode_fraction":       "the same, of the limit that the machine sets",
	"gpu.decode_tok_s":          "one answer on GPUs",
	"gpu.decode_fraction":       "the same, of the limit that the GPUs set",
	"speedup.decode":            "one answer, beside the devices of bench --against",
	"load_ms":                   "from opening the file to the first token",
	"peak_rss_bytes":            "resident memory with one sequence",
	"gpu_memory_bytes":          "most that a GPU's ledger counts",
	"memory_over_plan":          "resident peak over the plan, all requests at work",
	"operations_mse":            "largest MSE of an operation against float64, relative to its variance",
	"correlation":               "of the logits with an F32 forward of the same weights",
	"least_correlation":         "the same of the worst stage",
	"layer_mse":                 "largest MSE of what a stage hands over, relative to its variance",
	"accuracy":                  "share of right answers of the built-in questions",
	"likeliest_token_agreement": "share of positions with the same likeliest token as the F32 forward",
}

// sized metrics have a length or a number of requests in their names, as in
// cpu.prefill_512_tok_s.
var sized = []string{
	"cpu.prefill_%d_tok_s", "cpu.prefill_%d_fraction", "cpu.batch_%d_tok_s", "cpu.batch_%d_fraction",
	"gpu.prefill_%d_tok_s", "gpu.prefill_%d_fraction", "gpu.batch_%d_tok_s", "gpu.batch_%d_fraction",
	"speedup.prefill_%d", "speedup.batch_%d",
}

// Metrics names everything that can be bounded; N stands for a number.
func Metrics() []string {
	names := slices.Sorted(maps.Keys(metrics))
	for _, s := range sized {
		names = append(names, strings.Replace(s, "%d", "N", 1))
	}
	return names
}

// Known says whether a metric is measured.
func Known(metric string) bool {
	if metrics[metric] != "" {
		return true
	}
	for _, s := range sized {
		var n int
		if _, err := fmt.Sscanf(metric, s, &n); err == nil && fmt.Sprintf(s, n) == metric {
			return true
		}
	}
	return false
}
