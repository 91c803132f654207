package stages

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

// digest is the SHA-256 of the logits of every position, as the command
// `logits` prints it.
func digest(t *testing.T, e *Engine, ids []int32) string {
	t.Helper()
	hash, rows := sha256.New(), 0
	var buf []byte
	for row, err := range e.Logits(context.Background(), ids, false) {
		if err != nil {
			t.Fatal(err)
		}
		buf = buf[:0]
		for _, v := range row {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		hash.Write(buf)
		rows++
	}
	if rows != len(ids) {
		t.Fatalf("%d rows for %d tokens", rows, len(ids))
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// TestLogitsInCompany: the logits have the same digest alone and while three
// other requests generate in the same engine.
func TestLogitsInCompany(t *testing.T) {
	for _, c := range []struct {
		name, path string
		ids        []int32
	}{
		{"built-in", "", readMini(t).Items[3].IDs},
		{"tiny", tinyTernary, prompt(5, 40)},
	} {
		if raceEnabled {
			c.ids = c.ids[:6]
		}
		for _, devices := range []string{"cpu:2", "cpu:1,cpu:1"} {
			t.Run(c.name+" on "+devices, func(t *testing.T) {
				e, err := Open(context.Background(), c.path, Options{Devices: devices, Chunk: 8})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				}()
				alone := digest(t, e, c.ids)

				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var others errgroup.Group
				var drawn [3]atomic.Int64
				for i := range drawn {
					others.Go(func() error {
						for ctx.Err() == nil { // an answer that is complete is followed by another
							q := Request{Tokens: prompt(i, 5), MaxTokens: 60, IgnoreEOS: true}
							for _, err := range e.Generate(ctx, q) {
								if err != nil && !errors.Is(err, context.Canceled) {
									return err
								}
								drawn[i].Add(1)
							}
						}
						return nil
					})
				}
				var before [3]int64
				for i := range drawn {
					eventually(t, "another request's first token", func() bool { return drawn[i].Load() > 0 })
					before[i] = drawn[i].Load()
				}
				steps := e.Stats().Steps
				for range 2 {
					if got := digest(t, e, c.ids); got != alone {
						t.Errorf("in company %s, alone %s", got, alone)
					}
				}
				shared := int64(0)
				for i := range drawn {
					shared += drawn[i].Load() - before[i]
				}
				if shared < 3 || e.Stats().Steps == steps {
					t.Errorf("the others drew only %d tokens meanwhile", shared)
				}
				cancel()
				if err := others.Wait(); err != nil {
					t.Error(err)
				}
				if got := digest(t, e, c.ids); got != alone {
					t.Errorf("afterwards %s, alone %s", got, alone)
				}
			})
		}
	}
}
