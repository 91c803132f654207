package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"tritflow/cmd/tritflow/internal/batch/journal"
)

// Order says how the lines of the output stand.
type Order string

// The orders.
const (
	OrderInput    Order = "input"    // as the lines of the input
	OrderFinished Order = "finished" // as they were finished: only the set of lines is promised
)

// order brings finished lines to the output. In input order the early ones wait
// in the journal.
type order struct {
	kind    Order
	journal *journal.Journal
	out     *outfile
	next    int64 // all lines before it are in the output
	early   map[int64]waiting
	draws   hash.Hash // of the draws of all lines before next, in input order
}

// waiting is a line that is done before one that comes before it.
type waiting struct {
	at    journal.Ref
	draws [32]byte
}

func newOrder(kind Order, j *journal.Journal, out *outfile) order {
	return order{kind: kind, journal: j, out: out, early: map[int64]waiting{}, draws: sha256.New()}
}

// digest is that of all draws so far.
func (o *order) digest() string { return hex.EncodeToString(o.draws.Sum(nil)) }

// put takes a finished line; text may be nil, the journal has it.
func (o *order) put(index int64, at journal.Ref, draws [32]byte, text []byte) error {
	if _, twice := o.early[index]; twice || index < o.next {
		return &journal.DamageError{Path: o.out.path, Reason: fmt.Sprintf("line %d was answered twice", index+1)}
	}
	if o.kind == OrderFinished || index == o.next {
		if err := o.write(at, text); err != nil {
			return err
		}
	}
	if index != o.next {
		o.early[index] = waiting{at, draws}
		return nil
	}
	o.draws.Write(draws[:])
	for o.next++; ; o.next++ {
		w, ok := o.early[o.next]
		if !ok {
			return nil
		}
		if o.kind == OrderInput {
			if err := o.write(w.at, nil); err != nil {
				return err
			}
		}
		o.draws.Write(w.draws[:])
		delete(o.early, o.next)
	}
}

func (o *order) write(at journal.Ref, text []byte) (err error) {
	if text == nil {
		if text, err = o.journal.ReadLine(at); err != nil {
			return err
		}
	}
	return o.out.append(text)
}
