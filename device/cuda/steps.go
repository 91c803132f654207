//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// rowWords and tileWords are the sizes of Row and Tile (kernels/common.cuh) in words.
const rowWords, tileWords = 4, 4

// tables is what a step tells the kernels, as one piece of words: rows, then the page
// numbers of all sequences, then what the part at hand adds.
type tables struct {
	words []int32
	rows  int
	pages int // where the page numbers begin
	tiles int // where the tiles begin
	// few are the rows of sequences with one or two rows in the step, tiled those in tiles.
	nTiles    int
	nFew      int
	few       int  // where the numbers of the few rows begin
	longest   int  // positions that the longest of the few rows sees
	decodeAll bool // every row is the only one of its sequence, and none has failed
}

// newTables lists the rows of a batch. Rows of failed sequences are marked. With pageSize,
// page numbers and tiles for attention are added.
func newTables(b *device.Batch, pageSize int) *tables {
	n := len(b.Rows)
	t := &tables{rows: n, words: make([]int32, n*rowWords, n*rowWords+64)}
	for i, r := range b.Rows {
		w := t.words[i*rowWords:]
		w[0], w[1], w[2] = r.Seq, r.Pos, r.Token
		if b.Seqs[r.Seq].Err != nil {
			w[0] = -1
		}
	}
	if pageSize > 0 {
		t.attention(b, pageSize)
	}
	return t
}

// tileTokens is how many rows of a sequence are a tile, fewRows up to how many rows of a
// sequence go the way of decoding instead.
const tileTokens, fewRows = 16, 2

func (t *tables) attention(b *device.Batch, pageSize int) {
	t.pages = len(t.words)
	for i := range b.Seqs {
		s := &b.Seqs[i]
		if s.Err != nil || s.N == 0 {
			continue
		}
		last := int(b.Rows[s.First+s.N-1].Pos)
		at := int32(len(t.words) - t.pages)
		for r := s.First; r < s.First+s.N; r++ {
			t.words[r*rowWords+3] = at
		}
		t.words = append(t.words, s.Pages[:last/pageSize+1]...)
	}
	for len(t.words)%tileWords != 0 {
		t.words = append(t.words, 0)
	}
	t.tiles = len(t.words)
	for i := range b.Seqs {
		s := &b.Seqs[i]
		if s.Err != nil || s.N <= fewRows {
			continue
		}
		for r := 0; r < s.N; r += tileTokens {
			t.words = append(t.words, int32(s.First+r), int32(min(tileTokens, s.N-r)), int32(i), b.Rows[s.First+r].Pos)
			t.nTiles++
		}
	}
	t.few = len(t.words)
	twice := false
	for i := range b.Seqs {
		s := &b.Seqs[i]
		if s.Err != nil || s.N > fewRows {
			continue
		}
		twice = twice || s.N > 1
		for r := s.First; r < s.First+s.N; r++ {
			t.words = append(t.words, int32(r))
			t.longest = max(t.longest, int(b.Rows[r].Pos)+1)
			t.nFew++
		}
	}
	// Of two rows of one sequence the second reads what the first one puts into the pages.
	t.decodeAll = t.nTiles == 0 && t.nFew == len(b.Rows) && !twice
}

// add appends words and says where they begin.
func (t *tables) add(words ...int32) int {
	at := len(t.words)
	t.words = append(t.words, words...)
	return at
}

// leastTables are the bytes of memory for tables at first.
const leastTables = 256 << 10

// steps carries tables to the GPU: a ring of pinned buffers, one for each step that may
// still be on its way. The memory on the GPU is one: what reads it stands before the
// next copy in the stream.
type steps struct {
	slots [8]slot
	next  int
	mem   arena
}

// slot is pinned memory, and when what reads it has done so.
type slot struct {
	host *driver.HostBuffer
	used driver.Event
	busy bool
}

// free waits until nobody reads the slot, and makes sure of so many bytes. On the queue.
func (sl *slot) free(g *gpu, bytes int) error {
	if sl.busy {
		done, err := sl.used.Done()
		if err == nil && !done {
			err = sl.used.Synchronize()
		}
		if err != nil {
			return g.fail("waiting for a copy", err)
		}
		sl.busy = false
	}
	if sl.used == (driver.Event{}) {
		e, err := g.ctx.NewEvent(false)
		if err != nil {
			return g.fail("making an event", err)
		}
		sl.used = e
	}
	return g.hostRoom(&sl.host, bytes)
}

// drop gives it back; the stream has been waited for.
func (sl *slot) drop() {
	if sl.host != nil {
		sl.host.Free() //nolint:errcheck // the device is closing
		sl.host = nil
	}
	sl.used.Destroy() //nolint:errcheck // the device is closing
}

// brought are words on the host that are to be in the GPU's memory.
type brought struct {
	along    []int32    // which the launch takes along; nil: they come from
	from, to driver.Ptr // as the GPU sees it
	words    int
}

// copyMost is how many words a kernel copies sooner than the engine for copies, which takes longer to
// begin than a small copy takes.
const copyMost = 8 << 10

// upload copies the tables to the GPU and returns where they are. On the queue.
func (g *gpu) upload(t *tables) (driver.Ptr, error) {
	w, sl, err := g.stow(t)
	if err != nil {
		return 0, err
	}
	if w.words <= copyMost {
		err = g.kern.copyWords.run(g.stream, driver.Dim{X: 1}, 1024, 0, false, w.from, w.to, w.words)
	} else {
		err = g.stream.CopyInAsync(w.to, sl.host.Pointer(), int64(4*w.words))
	}
	if err != nil {
		return 0, g.fail("copying a step's tables", err)
	}
	return w.to, sl.sent(g)
}

// sent notes that what reads the slot stands in the stream.
func (sl *slot) sent(g *gpu) error {
	if err := sl.used.Record(g.stream); err != nil {
		return g.fail("recording an event", err)
	}
	sl.busy = true
	return nil
}

// room is where on the GPU the tables belong. On the queue.
func (s *steps) room(g *gpu, t *tables) (driver.Ptr, error) {
	s.mem.g, s.mem.what = g, "tables of a step"
	return s.mem.need(max(leastTables, int64(4*len(t.words))))
}

// stow puts the tables into a slot, from where somebody has to bring them. On the queue.
func (g *gpu) stow(t *tables) (w brought, sl *slot, err error) {
	s := &g.steps
	sl = &s.slots[s.next]
	s.next = (s.next + 1) % len(s.slots)
	if err := sl.free(g, 4*len(t.words)); err != nil {
		return w, nil, err
	}
	w.words = len(t.words)
	if w.to, err = s.room(g, t); err != nil {
		return w, nil, err
	}
	copy(driver.Slice[int32](sl.host), t.words)
	w.from, err = sl.host.Device()
	return w, sl, g.fail("finding pinned memory", err)
}

func (s *steps) drop() {
	for i := range s.slots {
		s.slots[i].drop()
	}
	s.mem.drop()
}
