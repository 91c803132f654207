package batch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"tritflow/cmd/tritflow/internal/batch/disk"
	"tritflow/cmd/tritflow/internal/batch/idset"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/journal"
	"tritflow/cmd/tritflow/internal/batch/openai"
)

// read is the reader: it gives the workers every line that is not answered yet.
func (r *run) read(ctx context.Context, early map[int64]bool) {
	defer close(r.jobs)
	ids := idset.New(r.job.tempIDs)
	r.readErr = r.readLines(ctx, ids, early)
	if err := r.job.dropIDs(ids); r.readErr == nil {
		r.readErr = err
	}
}

func (r *run) readLines(ctx context.Context, ids *idset.Set, early map[int64]bool) error {
	check := checker{digests: r.job.journal.Digests(), known: r.job.journal.Inputs()}
	first := r.job.order.next
	for i := int64(0); ctx.Err() == nil && r.ctx.Err() == nil; i++ {
		if !r.window.wait(ctx, r.ctx, i) {
			return nil
		}
		it, err := r.work.Source.Next()
		switch {
		case errors.Is(err, io.EOF):
			if err := check.end(i); err != nil {
				return err
			}
			r.complete = true
			return nil
		case err != nil:
			return err
		}
		r.reading.note(i+1, r.work.Source)
		fresh, err := check.check(i, &it)
		if err != nil {
			return err
		}
		if fresh {
			r.digests.add(it.Digest())
		}
		t := r.parse(i, &it)
		if err := unique(ids, &t); err != nil {
			return err
		}
		if i < first || early[i] {
			delete(early, i)
			continue
		}
		select {
		case r.jobs <- t:
		case <-r.ctx.Done():
			return nil
		}
	}
	return nil
}

// parse makes a task of a line.
func (r *run) parse(i int64, it *input.Item) task {
	t := task{index: i, line: it.Line, key: keyOf(it)}
	if it.Fault == nil {
		t.id, t.call, t.fault = r.work.call(it)
		return t
	}
	t.fault = openai.Broken(it.Fault.Code, sentence(it.Fault.Message))
	if it.ID != "" {
		t.id = &it.ID
	}
	return t
}

// call is what a line without a fault asks for.
func (w *Work) call(it *input.Item) (id *string, c *openai.Call, fault *openai.Fault) {
	if w.JSON {
		return openai.Parse(bytes.TrimSpace(it.Text), w.Defaults)
	}
	c, fault = openai.Plain(it.ID, string(it.Text), w.Chat, w.Defaults)
	return &it.ID, c, fault
}

func sentence(s string) string {
	return string(bytes.ToUpper([]byte(s[:1]))) + s[1:] + "."
}

// keyOf makes the ids of a line from its text and its place.
func keyOf(it *input.Item) (k openai.Key) {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(it.Line))
	h.Write(n[:])
	h.Write([]byte(it.ID))
	h.Write([]byte{0})
	h.Write(it.Text)
	h.Sum(k[:0])
	return k
}

// unique refuses an id that an earlier line has.
func unique(ids *idset.Set, t *task) error {
	if t.id == nil || *t.id == "" {
		return nil
	}
	first, err := ids.Add(*t.id, t.line)
	if err != nil {
		return fmt.Errorf("batch: remembering ids: %w", err)
	}
	if first > 0 && t.fault == nil {
		t.call = nil
		t.fault = openai.Broken("duplicate_custom_id", fmt.Sprintf("The custom_id of this line is that of line %d already.", first))
		t.fault.Param = "custom_id"
	}
	return nil
}

// tempIDs makes the next file of a large set of ids.
func (j *Job) tempIDs() (idset.File, error) {
	path := j.output + idsSuffix
	// The one before is still open; where open files cannot be removed it is
	// overwritten name by name.
	for n := 0; ; n++ {
		name := path
		if n > 0 {
			name = fmt.Sprintf("%s.%d", path, n)
		}
		_ = j.fs.Remove(name)
		f, err := j.fs.Open(name, os.O_CREATE|os.O_EXCL)
		if errors.Is(err, os.ErrExist) && n < 2 {
			continue
		}
		if err != nil {
			return nil, &disk.Error{Path: name, Op: "writing", Err: err}
		}
		return f, nil
	}
}

func (j *Job) dropIDs(ids *idset.Set) error {
	err := ids.Close()
	for _, suffix := range []string{"", ".1", ".2"} {
		_ = j.fs.Remove(j.output + idsSuffix + suffix) // most often there is none
	}
	return err
}

// window holds the reader back when it is too far ahead of the output.
type window struct {
	next  atomic.Int64 // first line that is not in the output
	size  int64
	moved chan struct{}
}

func (w *window) init(next, size int64) {
	w.next.Store(next)
	w.size, w.moved = size, make(chan struct{}, 1)
}

// wait returns when line i may be read, or false when one of the contexts ends.
func (w *window) wait(a, b context.Context, i int64) bool {
	for i >= w.next.Load()+w.size {
		select {
		case <-w.moved:
		case <-a.Done():
			return false
		case <-b.Done():
			return false
		}
	}
	return true
}

func (w *window) move(next int64) {
	if w.next.Swap(next) != next {
		select {
		case w.moved <- struct{}{}:
		default:
		}
	}
}

// pending are the digests of lines that were read and are not in the journal yet.
type pending struct {
	mu    sync.Mutex
	first int64
	list  []journal.Digest
}

func (p *pending) add(d journal.Digest) {
	p.mu.Lock()
	p.list = append(p.list, d)
	p.mu.Unlock()
}

func (p *pending) take() []journal.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list = nil
	return list
}

// readings is how far the reader is, for others to see.
type readings struct{ lines, n, total atomic.Int64 }

func (r *readings) note(lines int64, src input.Source) {
	n, total := src.Read()
	r.lines.Store(lines)
	r.n.Store(n)
	r.total.Store(total)
}
