package batch

import (
	"fmt"

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
	early   map[int64]journal.Ref
}

// put takes a finished line; text may be nil, the journal has it.
func (o *order) put(index int64, at journal.Ref, text []byte) error {
	if _, twice := o.early[index]; twice || index < o.next {
		return &journal.DamageError{Path: o.out.path, Reason: fmt.Sprintf("line %d was answered twice", index+1)}
	}
	if o.kind == OrderFinished || index == o.next {
		if err := o.write(at, text); err != nil {
			return err
		}
	}
	if index != o.next {
		o.early[index] = at
		return nil
	}
	for o.next++; ; o.next++ {
		at, ok := o.early[o.next]
		if !ok {
			return nil
		}
		if o.kind == OrderInput {
			if err := o.write(at, nil); err != nil {
				return err
			}
		}
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
