package device

import "fmt"

// Check tells whether a batch obeys its own rules: every sequence's rows stand
// together, belong to it and rise by one position; outputs name rows, in
// ascending order. The error is a *BatchError. Devices call it before they
// touch a batch; it costs one look at each row.
func (b *Batch) Check() error {
	covered := 0
	for i := range b.Seqs {
		s := &b.Seqs[i]
		if s.N < 0 || s.First < 0 || s.First+s.N > len(b.Rows) {
			return &BatchError{fmt.Sprintf("sequence %d has rows [%d, %d) of %d", s.ID, s.First, s.First+s.N, len(b.Rows))}
		}
		covered += s.N
		for r, row := range b.Rows[s.First : s.First+s.N] {
			switch {
			case int(row.Seq) != i:
				return &BatchError{fmt.Sprintf("row %d is claimed by sequence %d but names Seqs[%d]", s.First+r, s.ID, row.Seq)}
			case row.Pos < 0:
				return &BatchError{fmt.Sprintf("row %d of sequence %d has position %d", s.First+r, s.ID, row.Pos)}
			case r > 0 && row.Pos != b.Rows[s.First+r-1].Pos+1:
				return &BatchError{fmt.Sprintf("row %d of sequence %d has position %d after %d", s.First+r, s.ID, row.Pos, b.Rows[s.First+r-1].Pos)}
			}
		}
	}
	if covered != len(b.Rows) {
		return &BatchError{fmt.Sprintf("sequences cover %d of %d rows", covered, len(b.Rows))}
	}
	for i, o := range b.Outputs {
		if o.Row < 0 || int(o.Row) >= len(b.Rows) || i > 0 && o.Row < b.Outputs[i-1].Row {
			return &BatchError{fmt.Sprintf("output %d names row %d of %d (rows must be ascending)", i, o.Row, len(b.Rows))}
		}
	}
	return nil
}

// CheckPages tells whether a sequence's page table covers the positions up to
// its last row with pages that exist. The error is a *PageError.
func (b *Batch) CheckPages(seq int, device string, kv KV) error {
	s := &b.Seqs[seq]
	if s.N == 0 {
		return nil
	}
	last := b.Rows[s.First+s.N-1].Pos
	need := int(last)/kv.PageSize + 1
	if len(s.Pages) < need {
		return &PageError{device, s.ID, last, fmt.Sprintf("the table has %d pages of %d positions, %d are needed", len(s.Pages), kv.PageSize, need)}
	}
	for _, p := range s.Pages[:need] {
		if p < 0 || int(p) >= kv.Pages {
			return &PageError{device, s.ID, last, fmt.Sprintf("page %d does not exist; the cache was loaded with %d", p, kv.Pages)}
		}
	}
	return nil
}
