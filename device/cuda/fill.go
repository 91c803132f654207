//go:build cuda

package cuda

import (
	"tritflow/device/cuda/driver"
)

// staging is pinned memory by way of which values come to the GPU: while one half is on its way, the other one is written.
type staging struct {
	host *driver.HostBuffer
	used [2]driver.Event
	busy [2]bool
	next int
}

const (
	// stagingHalf is the size of a half, aloneBytes what one processor writes sooner than several.
	stagingHalf = 8 << 20
	aloneBytes  = 256 << 10
)

// half gives the half that is free first, of at least so many bytes. On the queue.
func (s *staging) half(g *gpu, bytes int) (buf []byte, at int, err error) {
	if s.host == nil || len(s.host.Bytes())/2 < bytes {
		if err := s.drop(g); err != nil {
			return nil, 0, err
		}
		for i := range s.used {
			if s.used[i], err = g.ctx.NewEvent(false); err != nil {
				return nil, 0, g.fail("making an event", err)
			}
		}
		if s.host, err = g.ctx.AllocHost(2 * max(stagingHalf, bytes)); err != nil {
			return nil, 0, g.fail("taking pinned memory", err)
		}
	}
	at = s.next
	s.next = 1 - at
	if s.busy[at] {
		done, err := s.used[at].Done()
		if err == nil && !done {
			err = s.used[at].Synchronize()
		}
		if err != nil {
			return nil, 0, g.fail("waiting for a copy", err)
		}
		s.busy[at] = false
	}
	all := s.host.Bytes()
	return all[at*len(all)/2:][:bytes], at, nil
}

// drop waits for what is on its way and frees the memory.
func (s *staging) drop(g *gpu) error {
	if s.host == nil {
		return nil
	}
	if err := g.stream.Synchronize(); err != nil {
		return g.fail("waiting for copies", err)
	}
	for i := range s.used {
		if err := s.used[i].Destroy(); err != nil {
			return g.fail("destroying an event", err)
		}
	}
	err := s.host.Free()
	*s = staging{}
	return g.fail("freeing pinned memory", err)
}

// fill lets write make n rows of so many bytes, some at a time, on all processors, and puts copies of them into the stream.
// What write reads may be a mapped file: a fault there is an error here.
func (g *gpu) fill(what string, dst driver.Ptr, n, width int, write func(to []byte, lo, hi int)) error {
	each := max(1, stagingHalf/max(width, 1))
	for lo := 0; lo < n; lo += each {
		rows := min(each, n-lo)
		buf, at, err := g.staging.half(g, rows*width)
		if err != nil {
			return err
		}
		if len(buf) <= aloneBytes {
			write(buf, lo, lo+rows)
		} else if err := inPieces(rows, func(a, b int) { write(buf[a*width:b*width], lo+a, lo+b) }); err != nil {
			return err
		}
		if err := g.stream.CopyInAsync(dst.Offset(int64(lo)*int64(width)), g.staging.host.At(at*len(g.staging.host.Bytes())/2), int64(len(buf))); err != nil {
			return g.fail("copying "+what, err)
		}
		if err := g.staging.used[at].Record(g.stream); err != nil {
			return g.fail("recording an event", err)
		}
		g.staging.busy[at] = true
	}
	return nil
}

// copyIn puts a copy of data into the stream. It comes by way of pinned memory, so that a fault while a mapped file is
// read happens here, under gguf.Guard, and not in the driver.
func (g *gpu) copyIn(what string, dst driver.Ptr, data []byte) error {
	return g.fill(what, dst, len(data), 1, func(to []byte, lo, _ int) { copy(to, data[lo:]) })
}
