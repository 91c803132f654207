package journal

import (
	"errors"
	"io"
	"os"

	"tritflow/cmd/tritflow/internal/batch/disk"
)

// Compact closes a finished journal and replaces it by one without the answers,
// which stand in the output. The new one has its name only when it is whole, so
// whatever happens there is a journal that says that the job is done.
func (j *Journal) Compact(header, totals []byte) error {
	temp := j.path + ".new"
	err := j.writeCompact(temp, header, totals)
	if cerr := j.f.Close(); err == nil && cerr != nil {
		err = j.failed("writing", cerr)
	}
	if err == nil {
		err = j.fs.Rename(temp, j.path)
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(j.fs.Remove(temp)))
	}
	j.fs.SyncFolder(j.path)
	return nil
}

func (j *Journal) writeCompact(path string, header, totals []byte) (err error) {
	f, err := j.fs.Open(path, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return &disk.Error{Path: path, Op: "writing", Err: err}
	}
	small := &Journal{fs: j.fs, path: path, f: f}
	defer func() {
		if cerr := small.Close(); err == nil {
			err = cerr
		}
	}()
	if err := small.append(textRecord(Header, header)); err != nil {
		return err
	}
	const most = 4096 // digests a record
	var some []Digest
	for d := j.Digests(); ; {
		g, err := d.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err == nil {
			some = append(some, g)
		}
		if len(some) == most || err != nil {
			if err := small.AddInputs(some); err != nil {
				return err
			}
			some = some[:0]
		}
		if err != nil {
			return small.Finish(totals)
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
