package stages

import "fmt"

// pages hands out the KV pages of the pipeline. A page number is valid for
// every block (see device.KV), so a sequence takes its pages once. Used by the
// scheduler's goroutine alone.
type pages struct {
	size  int     // positions a page
	total int     // pages there are
	free  []int32 // a stack, so that pages that were written before are used first
}

func newPages(total, size int) *pages {
	p := &pages{size: size, total: total, free: make([]int32, total)}
	for i := range p.free {
		p.free[i] = int32(total - 1 - i)
	}
	return p
}

// need is how many pages hold the given number of positions.
func (p *pages) need(positions int) int { return ceilDiv(positions, p.size) }

// take gives pages for positions, or nil when there are too few.
func (p *pages) take(positions int) []int32 {
	n := p.need(positions)
	rest := len(p.free) - n
	if rest < 0 {
		return nil
	}
	table := make([]int32, n)
	for i := range table {
		table[i] = p.free[len(p.free)-1-i]
	}
	p.free = p.free[:rest]
	return table
}

// give takes pages back.
func (p *pages) give(table []int32) {
	for i := len(table) - 1; i >= 0; i-- {
		p.free = append(p.free, table[i])
	}
	if len(p.free) > p.total {
		panic(fmt.Sprintf("stages: %d pages are free of %d", len(p.free), p.total))
	}
}

// used is how many pages sequences hold.
func (p *pages) used() int { return p.total - len(p.free) }

func ceilDiv(a, b int) int { return (a + b - 1) / b }
