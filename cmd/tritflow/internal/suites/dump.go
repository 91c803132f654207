package suites

import (
	"context"
	"fmt"
	"strings"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/stages"
)

// dumps compares with what other engines computed.
func (m *model) dumps(ctx context.Context) (checks []Check, err error) {
	if len(m.Dumps) == 0 {
		return []Check{skipped("dump of another engine", "there is none: --reference DUMP names one (docs/proof.md)")}, nil
	}
	for _, path := range m.Dumps {
		d, err := crossval.OpenDump(path, m.Path, false)
		if err != nil {
			return checks, err
		}
		r, err := m.against(ctx, d)
		if err != nil {
			return checks, err
		}
		c := Check{Name: "dump of " + short(d.Engine), Limit: r.Tolerance, Pass: r.Pass}
		switch l, few := r.Logits, r.Listed; {
		case l != nil:
			c.Value = fmt.Sprintf("%d rows of logits, correlation %.8f, largest difference %.3g, likeliest token the same %d times", l.Rows, l.Correlation, l.Max, l.Equal)
		case few != nil:
			c.Value = fmt.Sprintf("%d rows of listed log-probabilities, largest difference %.3g, likeliest token the same %d times", few.Rows, few.Max, few.Equal)
		}
		if !r.Pass {
			c.Value = r.Problems[0].Error()
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// short leaves out what a dump says of its engine in brackets.
func short(engine string) string {
	name, _, _ := strings.Cut(engine, " (")
	return name
}

func (m *model) against(ctx context.Context, d *crossval.Dump) (r *crossval.Report, err error) {
	err = m.withEngine(ctx, nil, func(e *stages.Engine) error {
		r, err = crossval.Run(ctx, d, crossval.Options{Engine: e, Model: m.Path, KV: e.Layout().KV, Tolerance: crossval.Standard()})
		return err
	})
	return r, err
}
