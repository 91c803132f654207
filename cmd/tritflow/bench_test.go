package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// benchreport FILE NAMES: one object with exactly the fields that bench --json
// promises, in order, with results of these names.
func benchreport(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var r struct {
		Machine struct {
			CPU      *string   `json:"cpu"`
			Features *[]string `json:"features"`
			Cores    int       `json:"cores"`
			Read     []float64 `json:"read_gbps"`
			Int8     []float64 `json:"int8_tops"`
		} `json:"machine"`
		Results []struct {
			Name    string `json:"name"`
			Threads int    `json:"threads"`
			N       int    `json:"n"`
			Context *int   `json:"context"`
			TokS    struct {
				Min    float64 `json:"min"`
				Median float64 `json:"median"`
				Max    float64 `json:"max"`
			} `json:"tok_s"`
			Limit    *float64 `json:"limit_tok_s"`
			Fraction *float64 `json:"fraction"`
		} `json:"results"`
		LoadMS  float64 `json:"load_ms"`
		PeakRSS *uint64 `json:"peak_rss_bytes"`
	}
	ts.Check(d.Decode(&r))
	m := r.Machine
	if m.CPU == nil || m.Features == nil || m.Cores < 1 || len(m.Read) != m.Cores || len(m.Int8) != m.Cores {
		ts.Fatalf("the machine is %+v", m)
	}
	if !(r.LoadMS > 0) || r.PeakRSS == nil || r.Results == nil || !benchKeys.MatchString(text) {
		ts.Fatalf("fields are missing or in another order: %s", text)
	}
	var names []string
	for _, x := range r.Results {
		if !slices.Contains(names, x.Name) {
			names = append(names, x.Name)
		}
		if x.Threads < 1 || x.Threads > m.Cores || x.N < 1 || x.Context == nil || x.Limit == nil || x.Fraction == nil {
			ts.Fatalf("a result lacks something: %+v", x)
		}
		if t := x.TokS; !(t.Min > 0 && t.Min <= t.Median && t.Median <= t.Max) {
			ts.Fatalf("a result is not in order: %+v", x)
		}
	}
	want := strings.Fields(args[1])
	slices.Sort(want)
	slices.Sort(names)
	if !slices.Equal(names, want) {
		ts.Fatalf("results of %q, want %q", names, want)
	}
}

var benchKeys = regexp.MustCompile(`(?s)^\{\s*"machine": \{\s*"cpu": .*"features": .*"cores": .*"read_gbps": .*"int8_tops": .*"results": .*"load_ms": .*"peak_rss_bytes": \d+\s*\}\s*$`)
