package stages

import "fmt"

// pages are the free KV pages of a ring. A page number is valid for every block
// (see device.KV). Used by the scheduler's goroutine alone.
type pages struct {
	size  int     // positions a page
	total int     // pages there are
	free  []int32 // a stack, so that pages that were written before are used first
}

func newPages(total, size int) pages {
	p := pages{size: size, total: total, free: make([]int32, total)}
	for i := range p.free {
		p.free[i] = int32(total - 1 - i)
	}
	return p
}

// need is how many pages hold the given number of positions.
func (p *pages) need(positions int) int { return ceilDiv(positions, p.size) }

// pop gives a free page; false: there is none.
func (p *pages) pop() (int32, bool) {
	n := len(p.free)
	if n == 0 {
		return 0, false
	}
	page := p.free[n-1]
	p.free = p.free[:n-1]
	return page, true
}

// push takes a page back.
func (p *pages) push(page int32) {
	if p.free = append(p.free, page); len(p.free) > p.total {
		panic(fmt.Sprintf("stages: %d pages are free of %d", len(p.free), p.total))
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
