package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"tritflow/cmd/tritflow/internal/batch/disk"
)

// syncEvery bounds how much work a loss of power costs.
const syncEvery = time.Second

// Journal appends records to a file. It serves one goroutine, but ReadLine and
// NewDigests may be used beside it.
type Journal struct {
	fs     disk.FS
	path   string
	f      disk.File
	end    int64 // of the records
	inputs int64 // digests in them
	dirty  bool  // something is not synced
	synced time.Time
}

// Open opens a journal, with flag os.O_CREATE a new one where there is none.
func Open(fs disk.FS, path string, flag int) (*Journal, error) {
	f, err := fs.Open(path, flag)
	if err != nil {
		return nil, &disk.Error{Path: path, Op: "opening", Err: err}
	}
	return &Journal{fs: fs, path: path, f: f, synced: time.Now()}, nil
}

// Read visits the records that count and makes the journal ready to go on
// behind them. A tail that does not count is cut off; torn says how many bytes
// that were. A file that begins with no record is a *DamageError, unless it is
// what is left of the header that the job would write.
func (j *Journal) Read(header []byte, visit func(Entry) error) (torn int64, err error) {
	size, err := j.f.Size()
	if err != nil {
		return 0, j.failed("reading", err)
	}
	var told error // what visit said, which is not about reading
	j.end, err = Scan(j.f, size, func(e Entry) error {
		if e.Kind == Inputs {
			if e.First != j.inputs {
				told = &DamageError{j.path, fmt.Sprintf("digests from line %d on follow those of %d lines", e.First, j.inputs)}
				return told
			}
			j.inputs += e.Count
		}
		told = visit(e)
		return told
	})
	switch {
	case told != nil:
		return 0, told
	case err != nil:
		return 0, j.failed("reading", err)
	}
	if size > j.end {
		if j.end == 0 {
			if err := j.checkRest(size, header); err != nil {
				return 0, err
			}
		}
		if err := j.f.Truncate(j.end); err != nil {
			return 0, j.failed("writing", err)
		}
	}
	return size - j.end, nil
}

// checkRest keeps a file that is no journal from being cut to nothing: what a
// header that was not written to its end leaves is its beginning, or zeros.
func (j *Journal) checkRest(size int64, header []byte) error {
	whole := textRecord(Header, header)
	strange := &DamageError{j.path, "it does not begin as a journal of this job does"}
	if size > int64(len(whole)) {
		return strange
	}
	have := make([]byte, size)
	if _, err := j.f.ReadAt(have, 0); err != nil && !errors.Is(err, io.EOF) {
		return j.failed("reading", err)
	}
	written := len(bytes.TrimRight(have, "\x00"))
	if !bytes.HasPrefix(whole, have[:written]) {
		return strange
	}
	return nil
}

// DamageError: the records of a journal contradict each other.
type DamageError struct {
	Path   string
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: %s: the journal is damaged; remove it together with the output and start again", e.Path, e.Reason)
}

func (j *Journal) failed(op string, err error) error {
	return &disk.Error{Path: j.path, Op: op, Err: err}
}

// Inputs is how many digests it holds.
func (j *Journal) Inputs() int64 { return j.inputs }

// Digests reads the digests that it holds now.
func (j *Journal) Digests() *Digests { return NewDigests(j.f, j.end) }

// InputDigest is the SHA-256 of the digests that it holds now, in hexadecimal digits.
func (j *Journal) InputDigest() (string, error) {
	sum := sha256.New()
	for d := j.Digests(); ; {
		g, err := d.Next()
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		sum.Write(g[:])
	}
}

// Begin writes the job's header and makes it durable.
func (j *Journal) Begin(header []byte) error {
	if err := j.append(textRecord(Header, header)); err != nil {
		return err
	}
	err := j.sync()
	j.fs.SyncFolder(j.path)
	return err
}

// AddInputs appends the digests of the next input lines.
func (j *Journal) AddInputs(digests []Digest) error {
	if len(digests) == 0 {
		return nil
	}
	if err := j.append(inputsRecord(j.inputs, digests)); err != nil {
		return err
	}
	j.inputs += int64(len(digests))
	return nil
}

// AddLine appends an answer and says where its text is. It is safe from a
// death of the process at once, from a loss of power within about a second.
func (j *Journal) AddLine(a Answer) (Ref, error) {
	if lineFixed+1+len(a.Text) > mostBytes {
		return Ref{}, fmt.Errorf("line %d: its answer of %d bytes is too large for the journal", a.Index, len(a.Text))
	}
	at := Ref{Off: j.end + frame + 1 + lineFixed, Size: uint32(len(a.Text))}
	return at, j.append(lineRecord(a))
}

// ReadLine gives back the text of an answer.
func (j *Journal) ReadLine(at Ref) ([]byte, error) {
	text := make([]byte, at.Size)
	if _, err := j.f.ReadAt(text, at.Off); err != nil && (at.Size > 0 || !errors.Is(err, io.EOF)) {
		return nil, j.failed("reading", err)
	}
	return text, nil
}

// append writes a record in one piece. After a failure the next one goes to
// the same place.
func (j *Journal) append(rec []byte) error {
	if _, err := j.f.WriteAt(rec, j.end); err != nil {
		return j.failed("writing", err)
	}
	j.end += int64(len(rec))
	j.dirty = true
	return nil
}

// Tick syncs what has waited long enough.
func (j *Journal) Tick() error {
	if !j.dirty || time.Since(j.synced) < syncEvery {
		return nil
	}
	return j.sync()
}

func (j *Journal) sync() error {
	if err := j.f.Sync(); err != nil {
		return j.failed("writing", err)
	}
	j.dirty, j.synced = false, time.Now()
	return nil
}

// Finish writes the totals and makes everything durable.
func (j *Journal) Finish(totals []byte) error {
	if err := j.append(textRecord(Done, totals)); err != nil {
		return err
	}
	return j.sync()
}

// Close syncs and closes the file.
func (j *Journal) Close() error {
	var err error
	if j.dirty {
		err = j.sync()
	}
	if cerr := j.f.Close(); cerr != nil && err == nil {
		err = j.failed("writing", cerr)
	}
	return err
}
