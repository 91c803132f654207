package suites

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteTable prints the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "suite\tcheck\tfound\twanted\t\n")
	last := ""
	passed, failed, left := 0, 0, 0
	for _, c := range r.Checks {
		name, verdict := c.Suite, "pass"
		if name == last {
			name = ""
		}
		last = c.Suite
		switch {
		case c.Skipped != "":
			verdict, c.Value = "-", c.Skipped
			left++
		case !c.Pass:
			verdict = "FAIL"
			failed++
		default:
			passed++
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", name, c.Name, c.Value, c.Limit, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "pass"
	if !r.Pass {
		verdict = "FAIL"
	}
	_, err := fmt.Fprintf(w, "\n%s: %s: %d checks passed, %d failed, %d say nothing here; %.1f s\n", verdict, r.Model, passed, failed, left, r.Seconds)
	return err
}
