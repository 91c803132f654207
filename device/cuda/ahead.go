//go:build cuda

package cuda

import (
	"slices"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// early is a step that was begun before it was asked for: while the host looks at the tokens of
// one step, draws, composes and asks, the GPU is at the next (device.Batch.Next).
//
//	stream   …head 7 | embed 8  blocks 8  head 8 | embed 9  blocks 9  head 9 | …
//	host     begins 8 (its tokens: where head 7 leaves them), waits for head 7 ─▶ draws, asks for 8
//	         ─▶ it is on its way: begins 9, waits for head 8 ─▶ …
//
// Each Forward compares what it is asked with what was foreseen, tokens and pages included. What
// agrees is handed out, also where only some of the sequences go on, because a row does
// not depend on its neighbours; else the step is forgotten and done as asked. What a forgotten
// step wrote to pages lies at positions that nobody has reached: all that reads or writes them
// comes later in the stream. Used on the queue alone.
type early struct {
	embed  *embed
	blocks *blocks
	head   *head
	ran    uint64 // blocks.ran after it

	t     *tables  // pages of its rows and their positions
	seqs  []uint64 // of its rows
	after *pass    // whose answers are its tokens, ...
	from  []int32  // ... which of these
	ids   []int32  // the tokens, when they are known

	h                *hidden
	embedded, passed *interval
	pass             *pass

	taken   []int32 // when it was asked for: which of its rows were
	through bool    // by the blocks, too
}

// foresee begins the step after b, whose head's work is ps, where b says what it will be and all parts
// are here. What goes wrong concerns nobody yet.
func (p *head) foresee(b *device.Batch, h *hidden, l *logits, ps *pass, entries []int32) {
	g := p.g
	g.forget()
	if !b.Next || ps.room == noRoom || !greedy(b) ||
		h.embed == nil || h.blocks == nil || h.embed.table == nil || h.embed.hidden != p.hidden {
		return
	}
	a := &early{embed: h.embed, blocks: h.blocks, head: p, after: ps}
	next, ok := a.next(b, l, entries)
	if !ok {
		return
	}
	h.Release() // the pass has its rows; graphs know the buffer
	if err := a.begin(next); err != nil {
		if a.h != nil {
			a.h.Release()
		}
		return
	}
	g.begun++
	g.early = a
}

// next is the step after b; false where no sequence has pages for it.
func (a *early) next(b *device.Batch, l *logits, entries []int32) (*device.Batch, bool) {
	kv, n := a.blocks.kv, len(l.computed)
	next := &device.Batch{Rows: make([]device.Row, 0, n), Seqs: make([]device.Seq, 0, n), Outputs: make([]device.Output, 0, n)}
	a.seqs, a.from = make([]uint64, 0, n), make([]int32, 0, n)
	for i, o := range l.computed {
		// Output o is that of row o and sequence o.
		s, pos, at := &b.Seqs[o], b.Rows[o].Pos+1, len(next.Rows)
		page := int(pos) / kv.PageSize
		if page >= len(s.Pages) || s.Pages[page] < 0 || int(s.Pages[page]) >= kv.Pages {
			continue
		}
		a.seqs, a.from = append(a.seqs, s.ID), append(a.from, int32(entry(entries, i)))
		next.Rows = append(next.Rows, device.Row{Seq: int32(at), Pos: pos, Token: a.from[at]})
		next.Seqs = append(next.Seqs, device.Seq{ID: s.ID, First: at, N: 1, Pages: s.Pages})
		next.Outputs = append(next.Outputs, device.Output{Row: int32(at), TopK: 1})
	}
	if len(next.Rows) == 0 {
		return nil, false
	}
	a.t = newTables(next, kv.PageSize)
	return next, true
}

// begin puts the step into the stream.
func (a *early) begin(next *device.Batch) error {
	g, n := a.head.g, a.t.rows
	var err error
	if a.h, err = g.hidden(n, a.embed.hidden); err != nil {
		return err
	}
	a.h.embed, a.h.blocks = a.embed, a.blocks
	var w brought
	var sl *slot
	// The way to the host's memory takes longer than all else that the embedding does.
	if n := len(a.t.words); n <= embedWords {
		w.along, w.words = a.t.words, n
		w.to, err = g.steps.room(g, a.t)
	} else {
		w, sl, err = g.stow(a.t)
	}
	if err != nil {
		return err
	}
	worked, err := g.timePieces(n,
		func() error {
			if err := a.embed.lookup(a.t, a.after.sp.ids, a.h, w); err != nil {
				return err
			}
			if sl == nil {
				return nil
			}
			return sl.sent(g)
		},
		func() error { return a.blocks.runAt(a.t, w.to, a.h) },
		func() error {
			ps, answer, err := a.head.pass(next, a.h, newLogits(next, a.head.vocab))
			if err != nil {
				return err
			}
			a.pass = ps
			return answer()
		})
	if err != nil {
		return err
	}
	a.ran = a.blocks.ran
	a.embedded, a.passed, a.pass.worked = worked[0], worked[1], worked[2]
	return nil
}

// forget lets the step go that nobody has asked for.
func (g *gpu) forget() {
	if g.early != nil {
		g.early.h.Release()
		g.early = nil
	}
}

// hears of the answers of the pass before.
func (a *early) hears(answers []int32) {
	a.ids = make([]int32, len(a.from))
	for i, e := range a.from {
		a.ids[i] = answers[e]
	}
}

// claim gives the step that was begun early, if it is what is asked of p; else it is forgotten.
func (g *gpu) claim(p *embed, b *device.Batch) *hidden {
	a := g.early
	if a == nil || a.embed != p || !a.take(b) {
		g.forget()
		return nil
	}
	g.asked++
	g.early, a.h.given = nil, a
	return a.h
}

// take finds the rows of b among those of the step, in their order.
func (a *early) take(b *device.Batch) bool {
	if a.ids == nil || a.ran != a.blocks.ran || len(b.Rows) == 0 || !greedy(b) {
		return false
	}
	a.taken = make([]int32, 0, len(b.Rows))
	at := 0
	for i := range b.Rows {
		for at < len(a.seqs) && a.seqs[at] != b.Seqs[i].ID {
			at++
		}
		if at == len(a.seqs) || b.Seqs[i].Err != nil || !a.agrees(at, b, i) {
			return false
		}
		a.taken = append(a.taken, int32(at))
		at++
	}
	return true
}

// agrees tells whether row i of b, which is alone of its sequence, is the step's row at.
func (a *early) agrees(at int, b *device.Batch, i int) bool {
	w, s := a.t.words[at*rowWords:], &b.Seqs[i]
	row := b.Rows[i]
	pages := int(row.Pos)/a.blocks.kv.PageSize + 1
	return s.First == i && a.seqs[at] == s.ID && w[1] == row.Pos && a.ids[at] == row.Token &&
		len(s.Pages) >= pages && slices.Equal(s.Pages[:pages], a.t.words[a.t.pages+int(w[3]):][:pages])
}

// same tells whether b is still what the step was taken for. Sequences may have failed since.
func (a *early) same(b *device.Batch) bool {
	if len(b.Rows) != len(a.taken) || !greedy(b) {
		return false
	}
	for i, at := range a.taken {
		if !a.agrees(int(at), b, i) {
			return false
		}
	}
	return true
}

// goesThrough tells whether p's work for b is on its way. a may be nil.
func (a *early) goesThrough(p *blocks, b *device.Batch) bool {
	if a == nil || a.through || a.blocks != p || a.ran != p.ran || !a.same(b) {
		return false
	}
	a.through = true
	return true
}

// endsWith gives p's work for b, if it is on its way, and which of its answers those of l are. a may be nil.
func (a *early) endsWith(p *head, b *device.Batch, l *logits) (*pass, []int32) {
	if a == nil || !a.through || a.head != p || !p.current(a.pass) || !a.same(b) {
		return nil, nil
	}
	entries := make([]int32, len(l.computed))
	for i, o := range l.computed {
		entries[i] = a.taken[o] // greedy: output o is that of row o
	}
	return a.pass, entries
}

// own makes the rows of a step that was begun early like any others, for whom was not foreseen.
func (h *hidden) own() error {
	a := h.given
	if a == nil {
		return nil
	}
	h.given = nil
	t := &tables{rows: len(a.taken)}
	if !a.through {
		// The blocks have been over the values.
		h.rows, h.blocks = len(a.taken), nil
		for _, at := range a.taken {
			t.add(0, 0, a.ids[at], 0)
		}
		return a.embed.lookup(t, 0, h, brought{})
	}
	if len(a.taken) == h.rows {
		return nil
	}
	g := h.g
	to, err := g.hidden(len(a.taken), h.width)
	if err != nil {
		return err
	}
	t.add(a.taken...)
	at, err := g.upload(t)
	if err == nil {
		err = g.kern.takeRows.run(g.stream, driver.Dim{X: t.rows}, 256, 0, false, at, h.values(), h.bad(), to.values(), to.bad(), h.width)
	}
	if err != nil {
		to.Release()
		return g.fail("taking rows", err)
	}
	g.pool.put(h.m)
	h.m, h.rows = to.m, to.rows
	return nil
}
