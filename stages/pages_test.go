package stages

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPages: a page belongs to one table at a time, tables are as long as
// asked for, and everything comes back.
func TestPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, size := rapid.IntRange(1, 40).Draw(t, "total"), rapid.IntRange(1, 9).Draw(t, "size")
		p := newPages(total, size)
		owner := map[int32]int{}
		tables := map[int][]int32{}
		for i := range rapid.IntRange(1, 60).Draw(t, "moves") {
			if len(tables) > 0 && rapid.Bool().Draw(t, "give") {
				for k, table := range tables {
					for _, page := range table {
						delete(owner, page)
					}
					p.give(table)
					delete(tables, k)
					break
				}
				continue
			}
			positions := rapid.IntRange(1, 80).Draw(t, "positions")
			need := (positions + size - 1) / size
			free := total - p.used()
			table := p.take(positions)
			switch {
			case need > free && table != nil:
				t.Fatalf("%d pages were given, %d are free", len(table), free)
			case need > free:
				continue
			case len(table) != need:
				t.Fatalf("%d pages for %d positions of %d", len(table), positions, size)
			}
			for _, page := range table {
				if other, ok := owner[page]; ok || page < 0 || int(page) >= total {
					t.Fatalf("page %d of table %d belongs to %d", page, i, other)
				}
				owner[page] = i
			}
			tables[i] = table
			if p.used() != len(owner) {
				t.Fatalf("%d used, %d owned", p.used(), len(owner))
			}
		}
		for _, table := range tables {
			p.give(table)
		}
		if p.used() != 0 {
			t.Fatalf("%d pages are missing", p.used())
		}
	})
}

func TestPagesGivenTwice(t *testing.T) {
	p := newPages(3, 4)
	table := p.take(4)
	p.give(table)
	defer func() {
		if recover() == nil {
			t.Error("a page was given back twice")
		}
	}()
	p.give(table)
}
