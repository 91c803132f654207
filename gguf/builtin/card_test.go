package builtin

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestCard: card, file, evaluation set and the page in docs speak of the same model.
func TestCard(t *testing.T) {
	c, err := ReadCard()
	if err != nil {
		t.Fatal(err)
	}
	set, err := ReadQuestions()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/builtin.md")
	if err != nil {
		t.Fatal(err)
	}
	if c.SHA256 != SHA256 || c.Bytes != len(mini) || c.Rounding.Mean < 0.999 {
		t.Errorf("the card is of another file, or a bad one: %+v", c)
	}
	if len(c.Rows) != len(set.Groups) || len(c.Rows) == 0 {
		t.Fatalf("%d rows for %d groups", len(c.Rows), len(set.Groups))
	}
	for i, row := range c.Rows {
		g := set.Groups[i]
		if row.Name != g.Name || row.Of != len(g.Items) || row.Target != g.Target {
			t.Errorf("row %+v, group %s of %d with target %g", row, g.Name, len(g.Items), g.Target)
		}
		if share := float64(row.Right) / float64(row.Of); share < row.Target || share > 1 {
			t.Errorf("%s: %.3f is not between the target and all", row.Name, share)
		}
		if want := fmt.Sprintf("| %s | %d of %d |", row.Name, row.Right, row.Of); !strings.Contains(string(page), want) {
			t.Errorf("docs/builtin.md lacks %q", want)
		}
		for _, q := range g.Items {
			if len(q.Messages)%2 != 1 || (q.Answer == "") == (len(q.Words) == 0) || g.Kind == KindPlain && len(q.Messages) != 1 || g.Kind != KindPlain && g.Kind != KindChat {
				t.Errorf("%s: a question without a form: %+v", g.Name, q)
			}
		}
	}
}
