package evaluation

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tritflow/gguf/builtin"
	"tritflow/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func questions(t *testing.T) *builtin.Questions {
	t.Helper()
	set, err := builtin.ReadQuestions()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func card(t *testing.T) *builtin.Card {
	t.Helper()
	c, err := builtin.ReadCard()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func engine(t *testing.T) *stages.Engine {
	t.Helper()
	e, err := stages.Open(t.Context(), "", stages.Options{MaxSeqs: 32})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// TestBuiltin: the pipeline answers what the trainer's forward pass answered. With
// -short a few questions of each group stand for all.
func TestBuiltin(t *testing.T) {
	opt := Options{Card: card(t)}
	least := 2500
	if testing.Short() {
		opt.Most, least = 2, 34
	}
	calls := 0
	opt.Progress = func(int, int) { calls++ }
	r, err := Run(t.Context(), engine(t), questions(t), opt)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, row := range r.Rows {
		asked += row.Of
		// Of two questions one may be among those that the card counts wrong.
		if ok := row.Pass || testing.Short() && row.Right >= row.Of-1; !ok {
			t.Errorf("%+v", row)
		}
		if (row.Card == nil) != testing.Short() {
			t.Errorf("%s: compared with the card: %v", row.Name, row.Card != nil)
		}
		if row.Right+len(row.Wrong) != row.Of {
			t.Errorf("%s: %d right and %d wrong of %d", row.Name, row.Right, len(row.Wrong), row.Of)
		}
	}
	if len(r.Rows) != len(opt.Card.Rows) || asked < least || calls != asked {
		t.Errorf("%d groups, %d questions, %d calls of progress", len(r.Rows), asked, calls)
	}
}

// TestWrongAnswersAreCounted: a set whose answers are false fails, and says why.
func TestWrongAnswersAreCounted(t *testing.T) {
	set := &builtin.Questions{Groups: []builtin.Group{{
		Name: "false", Kind: builtin.KindChat, Target: .5, Tokens: 32, Items: []builtin.Question{
			{Messages: []string{"What is 27 + 15?"}, Answer: "27 + 15 = 42."},
			{Messages: []string{"What is 27 + 15?"}, Answer: "27 + 15 = 43."},
			{Messages: []string{"What is 27 + 15?"}, Words: []string{"42", "4"}},
		},
	}, {
		Name: "cut", Kind: builtin.KindPlain, Target: 1, Tokens: 2, Items: []builtin.Question{
			{Messages: []string{"The capital of France is"}, Words: []string{"Paris"}},
		},
	}}}
	r, err := Run(t.Context(), engine(t), set, Options{})
	if err != nil {
		t.Fatal(err)
	}
	row, cut := r.Rows[0], r.Rows[1]
	if r.Pass || row.Pass || row.Right != 1 || row.Wrong[0].Want != "27 + 15 = 43." || row.Wrong[0].Answer != "27 + 15 = 42." {
		t.Errorf("%+v", row)
	}
	if cut.Pass || cut.Wrong[0].Finish != "length" {
		t.Errorf("an answer that does not end: %+v", cut)
	}
	var b bytes.Buffer
	if err := r.WriteTable(&b, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1/3", "FAIL", "What is 27 + 15?\n27 + 15 = 42.\n", "\nfail\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// TestCancel: the end of the context ends the questions.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, engine(t), questions(t), Options{Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestJudge: a row passes at its target and near the card, on either side of it.
func TestJudge(t *testing.T) {
	c := &builtin.Card{Rows: []builtin.CardRow{{Name: "a", Right: 190, Of: 200, Target: .9}, {Name: "a", Right: 90, Of: 100, Target: .9}}}
	for _, x := range []struct {
		right, of int
		card      *builtin.Card
		pass      bool
	}{
		{190, 200, c, true}, {189, 200, c, true}, {191, 200, c, true},
		{188, 200, c, false}, {192, 200, c, false},
		{180, 200, nil, true}, {179, 200, nil, false},
		{91, 100, c, true}, {92, 100, c, false}, // one answer is always allowed
		{60, 65, c, true}, // not the card's questions
	} {
		r := Row{Name: "a", Right: x.right, Of: x.of, Target: .9}
		if r.judge(x.card); r.Pass != x.pass {
			t.Errorf("%d of %d beside %v: pass is %v", x.right, x.of, x.card, r.Pass)
		}
	}
}
