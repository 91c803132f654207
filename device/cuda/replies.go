//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// replies are rooms for the answers of greedy steps, on the GPU and on the host: of one that is
// waited for and of one that was begun after it. They stay where they are, so that the step after
// finds its tokens there.
//
//	on the GPU: [noted, ids, best, states, counts of a step] × 2, rows 0 1 2 …, 1 1 1 …
type replies struct {
	mem    *memory
	host   *driver.HostBuffer
	there  driver.Ptr // host, as the GPU sees it
	owners [2]*pass   // whose answers are there, or will be
	next   int
}

const (
	replyWords   = 5 * embedMost
	repliesWords = 2*replyWords + 2*embedMost
)

// room gives a step the room that was used longer ago. On the queue.
func (r *replies) room(g *gpu, ps *pass) error {
	if r.mem == nil {
		list := make([]int32, 2*embedMost)
		for i := range embedMost {
			list[i], list[embedMost+i] = int32(i), 1
		}
		m, err := g.take(device.Activations, "answers", 4*repliesWords)
		if err != nil {
			return err
		}
		err = g.copyIn("numbers of rows", m.ptr.Offset(4*2*replyWords), bytesOf(list))
		if err == nil {
			err = g.hostRoom(&r.host, 4*2*replyWords)
		}
		if err == nil {
			clear(r.host.Bytes())
			r.there, err = r.host.Device()
			err = g.fail("finding pinned memory", err)
		}
		if err != nil {
			m.give()
			return err
		}
		r.mem = m
	}
	ps.room, r.owners[r.next] = r.next, ps
	r.next = 1 - r.next
	return nil
}

// at is a room on the GPU.
func (r *replies) at(room int) driver.Ptr { return r.mem.ptr.Offset(int64(4 * replyWords * room)) }

// tell puts the copy of a room's first words to the host into the stream.
func (r *replies) tell(g *gpu, room, words int) error {
	return g.fail("copying answers", g.kern.copyWords.run(g.stream, driver.Dim{X: 1}, 256, 0, true,
		r.at(room), r.there.Offset(int64(4*replyWords*room)), words))
}

// rows is the list of all rows, wanted that of one token wanted of each.
func (r *replies) rows() driver.Ptr   { return r.mem.ptr.Offset(4 * 2 * replyWords) }
func (r *replies) wanted() driver.Ptr { return r.rows().Offset(4 * embedMost) }

func (r *replies) drop(g *gpu) {
	r.mem.give()
	if r.host != nil {
		g.fail("closing", r.host.Free()) //nolint:errcheck // remembered
	}
	*r = replies{}
}

// greedy tells whether a batch asks for the likeliest token of each of its rows and nothing else.
func greedy(b *device.Batch) bool {
	if len(b.Outputs) != len(b.Rows) || len(b.Seqs) != len(b.Rows) {
		return false
	}
	for i, o := range b.Outputs {
		if o.Full || o.TopK != 1 || int(o.Row) != i {
			return false
		}
	}
	return true
}
