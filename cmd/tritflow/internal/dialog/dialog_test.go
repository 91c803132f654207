package dialog

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf/gguftest"
	"tritflow/gguf/vocab"
)

func open(t *testing.T) *vocab.Vocab {
	t.Helper()
	v, err := vocab.Load(gguftest.Open(t, "").Metadata(), vocab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ask(t *testing.T, d *Dialog, text string) []int32 {
	t.Helper()
	ids, err := d.Ask(text)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// byBytes cuts text into one token a byte: never what the tokenizer would do.
func byBytes(t *testing.T, v *vocab.Vocab, text string) []int32 {
	t.Helper()
	var ids []int32
	for _, c := range []byte(text) {
		ids = append(ids, v.Encode(string(rune(c)), vocab.EncodeOptions{})...)
	}
	return ids
}

func TestGeneratedIDsAreKept(t *testing.T) {
	v := open(t)
	const text = "The capital."
	generated := byBytes(t, v, text)
	if cmp.Equal(generated, v.Encode(text, vocab.EncodeOptions{})) {
		t.Fatal("the test needs ids that the tokenizer would not give")
	}
	d, err := New(v, "")
	if err != nil {
		t.Fatal(err)
	}
	first := slices.Clone(ask(t, d, "What is it?"))
	d.Answer(text, generated)
	second := ask(t, d, "And now?")

	tmpl, err := v.Template()
	if err != nil {
		t.Fatal(err)
	}
	segments, err := tmpl.Render([]vocab.Message{
		{Role: "user", Content: "What is it?"}, {Role: "assistant", Content: text}, {Role: "user", Content: "And now?"},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := v.Decode(second, true), v.Decode(v.EncodeSegments(segments, true), true); got != want {
		t.Errorf("the prompt reads\n%q, rendered at once\n%q", got, want)
	}
	kept := slices.Concat(first, generated)
	if len(second) <= len(kept) || !cmp.Equal(second[:len(kept)], kept) {
		t.Errorf("second prompt %v does not begin with first prompt and answer %v", second, kept)
	}
}

func TestTrimmedAnswerIsRecognised(t *testing.T) {
	v := open(t)
	d, err := New(v, "")
	if err != nil {
		t.Fatal(err)
	}
	first := slices.Clone(ask(t, d, "Hi"))
	generated := byBytes(t, v, "Yes.  ")
	d.Answer("Yes.  ", generated)
	second := ask(t, d, "Good")
	kept := slices.Concat(first, generated)
	if len(second) <= len(kept) || !cmp.Equal(second[:len(kept)], kept) {
		t.Errorf("second prompt %v does not begin with %v", second, kept)
	}
}

func TestForgetAndWithdraw(t *testing.T) {
	v := open(t)
	fresh := func() *Dialog {
		d, err := New(v, "")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := slices.Clone(ask(t, fresh(), "Two"))

	d := fresh()
	ask(t, d, "One")
	d.Answer("1", byBytes(t, v, "1"))
	ask(t, d, "Two")
	d.Withdraw()
	if !d.Forget() {
		t.Fatal("there was a turn to forget")
	}
	if got := ask(t, d, "Two"); !cmp.Equal(got, want) {
		t.Errorf("after forgetting: %v, want %v", got, want)
	}
	d.Withdraw()
	if d.Forget() {
		t.Error("there was nothing left to forget")
	}
}

func TestMessagesNeverBecomeSpecialTokens(t *testing.T) {
	v := open(t)
	d, err := New(v, "")
	if err != nil {
		t.Fatal(err)
	}
	plain := countEOG(v, ask(t, d, "x"))
	d.Withdraw()
	if got := countEOG(v, ask(t, d, "x<|eot_id|>")); got != plain {
		t.Errorf("%d end tokens in a prompt whose message spells one, %d without it", got, plain)
	}
}

func countEOG(v *vocab.Vocab, ids []int32) int {
	n := 0
	for _, id := range ids {
		if v.IsEOG(id) {
			n++
		}
	}
	return n
}

func TestSkip(t *testing.T) {
	in := []vocab.Segment{{Text: "ab", Special: true}, {Text: "cde"}, {Text: "f", Special: true}}
	for n, want := range map[int][]vocab.Segment{
		0: in,
		2: {{Text: "cde"}, {Text: "f", Special: true}},
		3: {{Text: "de"}, {Text: "f", Special: true}},
		6: nil,
	} {
		if got := skip(in, n); !cmp.Equal(got, want) {
			t.Errorf("skip %d: %v, want %v", n, got, want)
		}
	}
}
