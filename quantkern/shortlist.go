package quantkern

import (
	"math"
	"slices"
)

// Shortlist collects the rows of a Screen that can be among the k largest
// products with one activation row. Workers fill one each, over rows of their
// own; Merge brings them together.
type Shortlist struct {
	k      int
	lows   []float32 // the k largest lower bounds so far, a heap with the smallest on top
	floor  float32   // the k-th largest of them; -Inf while there are fewer
	ids    []int32
	uppers []float32
	best   []float32 // upper bounds of what Best found
	limit  int       // length at which those below floor are thrown out

	top      float32 // the largest upper bound offered
	leader   int32   // its row
	overtook bool    // since Leader was asked
}

// leastList is the length from which a Shortlist is worth cleaning.
const leastList = 1024

// Reset empties the list; k is at least 1.
func (l *Shortlist) Reset(k int) {
	l.k, l.floor, l.limit = k, float32(math.Inf(-1)), leastList
	l.lows, l.ids, l.uppers = l.lows[:0], l.ids[:0], l.uppers[:0]
	l.top, l.overtook = float32(math.Inf(-1)), false
}

// Bytes is the memory held.
func (l *Shortlist) Bytes() int { return 4 * (cap(l.lows) + cap(l.ids) + cap(l.uppers) + cap(l.best)) }

// Offer takes the upper bounds of rows r0, r0+1, … with activation row i, which
// Upper gave. A list takes one kind of bounds.
func (l *Shortlist) Offer(s *Screen, a *ScreenActs, b Bounds, i, r0 int, uppers []float32) {
	if active.maxOf != nil && whole(len(uppers)) && active.maxOf(&uppers[0], uintptr(len(uppers)/Lanes)) < l.floor {
		return // as nearly always
	}
	widths := a.of(b).widths[2*i : 2*i+2]
	for j, u := range uppers[:min(len(uppers), s.rows-r0)] {
		if u < l.floor {
			continue
		}
		l.ids = append(l.ids, int32(r0+j))
		l.uppers = append(l.uppers, u)
		if u > l.top {
			l.top, l.leader, l.overtook = u, int32(r0+j), true
		}
		l.raise(s.lower(r0+j, u, widths, b))
		if len(l.ids) >= l.limit {
			l.clean(l.floor)
			l.limit = max(leastList, 2*len(l.ids))
		}
	}
}

// Refine bounds the rows of a list again, as closely as s can, with activation row i
// in 16 bits, and keeps those that can be among the k largest.
func (l *Shortlist) Refine(s *Screen, a *ScreenActs, i int) {
	l.clean(l.floor)
	ids := l.ids
	slices.Sort(ids)
	l.floor, l.lows = float32(math.Inf(-1)), l.lows[:0]
	one, all := ScreenActs{rows: 1, cols: a.cols, fine: a.fine.one(i)}, Bounds{Bits: MostBits}
	var uppers [screenRows]float32
	group := -1
	for j, id := range ids {
		if g := int(id) / screenRows; g != group {
			group = g
			s.Upper(uppers[:], screenRows, g, g+1, &one, all)
		}
		u := uppers[id%screenRows]
		l.uppers[j] = u
		l.raise(s.lower(int(id), u, one.fine.widths, all))
	}
}

// Best appends the k rows of the highest upper bounds to ids, which is where
// exact products tell the most (see Know).
func (l *Shortlist) Best(ids []int32) []int32 {
	first := len(ids)
	for i, u := range l.uppers {
		if len(ids)-first < l.k {
			ids = append(ids, l.ids[i])
			l.best = append(l.best[:len(ids)-first-1], u)
		} else if at := len(l.best) - 1; u > l.best[at] {
			ids[first+at], l.best[at] = l.ids[i], u
		}
		// In descending order, which is short or already so.
		for j := len(l.best) - 1; j > 0 && l.best[j] > l.best[j-1]; j-- {
			l.best[j], l.best[j-1] = l.best[j-1], l.best[j]
			ids[first+j], ids[first+j-1] = ids[first+j-1], ids[first+j]
		}
	}
	return ids
}

// Leader is the row of the largest upper bound offered; fresh is false if it was at the
// last call. Where bounds are wide and one row is wanted, its exact product (Know) spares
// the list most of the rows that follow.
func (l *Shortlist) Leader() (id int32, fresh bool) {
	fresh, l.overtook = l.overtook, false
	return l.leader, fresh
}

// Know drops rows that are below an exact product, the least of k of them;
// step is that of the activation row's bounds. It holds until Refine.
func (l *Shortlist) Know(least, step float32) {
	below := math.Nextafter32(float32(float64(least)/float64(step)), float32(math.Inf(-1)))
	l.floor = max(l.floor, below)
	l.clean(l.floor)
}

// Len is how many rows can be among the k largest.
func (l *Shortlist) Len() int {
	l.clean(l.floor)
	return len(l.ids)
}

// raise keeps low if it is among the k largest.
func (l *Shortlist) raise(low float32) {
	h := l.lows
	switch {
	case len(h) < l.k:
		h = append(h, low)
		for i := len(h) - 1; i > 0 && h[i] < h[(i-1)/2]; i = (i - 1) / 2 {
			h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		}
		l.lows = h
	case low > h[0]:
		h[0] = low
		for i := 0; ; {
			child := 2*i + 1
			if child+1 < len(h) && h[child+1] < h[child] {
				child++
			}
			if child >= len(h) || h[i] <= h[child] {
				break
			}
			h[i], h[child] = h[child], h[i]
			i = child
		}
	}
	if len(l.lows) == l.k {
		l.floor = max(l.floor, l.lows[0])
	}
}

// clean throws out the rows whose upper bounds are below floor.
func (l *Shortlist) clean(floor float32) {
	n := 0
	for i, u := range l.uppers {
		if u >= floor {
			l.ids[n], l.uppers[n] = l.ids[i], u
			n++
		}
	}
	l.ids, l.uppers = l.ids[:n], l.uppers[:n]
}

// Merge adds what other, a list of the same k over other rows, holds.
func (l *Shortlist) Merge(other *Shortlist) {
	for _, low := range other.lows {
		l.raise(low)
	}
	l.ids = append(l.ids, other.ids...)
	l.uppers = append(l.uppers, other.uppers...)
}

// Rows returns the rows that can be among the k largest of all rows offered,
// in ascending order; the slice is valid until the next call.
func (l *Shortlist) Rows() []int32 {
	l.clean(l.floor)
	// The bounds no longer matter: only the ids are put in order.
	slices.Sort(l.ids)
	l.uppers = l.uppers[:0]
	return l.ids
}
