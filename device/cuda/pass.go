//go:build cuda

package cuda

import (
	"unsafe"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// pass is the head's work for a step, on its way.
type pass struct {
	n, most  int
	screened bool
	sp       headSpace
	room     int // of replies; noRoom: the answers are in scratch memory
	worked   *interval
}

const noRoom = -1

// begin puts the head's work for what l asks into the stream, and the copy of its answers. early is
// an interval that nobody has asked for yet, else nil. On the queue.
func (p *head) begin(b *device.Batch, h *hidden, l *logits, done device.Worked, early *interval) (*pass, error) {
	g, n := p.g, len(l.computed)
	ps := &pass{n: n, most: l.most, screened: p.screenable(l), room: noRoom, worked: early}
	whole := n
	if ps.screened {
		whole = 1
	}
	var err error
	if ps.sp, err = p.place(n, l.most, whole, ps.screened); err != nil {
		return nil, err
	}
	words := 4 * answerWords(n, l.most, ps.screened)
	if n <= embedMost && n == len(b.Rows) && greedy(b) {
		if err := g.replies.room(g, ps); err != nil {
			return nil, err
		}
		ps.sp.answers(g.replies.at(ps.room), n, 1)
	} else if err := g.hostRoom(&g.answers, words); err != nil {
		return nil, err
	}
	iv := early
	if iv == nil {
		iv = &interval{done: done}
	}
	ps.worked, err = g.time(iv, early != nil, func() error {
		at, want, err := p.asked(b, l, ps)
		if err != nil {
			return err
		}
		in, err := p.feed(at, h, &ps.sp, n)
		if err != nil {
			return err
		}
		if !ps.screened {
			err = p.full(in, &ps.sp, l.most, want)
		} else {
			err = p.bound(ps, want)
		}
		if err != nil {
			return err
		}
		if ps.room != noRoom {
			return g.replies.tell(g, ps.room, words/4)
		}
		return g.fail("copying answers", g.stream.CopyOutAsync(p.host(ps), ps.sp.noted, int64(words)))
	})
	return ps, err
}

// asked is where the rows that are to be answered and how many tokens each wants are on the GPU.
func (p *head) asked(b *device.Batch, l *logits, ps *pass) (rows, wanted driver.Ptr, err error) {
	if ps.room != noRoom {
		return p.g.replies.rows(), p.g.replies.wanted(), nil
	}
	t := &tables{rows: ps.n}
	for _, o := range l.computed {
		t.add(b.Outputs[o].Row)
	}
	from := t.add(l.wanted...)
	at, err := p.g.upload(t)
	return at, at.Offset(int64(4 * from)), err
}

// feed takes n rows from h and normalizes them.
func (p *head) feed(list driver.Ptr, h *hidden, sp *headSpace, n int) (input, error) {
	g := p.g
	err := g.kern.takeRows.run(g.stream, driver.Dim{X: n}, 256, 0, false, list, h.values(), h.bad(), sp.x, sp.noted, p.hidden)
	if err != nil {
		return input{}, g.fail("taking rows", err)
	}
	return g.feed(p.out, &space{norm: sp.norm, q: sp.q, s: sp.s, sum: sp.sum}, sp.x, p.hidden, n, p.norm, true)
}

// bound screens all rows of a pass.
func (p *head) bound(ps *pass, want driver.Ptr) error {
	sp := &ps.sp
	for i := 0; i < ps.n; i += screenRows {
		row := func(from driver.Ptr, width int) driver.Ptr { return from.Offset(int64(4 * i * width)) }
		err := p.screen.run(p.g, &sp.screenSpace, row(sp.norm, p.hidden), min(screenRows, ps.n-i), ps.most,
			row(want, 1), row(sp.ids, ps.most), row(sp.best, ps.most), row(sp.states, 1), row(sp.counts, 1))
		if err != nil {
			return err
		}
	}
	return nil
}

// host is where the answers of a pass come to.
func (p *head) host(ps *pass) unsafe.Pointer {
	if ps.room == noRoom {
		return p.g.answers.At(0)
	}
	return p.g.replies.host.At(4 * replyWords * ps.room)
}

// current tells whether a pass that was begun early still has its room.
func (ps *pass) current(g *gpu) bool { return g.replies.owners[ps.room] == ps }

// finish waits for a pass and copies out what it answers. entries say which of its answers are
// those that l asks for; nil: all, in their order. h are the rows of b.
func (p *head) finish(b *device.Batch, h *hidden, l *logits, ps *pass, entries []int32) error {
	g, n := p.g, ps.n
	if err := g.wait(ps.worked, "computing answers"); err != nil {
		return err
	}
	words := unsafe.Slice((*int32)(p.host(ps)), answerWords(n, ps.most, ps.screened))
	if g.early != nil && g.early.after == ps {
		g.early.hears(words[n : 2*n])
	}
	l.take(words, ps, entries)
	for i := range l.computed {
		if full := l.full(i); full != nil {
			if err := g.ctx.CopyOut(bytesOf(full), ps.sp.logits.Offset(int64(4*i*p.vocab))); err != nil {
				return g.fail("copying logits", err)
			}
		}
	}
	if !ps.screened {
		g.screened.full.Add(uint64(len(l.computed)))
		return nil
	}
	var left []int32 // computed outputs that bounds could not answer
	rescored := 0
	states := words[n*(1+2*ps.most):]
	for i := range l.computed {
		e := entry(entries, i)
		rescored += int(states[n+e])
		if states[e] != 0 {
			left = append(left, int32(i))
		}
	}
	g.screened.rescored.Add(uint64(rescored))
	g.screened.screened.Add(uint64(len(l.computed) - len(left)))
	g.screened.full.Add(uint64(len(left)))
	g.screened.fallback.Add(uint64(len(left)))
	if len(left) == 0 {
		return nil
	}
	return p.again(b, h, l, left)
}

func entry(entries []int32, i int) int {
	if entries == nil {
		return i
	}
	return int(entries[i])
}

// again answers outputs that bounds could not, from all of their logits. Scratch memory has had
// other uses since they were screened.
func (p *head) again(b *device.Batch, h *hidden, l *logits, left []int32) error {
	if err := h.own(); err != nil {
		return err
	}
	g, n := p.g, len(left)
	sub := &logits{vocab: l.vocab, most: l.most, answers: l.answers, noted: make([]uint32, n)}
	for _, i := range left {
		sub.computed, sub.wanted = append(sub.computed, l.computed[i]), append(sub.wanted, l.wanted[i])
	}
	ps := &pass{n: n, most: l.most, room: noRoom}
	var err error
	if ps.sp, err = p.place(n, l.most, 1, false); err != nil {
		return err
	}
	words := answerWords(n, l.most, false)
	if err := g.hostRoom(&g.answers, 4*words); err != nil {
		return err
	}
	at, want, err := p.asked(b, sub, ps)
	if err != nil {
		return err
	}
	if _, err := p.feed(at, h, &ps.sp, n); err != nil {
		return err
	}
	for i := range n {
		one, row := headSpace{logits: ps.sp.logits}, int64(4*i)
		one.noted, one.ids, one.best = ps.sp.noted.Offset(row), ps.sp.ids.Offset(row*int64(l.most)), ps.sp.best.Offset(row*int64(l.most))
		in := input{rows: 1, cols: p.hidden, x: ps.sp.norm.Offset(row * int64(p.hidden))}
		if err := p.full(in, &one, l.most, want.Offset(row)); err != nil {
			return err
		}
	}
	if err := g.stream.CopyOutAsync(p.host(ps), ps.sp.noted, int64(4*words)); err != nil {
		return g.fail("copying answers", err)
	}
	if err := g.stream.Synchronize(); err != nil {
		return g.fail("computing answers", err)
	}
	sub.take(unsafe.Slice((*int32)(p.host(ps)), words), ps, nil)
	for i, of := range left {
		l.noted[of] = sub.noted[i]
	}
	return nil
}
