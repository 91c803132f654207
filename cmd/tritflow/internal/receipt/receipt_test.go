package receipt

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tritflow/cmd/tritflow/internal/fingerprint"
	"tritflow/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func engine(t *testing.T, o stages.Options) *stages.Engine {
	t.Helper()
	e, err := stages.Open(t.Context(), "", o)
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

// made computes a receipt of two prompts.
func made(t *testing.T) *Receipt {
	t.Helper()
	e := engine(t, stages.Options{Devices: "cpu:1"})
	r := New("test", "", &fingerprint.Model{Digest: "sha256:0"})
	r.On(e)
	r.Run = &Run{Special: true, Options: Options{MaxTokens: 10, Sampling: Sampling{Temperature: .7, TopP: 1, Seed: 4}}}
	for _, p := range []string{"Once upon a time", "The capital of France is"} {
		q, err := r.Run.Request(p, e.Vocab())
		if err != nil {
			t.Fatal(err)
		}
		a, err := Answered(t.Context(), e, q)
		if err != nil {
			t.Fatal(err)
		}
		r.Run.Answers = append(r.Run.Answers, *a)
	}
	return r
}

// TestCheck: a receipt that went through a file is confirmed elsewhere, and whatever is
// changed in it is named, the first difference first.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(made(t).Write(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	e := engine(t, stages.Options{Devices: "cpu:1,cpu:1", Chunk: 2})
	for _, c := range []struct {
		change func(*Run)
		where  string
	}{
		{func(*Run) {}, ""},
		{func(r *Run) { r.Answers[1].PromptTokens[2]++ }, "answer 2, token 3 of the prompt"},
		{func(r *Run) { r.Answers[0].Drawn[4]++ }, "answer 1, draw 5"},
		{func(r *Run) { l := &r.Answers[0].Logits[6]; *l = math.Nextafter32(*l, 0) }, "answer 1, draw 7, logit of"},
		{func(r *Run) { r.Answers[0].Text += "x" }, "answer 1, text"},
		{func(r *Run) { r.Answers[0].Finish = "stop" }, "answer 1, reason of its end"},
		{func(r *Run) { r.Options.Sampling.Seed++ }, "answer 1, draw"},
		{func(r *Run) { r.Options.MaxTokens++ }, "answer 1, draw 11"},
	} {
		r, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		c.change(r.Run)
		d, err := Check(t.Context(), e, r)
		switch {
		case err != nil:
			t.Fatal(err)
		case c.where == "" && d != nil:
			t.Errorf("nothing was changed: %v", d)
		case c.where != "" && (d == nil || !strings.HasPrefix(d.Where, c.where) || d.Want == d.Got):
			t.Errorf("want a difference at %q, got %v", c.where, d)
		}
	}
}

// TestRead: what is no receipt, damaged or of another format is refused by name.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	var b strings.Builder
	if err := made(t).Write(&b); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	for _, c := range []struct{ text, reason string }{
		{whole[:len(whole)/2], "no receipt"},
		{"{}", "no receipt"},
		{`{"tritflow_receipt":2}`, "its format is 2"},
		{`{"tritflow_receipt":1,"new":1}`, "damaged"},
		{strings.Replace(whole, `"seed": 4`, `"seed": 5`, 1), "seal"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var fe *FileError
		if _, err := Read(path); !errors.As(err, &fe) || !strings.Contains(fe.Reason, c.reason) {
			t.Errorf("%.40q: %v", c.text, err)
		}
	}
}

// TestCompare names what differs in a job; the file counts only where its order does.
func TestCompare(t *testing.T) {
	b := Batch{Order: "input", InputDigest: "a", Draws: "b", OutputSHA: "c", Requests: 3}
	for _, c := range []struct {
		change func(*Batch)
		where  string
	}{
		{func(*Batch) {}, ""},
		{func(b *Batch) { b.InputDigest = "x" }, Input},
		{func(b *Batch) { b.Failed = 1 }, "number of error lines"},
		{func(b *Batch) { b.Draws, b.OutputSHA = "x", "x" }, "digest of the draws"},
		{func(b *Batch) { b.OutputSHA = "x" }, "digest of the output"},
	} {
		got := b
		c.change(&got)
		if d := b.Compare(&got); (d == nil) != (c.where == "") || d != nil && d.Where != c.where {
			t.Errorf("want %q, got %v", c.where, d)
		}
	}
	b.Order = "finished"
	got := b
	got.OutputSHA = "x"
	if d := b.Compare(&got); d != nil {
		t.Errorf("the order of lines counts: %v", d)
	}
}

// TestNamesThatAreNoText: a path that is not UTF-8 is no damage.
func TestNamesThatAreNoText(t *testing.T) {
	r := New("test", "m\xff.gguf", &fingerprint.Model{Digest: "sha256:0"})
	r.Batch = &Batch{Input: "\xfe.jsonl", Output: "out.jsonl", Order: "input"}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Parse("r.json", &b)
	if err != nil || got.Batch.Output != "out.jsonl" {
		t.Errorf("%+v, %v", got, err)
	}
}
