//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// replies are rooms for the head's work for greedy steps: of one that is waited for and of one that
// was begun after it. What is in a room stays there when scratch memory goes to others: the answers, among
// which the step after finds its tokens, and the normalized rows that they were computed from.
//
//	on the GPU: [noted, ids, best, states, counts] [rows] of a step, twice; 0 1 2 …, 1 1 1 …
type replies struct {
	mem    driver.Ptr
	width  int // of a row
	host   *driver.HostBuffer
	there  driver.Ptr // host, as the GPU sees it
	owners [2]*pass   // whose answers are there, or will be
	next   int
}

// replyWords are those of a step's answers.
const replyWords = 5 * embedMost

// repliesBytes is the memory of all rooms.
func repliesBytes(width int) int { return 2*roomBytes(width) + 4*2*embedMost }

func roomBytes(width int) int { return 4 * (replyWords + embedMost*width) }

// replies makes the rooms of a head.
func (h *holding) replies(width int) (r replies, err error) {
	g := h.g
	list := make([]int32, 2*embedMost)
	for i := range embedMost {
		list[i], list[embedMost+i] = int32(i), 1
	}
	r.width = width
	if r.mem, err = h.take(device.Activations, "answers", int64(repliesBytes(width))); err != nil {
		return r, err
	}
	if err := g.copyIn("numbers of rows", r.rows(), bytesOf(list)); err != nil {
		return r, err
	}
	if err := g.hostRoom(&r.host, 4*2*replyWords); err != nil {
		return r, err
	}
	clear(r.host.Bytes())
	r.there, err = r.host.Device()
	return r, g.fail("finding pinned memory", err)
}

// room gives a pass the room that was used longer ago. On the queue.
func (r *replies) room(ps *pass) {
	ps.room, r.owners[r.next] = r.next, ps
	r.next = 1 - r.next
	at := r.mem.Offset(int64(ps.room * roomBytes(r.width)))
	ps.sp.answers(at, ps.n, 1)
	ps.sp.norm = at.Offset(4 * replyWords)
}

// at is where the answers of a pass come to on the host, as the GPU sees it.
func (r *replies) at(ps *pass) driver.Ptr { return r.there.Offset(int64(4 * replyWords * ps.room)) }

// tell puts the copy of a pass's answers to the host into the stream.
func (r *replies) tell(g *gpu, ps *pass, words int) error {
	return g.fail("copying answers", g.kern.copyWords.run(g.stream, driver.Dim{X: 1}, 256, 0, true,
		ps.sp.noted, r.at(ps), words))
}

// rows is the list of all rows, wanted that of one token wanted of each.
func (r *replies) rows() driver.Ptr   { return r.mem.Offset(int64(2 * roomBytes(r.width))) }
func (r *replies) wanted() driver.Ptr { return r.rows().Offset(4 * embedMost) }

// drop frees what is on the host.
func (r *replies) drop(g *gpu) {
	if r.host != nil {
		g.fail("freeing pinned memory", r.host.Free()) //nolint:errcheck // remembered
	}
	*r = replies{}
}

// greedy tells whether a batch asks for the likeliest token of each of its rows, which are one of each sequence, and nothing else.
func greedy(b *device.Batch) bool {
	if len(b.Outputs) != len(b.Rows) || len(b.Seqs) != len(b.Rows) {
		return false
	}
	for i, o := range b.Outputs {
		if o.Full || o.TopK != 1 || int(o.Row) != i || int(b.Rows[i].Seq) != i {
			return false
		}
	}
	return true
}
