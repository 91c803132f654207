package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"

	"tritflow/cmd/tritflow/internal/batch/disk"
)

// outfile is the output as it grows. What an earlier run has left is read again
// instead of written, as long as it is right.
type outfile struct {
	path string
	f    disk.File
	off  int64 // where the next line goes
	size int64 // of what is there
	sum  hash.Hash
	buf  []byte
	back []byte
}

// openOutput opens the output; flag may be os.O_CREATE.
func openOutput(fs disk.FS, path string, flag int) (*outfile, error) {
	f, err := fs.Open(path, flag)
	if err != nil {
		return nil, &disk.Error{Path: path, Op: "opening", Err: err}
	}
	o := &outfile{path: path, f: f, sum: sha256.New()}
	if o.size, err = f.Size(); err != nil {
		return nil, errors.Join(o.failed("reading", err), f.Close())
	}
	if flag&os.O_CREATE != 0 {
		fs.SyncFolder(path)
	}
	return o, nil
}

func (o *outfile) failed(op string, err error) error {
	return &disk.Error{Path: o.path, Op: op, Err: err}
}

// append adds a line and its newline.
func (o *outfile) append(text []byte) error {
	o.buf = append(append(o.buf[:0], text...), '\n')
	n := int64(len(o.buf))
	if same, err := o.holds(o.buf); err != nil {
		return err
	} else if !same {
		if _, err := o.f.WriteAt(o.buf, o.off); err != nil {
			return o.failed("writing", err)
		}
		o.size = max(o.size, o.off+n)
	}
	o.off += n
	o.sum.Write(o.buf)
	if cap(o.buf) > 1<<20 {
		o.buf, o.back = nil, nil // one long line shall not cost memory for ever
	}
	return nil
}

// holds says whether the bytes stand where they belong. Where others do, the
// file is cut.
func (o *outfile) holds(want []byte) (bool, error) {
	if o.off >= o.size {
		return false, nil
	}
	if o.off+int64(len(want)) <= o.size {
		o.back = append(o.back[:0], want...)
		if _, err := o.f.ReadAt(o.back, o.off); err != nil {
			return false, o.failed("reading", err)
		}
		if bytes.Equal(o.back, want) {
			return true, nil
		}
	}
	return false, o.cut()
}

// cut removes what stands behind the last line.
func (o *outfile) cut() error {
	if o.size <= o.off {
		return nil
	}
	if err := o.f.Truncate(o.off); err != nil {
		return o.failed("writing", err)
	}
	o.size = o.off
	return nil
}

// digest is that of all lines so far.
func (o *outfile) digest() string { return hex.EncodeToString(o.sum.Sum(nil)) }

// readAll makes digest that of the file as it is.
func (o *outfile) readAll() error {
	if _, err := io.Copy(o.sum, io.NewSectionReader(o.f, 0, o.size)); err != nil {
		return o.failed("reading", err)
	}
	o.off = o.size
	return nil
}

func (o *outfile) sync() error {
	if err := o.f.Sync(); err != nil {
		return o.failed("writing", err)
	}
	return nil
}

func (o *outfile) close() error {
	if err := o.f.Close(); err != nil {
		return o.failed("writing", err)
	}
	return nil
}
