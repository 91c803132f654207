package input

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// lines reads a file of lines: JSON objects or prompts.
type lines struct {
	r      *bufio.Reader
	closer io.Closer
	text   bool // lines are prompts; empty ones count
	total  int64
	read   int64
	line   int64
	buf    []byte
}

// NewLines reads JSON lines, of which blank ones are skipped, or with text set
// prompts, of which none is. total is the size in bytes, 0 if unknown.
func NewLines(r io.ReadCloser, text bool, total int64) Source {
	return &lines{r: bufio.NewReaderSize(r, 1<<18), closer: r, text: text, total: total}
}

func (l *lines) Read() (n, total int64) { return l.read, l.total }
func (l *lines) Close() error           { return l.closer.Close() }

var byteOrderMark = []byte("\ufeff")

func (l *lines) Next() (Item, error) {
	for {
		long, err := l.readLine()
		if err != nil {
			return Item{}, err
		}
		l.line++
		if l.line == 1 {
			l.buf = bytes.TrimPrefix(l.buf, byteOrderMark)
		}
		it := Item{Line: l.line, Text: l.buf}
		if long {
			it.Fault = tooLong()
		}
		if l.text {
			it.ID = numbered("line", l.line)
			return it, nil
		}
		if long || len(bytes.TrimSpace(l.buf)) > 0 {
			return it, nil
		}
	}
}

// readLine puts the next line into buf, without its end. Of one that is too
// long it keeps the beginning.
func (l *lines) readLine() (long bool, err error) {
	l.buf = l.buf[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.read += int64(len(part))
		switch {
		case len(l.buf)+len(part) <= MostBytes:
			l.buf = append(l.buf, part...)
		case !long:
			long = true
			l.buf = l.buf[:min(len(l.buf), 1<<10)]
		}
		switch {
		case err == nil:
			l.trimEnd()
			return long, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(l.buf) > 0 || long):
			l.trimEnd()
			return long, nil // the last line may lack its end
		default:
			return false, err
		}
	}
}

func (l *lines) trimEnd() {
	l.buf = bytes.TrimSuffix(l.buf, []byte("\n"))
	l.buf = bytes.TrimSuffix(l.buf, []byte("\r"))
	if cap(l.buf) > 1<<20 && len(l.buf) < 1<<16 {
		l.buf = append([]byte(nil), l.buf...) // one long line shall not cost memory for ever
	}
}
