package evaluation

import (
	"fmt"
	"io"
	"regexp"
	"text/tabwriter"

	"tritflow/gguf/builtin"
	"tritflow/stages"
)

// Report is what Run found; as JSON the object that `tritflow eval --json` prints.
type Report struct {
	Model string `json:"model"`
	Pass  bool   `json:"pass"` // all rows
	Rows  []*Row `json:"rows"`
}

// Row is one group of questions. Card is how many the card counts right (null
// where it has no say: another model, or some of the questions).
type Row struct {
	Name   string  `json:"name"`
	Right  int     `json:"right"`
	Of     int     `json:"of"`
	Share  float64 `json:"share"`
	Target float64 `json:"target"`
	Card   *int    `json:"card"`
	Pass   bool    `json:"pass"`
	Wrong  []Wrong `json:"wrong"`
}

// Wrong is an answer that was not right. Finish is length where it did not end.
type Wrong struct {
	Question string   `json:"question"`
	Answer   string   `json:"answer"`
	Finish   string   `json:"finish"`
	Want     string   `json:"want,omitempty"`
	Words    []string `json:"words,omitempty"`
}

// Tolerance is how far a row may be from the card's: rounding flips, because
// keys and values are kept in half precision and sums have another order. One
// answer is always allowed.
const Tolerance = 0.005

// Margin is how many answers a row may have more or fewer than the card's.
func (r *Row) Margin() int { return max(1, int(Tolerance*float64(r.Of))) }

func newRow(g *builtin.Group, of int) *Row {
	return &Row{Name: g.Name, Of: of, Target: g.Target, Wrong: []Wrong{}}
}

func (r *Row) count(q *builtin.Question, text string, finish stages.Finish) {
	if finish == stages.FinishStop && right(q, text) {
		r.Right++
		return
	}
	r.Wrong = append(r.Wrong, Wrong{
		Question: q.Messages[len(q.Messages)-1], Answer: text, Finish: string(finish), Want: q.Answer, Words: q.Words,
	})
}

func right(q *builtin.Question, text string) bool {
	if len(q.Words) == 0 {
		return text == q.Answer
	}
	for _, w := range q.Words {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(w) + `\b`).MatchString(text) {
			return false
		}
	}
	return true
}

// judge compares with the target and, where all questions of the card's row were
// asked, with the card.
func (r *Row) judge(c *builtin.Card) {
	r.Share = float64(r.Right) / float64(max(r.Of, 1))
	r.Pass = r.Share >= r.Target
	if c == nil {
		return
	}
	for _, row := range c.Rows {
		if row.Name == r.Name && row.Of == r.Of {
			r.Card = &row.Right
			r.Pass = r.Pass && max(r.Right-row.Right, row.Right-r.Right) <= r.Margin()
		}
	}
}

// WriteTable prints the report for people, with the wrong answers if asked for.
func (r *Report) WriteTable(w io.Writer, wrong bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\tright\tshare\ttarget\tcard\t\n", r.Model)
	for _, row := range r.Rows {
		card, verdict := "", "pass"
		if row.Card != nil {
			card = fmt.Sprint(*row.Card)
		}
		if !row.Pass {
			verdict = "FAIL"
		}
		fmt.Fprintf(t, "%s\t%d/%d\t%.1f %%\t%.0f %%\t%s\t%s\n", row.Name, row.Right, row.Of, 100*row.Share, 100*row.Target, card, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if wrong {
		for _, row := range r.Rows {
			for _, x := range row.Wrong {
				if _, err := fmt.Fprintf(w, "\n%s: %s\n%s\n", row.Name, x.Question, x.Answer); err != nil {
					return err
				}
			}
		}
	}
	verdict := "pass"
	if !r.Pass {
		verdict = "fail"
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}
