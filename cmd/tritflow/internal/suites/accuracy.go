package suites

import (
	"context"
	"fmt"

	"tritflow/cmd/tritflow/internal/evaluation"
	"tritflow/gguf/builtin"
	"tritflow/stages"
)

// seqs is how many questions are answered at once.
const seqs = 32

// accuracy asks the questions of the built-in model's card.
func (m *model) accuracy(ctx context.Context) ([]Check, error) {
	ours, err := m.ours(ctx)
	if err != nil {
		return nil, err
	}
	if !ours {
		return []Check{skipped("right answers", "the questions are those of the model inside the program")}, nil
	}
	set, err := builtin.ReadQuestions()
	if err != nil {
		return nil, err
	}
	card, err := builtin.ReadCard()
	if err != nil {
		return nil, err
	}
	var report *evaluation.Report
	err = m.withEngine(ctx, func(o *stages.Options) { o.MaxSeqs = seqs }, func(e *stages.Engine) (err error) {
		report, err = evaluation.Run(ctx, e, set, evaluation.Options{Card: card})
		return err
	})
	if err != nil {
		return nil, err
	}
	var checks []Check
	right, of, met := 0, 0, 0
	for _, row := range report.Rows {
		right, of = right+row.Right, of+row.Of
		if row.Pass {
			met++
			continue
		}
		limit := fmt.Sprintf("at least %.0f %%", 100*row.Target)
		if row.Card != nil {
			limit += fmt.Sprintf(", %d give or take %d", *row.Card, row.Margin())
		}
		checks = append(checks, Check{Name: row.Name, Value: fmt.Sprintf("%d of %d", row.Right, row.Of), Limit: limit})
	}
	share := float64(right) / float64(max(of, 1))
	m.figures.Values["accuracy"] = share
	all := Check{
		Name: "right answers", Value: fmt.Sprintf("%d of %d, %d of %d groups as on the card", right, of, met, len(report.Rows)),
		Limit: "all groups", Pass: met == len(report.Rows),
	}
	return append([]Check{all}, checks...), nil
}
