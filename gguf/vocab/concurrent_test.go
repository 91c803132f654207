package vocab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// TestConcurrent: one Vocab and one Template serve several goroutines (run
// with -race, this also looks for shared writes).
func TestConcurrent(t *testing.T) {
	v := mini(t)
	tpl, err := v.Template()
	if err != nil {
		t.Fatal(err)
	}
	prompt := func() ([]int32, string, error) {
		segs, err := tpl.Render([]Message{{"user", "Tell me a story about Mia <|eot_id|> and a red kite."}}, true)
		if err != nil {
			return nil, "", err
		}
		ids := v.EncodeSegments(segs, true)
		return ids, v.Decode(ids, true) + streamed(v, ids), nil
	}
	wantIDs, wantText, err := prompt()
	if err != nil {
		t.Fatal(err)
	}
	// A fresh one, so that the goroutines also meet at the tables of the first use.
	v = mini(t)
	if tpl, err = v.Template(); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for range 20 {
				ids, text, err := prompt()
				if err != nil {
					return err
				}
				if d := cmp.Diff(wantIDs, ids); d != "" || text != wantText {
					t.Errorf("another goroutine changed the result:\n%s", d)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
