package batch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/openai"
	"tritflow/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oracle answers a call with a text that depends on nothing but the call, after
// a random while, so that lines finish in any order. It tests the job around the
// answers; the answers themselves are tested with an engine.
type oracle struct {
	rng   func() int    // microseconds to wait
	given chan struct{} // takes so many answers, then everything ends; nil = without end
}

func (o *oracle) Answer(ctx context.Context, c *openai.Call, k openai.Key) (Answer, *openai.Fault, error) {
	if o.rng != nil {
		select {
		case <-time.After(time.Duration(o.rng()) * time.Microsecond):
		case <-ctx.Done():
			return Answer{}, nil, ctx.Err()
		}
	}
	if o.given != nil {
		select {
		case o.given <- struct{}{}:
		default:
			return Answer{}, nil, errKilled
		}
	}
	p := c.Prompt(0).Text
	if strings.Contains(p, "nan") {
		return Answer{}, openai.Failed("numerical_error", "The network made NaN."), nil
	}
	sum := sha256.Sum256([]byte(p))
	text := fmt.Sprintf("%x", sum[:1+int(sum[0])%32])
	line, u, err := c.Line(k, "oracle", []openai.Choice{{Text: text, Finish: stages.FinishStop, Tokens: len(text), Prompt: len(p)}})
	return Answer{line, u, sum}, nil, err
}

// requests makes the lines of an input; some are poisoned.
func requests(n int) string {
	var b strings.Builder
	for i := range n {
		switch i % 17 {
		case 3:
			b.WriteString("{broken\n")
		case 7:
			fmt.Fprintf(&b, `{"custom_id":"r%d","url":"/v1/completions","body":{"prompt":"again"}}`+"\n", i/2)
		case 11:
			fmt.Fprintf(&b, `{"custom_id":"r%d","url":"/v1/completions","body":{"prompt":"nan"}}`+"\n\n", i)
		default:
			fmt.Fprintf(&b, `{"custom_id":"r%d","url":"/v1/completions","body":{"prompt":"say %d"}}`+"\n", i, i*i)
		}
	}
	return b.String()
}

type trial struct {
	fs       *memFS
	settings []Setting
	order    Order
	input    string
	window   int
	workers  int
	answerer *oracle
}

func (t *trial) source() input.Source {
	return input.NewLines(io.NopCloser(strings.NewReader(t.input)), false, int64(len(t.input)))
}

// run opens the job and runs it once.
func (t *trial) run(ctx context.Context) (*Job, error) {
	j, err := Open(Options{FS: t.fs, Output: "out", Settings: t.settings, Order: t.order})
	if err != nil {
		return nil, err
	}
	if j.Finished() {
		return j, errors.Join(j.CheckInput(t.source()), j.Close())
	}
	workers := t.workers
	if workers == 0 {
		workers = 8
	}
	err = j.Run(ctx, Work{
		Source: t.source(), JSON: true, Answerer: t.answerer, Workers: workers, Window: t.window,
		Defaults: openai.Defaults{MaxTokens: 5},
	})
	return j, errors.Join(err, j.Close())
}

func newTrial(n int) *trial {
	return &trial{fs: newMemFS(), order: OrderInput, input: requests(n), answerer: &oracle{}, settings: []Setting{{"model", "m"}}}
}

// undisturbed is the output of a run in which nothing happens, one line after
// the other.
func undisturbed(t *testing.T, n int) string {
	t.Helper()
	tr := newTrial(n)
	tr.workers = 1
	if _, err := tr.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return string(tr.fs.files["out"].data)
}

// jitter makes lines finish in a random order.
func jitter() int { return rand.IntN(300) }
