package input

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// rows reads two columns of a Parquet file, a few values at a time.
type rows struct {
	f      *os.File
	file   *parquet.File
	prompt int
	id     int // -1 = none
	group  int // the next row group
	cols   [2]*column
	record int64
}

// NewParquet reads columns of strings that are not nested; null counts as
// empty. It owns f.
func NewParquet(f *os.File, c Columns) (src Source, err error) {
	r := &rows{f: f}
	err = guard(func() error { return r.open(c) })
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *rows) open(c Columns) error {
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	r.file, err = parquet.OpenFile(r.f, info.Size(), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return &FormatError{fmt.Sprintf("%s is not a Parquet file: %v", r.f.Name(), err)}
	}
	var names []string
	var leaf []*parquet.Column
	for _, col := range r.file.Root().Columns() {
		if col.Leaf() {
			names, leaf = append(names, col.Name()), append(leaf, col)
		}
	}
	prompt, id, err := c.find(names)
	if err != nil {
		return err
	}
	for i, col := range leaf {
		if (i == prompt || i == id) && (col.Repeated() || col.Type().Kind() != parquet.ByteArray && col.Type().Kind() != parquet.FixedLenByteArray && i == prompt) {
			return &FormatError{fmt.Sprintf("the column %q holds %s: only plain strings are prompts", col.Name(), col.Type())}
		}
	}
	r.prompt, r.id = leaf[prompt].Index(), -1
	if id >= 0 {
		r.id = leaf[id].Index()
	}
	return nil
}

func (r *rows) Read() (n, total int64) { return r.record, r.file.NumRows() }

func (r *rows) Close() error {
	r.closeColumns()
	return r.f.Close()
}

func (r *rows) closeColumns() {
	for i, c := range r.cols {
		if c != nil {
			_ = c.pages.Close() // nothing was written
			r.cols[i] = nil
		}
	}
}

func (r *rows) Next() (it Item, err error) {
	err = guard(func() error {
		it, err = r.next()
		return err
	})
	return it, err
}

func (r *rows) next() (Item, error) {
	for {
		if r.cols[0] == nil {
			if err := r.nextGroup(); err != nil {
				return Item{}, err
			}
		}
		text, err := r.cols[0].next()
		if errors.Is(err, io.EOF) {
			r.closeColumns()
			continue
		}
		if err != nil {
			return Item{}, r.damaged(err)
		}
		r.record++
		it := Item{Line: r.record, Text: []byte(text), ID: numbered("row", r.record)}
		if len(text) > MostBytes {
			it.Text, it.Fault = nil, tooLong()
		}
		if r.cols[1] != nil {
			if it.ID, err = r.cols[1].next(); err != nil {
				return Item{}, r.damaged(err)
			}
		}
		return it, nil
	}
}

func (r *rows) damaged(err error) error {
	return fmt.Errorf("input: %s: after record %d: %w", r.f.Name(), r.record, err)
}

func (r *rows) nextGroup() error {
	groups := r.file.RowGroups()
	if r.group == len(groups) {
		return io.EOF
	}
	chunks := groups[r.group].ColumnChunks()
	r.group++
	r.cols[0] = &column{pages: chunks[r.prompt].Pages()}
	if r.id >= 0 {
		r.cols[1] = &column{pages: chunks[r.id].Pages()}
	}
	return nil
}

// column reads the values of one column of a row group.
type column struct {
	pages  parquet.Pages
	values parquet.ValueReader
	buf    [64]parquet.Value
	have   []parquet.Value
}

// next gives the next value as a string of its own, or io.EOF.
func (c *column) next() (string, error) {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if err != nil {
				return "", err
			}
			c.values = page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		if errors.Is(err, io.EOF) {
			c.values = nil
		} else if err != nil {
			return "", err
		}
	}
	v := c.have[0]
	c.have = c.have[1:]
	if v.IsNull() {
		return "", nil
	}
	if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
		return string(v.ByteArray()), nil
	}
	return v.String(), nil
}

// guard turns a panic of the library over a damaged file into an error.
func guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &FormatError{fmt.Sprintf("the Parquet file is damaged: %v", v)}
		}
	}()
	return fn()
}
