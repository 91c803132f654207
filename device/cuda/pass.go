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
	want     driver.Ptr // how many tokens each row wants
	room     int        // of replies; noRoom: the answers are in scratch memory
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
		p.rooms.room(ps)
	} else if err := g.hostRoom(&g.answers, words); err != nil {
		return nil, err
	}
	iv := early
	if iv == nil {
		iv = &interval{done: done}
	}
	ps.worked, err = g.time(iv, early != nil, func() error {
		at, err := p.asked(b, l, ps)
		if err != nil {
			return err
		}
		in, err := p.feed(at, h.values(), h.bad(), &ps.sp, n)
		if err != nil {
			return err
		}
		if !ps.screened {
			err = p.full(in, &ps.sp, l.most, ps.want)
		} else {
			err = p.bound(ps)
		}
		if err != nil {
			return err
		}
		if ps.room != noRoom {
			return p.rooms.tell(g, ps, words/4)
		}
		return g.fail("copying answers", g.stream.CopyOutAsync(p.host(ps), ps.sp.noted, int64(words)))
	})
	return ps, err
}

// asked is where the rows that are to be answered are on the GPU; it notes where it stands how many
// tokens each wants.
func (p *head) asked(b *device.Batch, l *logits, ps *pass) (driver.Ptr, error) {
	if ps.room != noRoom {
		ps.want = p.rooms.wanted()
		return p.rooms.rows(), nil
	}
	t := &tables{rows: ps.n}
	for _, o := range l.computed {
		t.add(b.Outputs[o].Row)
	}
	from := t.add(l.wanted...)
	at, err := p.g.upload(t)
	ps.want = at.Offset(int64(4 * from))
	return at, err
}

// feed takes n rows, with what was noted of them, and normalizes them.
func (p *head) feed(list, values, bad driver.Ptr, sp *headSpace, n int) (input, error) {
	g := p.g
	err := g.kern.takeRows.run(g.stream, driver.Dim{X: n}, 256, 0, false, list, values, bad, sp.x, sp.noted, p.hidden)
	if err != nil {
		return input{}, g.fail("taking rows", err)
	}
	return g.feed(p.out, &space{norm: sp.norm, q: sp.q, s: sp.s, sum: sp.sum}, sp.x, p.hidden, n, p.norm, true)
}

// bound screens all rows of a pass.
func (p *head) bound(ps *pass) error {
	sp := &ps.sp
	for i := 0; i < ps.n; i += screenRows {
		row := func(from driver.Ptr, width int) driver.Ptr { return from.Offset(int64(4 * i * width)) }
		err := p.screen.run(p.g, &sp.screenSpace, row(sp.norm, p.hidden), min(screenRows, ps.n-i), ps.most,
			row(ps.want, 1), row(sp.ids, ps.most), row(sp.best, ps.most), row(sp.states, 1), row(sp.counts, 1))
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
	return p.rooms.host.At(4 * replyWords * ps.room)
}

// current tells whether a pass still has its room.
func (p *head) current(ps *pass) bool { return p.rooms.owners[ps.room] == ps }

// finish waits for a pass and copies out what it answers. entries say which of its answers are
// those that l asks for; nil: all, in their order.
func (p *head) finish(l *logits, ps *pass, entries []int32) error {
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
	return p.again(l, ps, left, entries)
}

func entry(entries []int32, i int) int {
	if entries == nil {
		return i
	}
	return int(entries[i])
}

// again answers outputs that bounds could not, from all of their logits. Of a pass with a room
// scratch memory may have had other uses since: its rows are normalized once more.
func (p *head) again(l *logits, ps *pass, left, entries []int32) error {
	g, n := p.g, len(left)
	sub := &logits{vocab: l.vocab, most: l.most, answers: l.answers, noted: make([]uint32, n)}
	from := make([]int32, n) // which rows of the pass
	for i, of := range left {
		sub.computed, sub.wanted = append(sub.computed, l.computed[of]), append(sub.wanted, l.wanted[of])
		from[i] = int32(entry(entries, int(of)))
	}
	now, rows := ps, from // where answers go
	if ps.room != noRoom {
		now, rows = &pass{n: n, most: l.most, room: noRoom, want: ps.want}, nil
		list, err := g.upload(&tables{rows: n, words: from})
		if err == nil {
			now.sp, err = p.place(n, l.most, 1, false)
		}
		if err == nil {
			_, err = p.feed(list, ps.sp.x, ps.sp.noted, &now.sp, n)
		}
		if err != nil {
			return err
		}
	}
	sp := &now.sp
	for i := range n {
		at := int64(4 * entry(rows, i))
		one := headSpace{logits: sp.logits, noted: sp.noted.Offset(at), ids: sp.ids.Offset(at * int64(l.most)), best: sp.best.Offset(at * int64(l.most))}
		in := input{rows: 1, cols: p.hidden, x: sp.norm.Offset(at * int64(p.hidden))}
		if err := p.full(in, &one, l.most, now.want.Offset(at)); err != nil {
			return err
		}
	}
	words := answerWords(now.n, l.most, false)
	if err := g.hostRoom(&g.answers, 4*words); err != nil {
		return err
	}
	if err := g.stream.CopyOutAsync(g.answers.At(0), sp.noted, int64(4*words)); err != nil {
		return g.fail("copying answers", err)
	}
	if err := g.stream.Synchronize(); err != nil {
		return g.fail("computing answers", err)
	}
	sub.take(driver.Slice[int32](g.answers), now, rows)
	for i, of := range left {
		l.noted[of] = sub.noted[i]
	}
	return nil
}
