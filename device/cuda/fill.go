//go:build cuda

package cuda

import "tritflow/device/cuda/driver"

// staging is pinned memory by way of which values come to the GPU: while one slot is on its way, the other one is written.
type staging struct {
	slots [2]slot
	next  int
}

// stagingPiece is how much comes at a time (slots have twice that), aloneBytes what one processor writes sooner than several.
const stagingPiece, aloneBytes = 4 << 20, 256 << 10

func (s *staging) drop() {
	for i := range s.slots {
		s.slots[i].drop()
	}
}

// fill lets write make n rows of so many bytes, some at a time, on all processors, and puts copies of them into the stream.
// What write reads may be a mapped file: a fault there is an error here.
func (g *gpu) fill(what string, dst driver.Ptr, n, width int, write func(to []byte, lo, hi int)) error {
	each := max(1, stagingPiece/max(width, 1))
	for lo := 0; lo < n; lo += each {
		rows := min(each, n-lo)
		bytes := rows * width
		sl := &g.staging.slots[g.staging.next]
		g.staging.next = 1 - g.staging.next
		if err := sl.free(g, max(stagingPiece, bytes)); err != nil {
			return err
		}
		buf := sl.host.Bytes()[:bytes]
		if bytes <= aloneBytes {
			write(buf, lo, lo+rows)
		} else if err := inPieces(rows, func(a, b int) { write(buf[a*width:b*width], lo+a, lo+b) }); err != nil {
			return err
		}
		if err := g.stream.CopyInAsync(dst.Offset(int64(lo)*int64(width)), sl.host.Pointer(), int64(bytes)); err != nil {
			return g.fail("copying "+what, err)
		}
		if err := sl.sent(g); err != nil {
			return err
		}
	}
	return nil
}

// copyIn puts a copy of data into the stream. It comes by way of pinned memory, so that a fault while a mapped file is
// read happens here, under gguf.Guard, and not in the driver.
func (g *gpu) copyIn(what string, dst driver.Ptr, data []byte) error {
	return g.fill(what, dst, len(data), 1, func(to []byte, lo, _ int) { copy(to, data[lo:]) })
}
