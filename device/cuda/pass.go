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
	bits     int   // that were read for the rows screened last
	spared   int64 // bytes of the copy that were not read, for each row
	sp       headSpace
	want     driver.Ptr // how many tokens each row wants
	room     int        // of replies; noRoom: the answers are in scratch memory
	worked   *interval
}

const noRoom = -1

// tooMany is the state of a row with too many left of its bounds (kernels/screen_finish.cu).
const tooMany = 2

// pass prepares the head's work for what l asks. run puts it into the stream, and the copy of its
// answers. On the queue.
func (p *head) pass(b *device.Batch, h *hidden, l *logits) (ps *pass, run func() error, err error) {
	g, n := p.g, len(l.computed)
	ps = &pass{n: n, most: l.most, screened: p.screenable(l), room: noRoom}
	whole := n
	if ps.screened {
		whole = 1
	}
	if ps.sp, err = p.place(n, l.most, whole, ps.screened); err != nil {
		return nil, nil, err
	}
	words := 4 * answerWords(n, l.most, ps.screened)
	if n <= embedMost && n == len(b.Rows) && greedy(b) {
		p.rooms.room(ps)
	} else if err := g.hostRoom(&g.answers, words); err != nil {
		return nil, nil, err
	}
	return ps, func() error {
		ask := p.asked
		if ps.screened {
			ask = p.bound
		}
		if err := ask(b, h, l, ps); err != nil {
			return err
		}
		if ps.room != noRoom && ps.screened {
			return nil // told already
		}
		if ps.room != noRoom {
			return p.rooms.tell(g, ps, words/4)
		}
		return g.fail("copying answers", g.stream.CopyOutAsync(p.host(ps), ps.sp.noted, int64(words)))
	}, nil
}

// asked computes all logits of what l asks for.
func (p *head) asked(b *device.Batch, h *hidden, l *logits, ps *pass) error {
	g, sp, list := p.g, &ps.sp, p.rooms.rows()
	if ps.room != noRoom {
		ps.want = p.rooms.wanted()
	} else {
		t := &tables{rows: ps.n}
		for _, o := range l.computed {
			t.add(b.Outputs[o].Row)
		}
		from := t.add(l.wanted...)
		var err error
		if list, err = g.upload(t); err != nil {
			return err
		}
		ps.want = list.Offset(int64(4 * from))
	}
	if err := p.take(list, h.values(), h.bad(), sp.x, sp.noted, ps.n); err != nil {
		return err
	}
	in, err := g.feed(p.out, &space{norm: sp.norm, q: sp.q, s: sp.s, sum: sp.sum}, sp.x, p.hidden, ps.n, p.norm, true)
	if err != nil {
		return err
	}
	return p.full(in, sp, l.most, ps.want)
}

// take copies n rows, and what was noted of them.
func (p *head) take(list, values, bad, to, noted driver.Ptr, n int) error {
	return p.g.fail("taking rows", p.g.kern.takeRows.run(p.g.stream, driver.Dim{X: n}, 256, 0, false, list, values, bad, to, noted, p.hidden))
}

// bound screens what l asks for.
func (p *head) bound(b *device.Batch, h *hidden, l *logits, ps *pass) error {
	sp := &ps.sp
	if ps.want = sp.wanted; ps.room != noRoom {
		ps.want = p.rooms.wanted()
	}
	for i := 0; i < ps.n; i += screenRows {
		row := func(from driver.Ptr, width int) driver.Ptr { return from.Offset(int64(4 * i * width)) }
		from := taken{x: h.values(), bad: h.bad(), norm: p.norm}
		for j := i; j < min(ps.n, i+screenRows); j++ {
			from.take(b.Outputs[l.computed[j]].Row, l.wanted[j])
		}
		ps.bits = p.screen.bits(p.g, from.n, ps.most)
		ps.spared += int64(from.n) * p.screen.spared(ps.bits)
		to := places{row(sp.norm, p.hidden), row(sp.noted, 1), row(sp.wanted, 1), row(sp.ids, ps.most), row(sp.best, ps.most), row(sp.states, 1), row(sp.counts, 1), 0}
		if ps.room != noRoom {
			to.told = p.rooms.at(ps)
		}
		if err := p.screen.run(p.g, &sp.screenSpace, &from, ps.most, ps.bits, &to); err != nil {
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
	rescored, failed := 0, false
	states := words[n*(1+2*ps.most):]
	for i := range l.computed {
		e := entry(entries, i)
		rescored += int(states[n+e])
		if states[e] != 0 {
			left = append(left, int32(i))
			failed = failed || states[e] == tooMany
		}
	}
	if n <= screenRows {
		p.screen.learn(ps.bits, rescored, failed)
	}
	g.screened.rescored.Add(uint64(rescored))
	g.screened.spared.Add(uint64(ps.spared) / uint64(n) * uint64(len(l.computed)-len(left)))
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
// scratch memory may have had other uses since: its rows, which are in the room, are taken once more.
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
			err = p.take(list, ps.sp.norm, ps.sp.noted, now.sp.norm, now.sp.noted, n)
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
