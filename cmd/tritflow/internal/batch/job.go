package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"tritflow/cmd/tritflow/internal/batch/disk"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/journal"
)

// Names of the files beside an output.
const (
	journalSuffix = ".journal"
	idsSuffix     = ".ids"
	lockSuffix    = ".lock"
)

// Job is an output that is being made.
type Job struct {
	fs       disk.FS
	output   string
	settings []Setting
	header   []byte
	journal  *journal.Journal
	out      *outfile
	order    order
	totals   Totals
	resumed  int64 // lines that earlier runs have finished
	torn     int64
	finished bool
	done     done  // of a finished job
	bulky    error // why the finished journal still holds the answers
	unlock   func(forGood bool) error
}

// Options of Open.
type Options struct {
	FS       disk.FS
	Output   string    // path; links are to be followed already
	Settings []Setting // an unfinished job goes on only with the same
	Order    Order
	Lock     func(path string) (unlock func(forGood bool) error, err error) // nil = nobody else is there
}

// Open begins a job or takes one up where it stopped. What cannot be gone on
// with is a *LockedError, *ForeignError, *SettingError, *OutputError or
// *journal.DamageError; then nothing was changed. The caller closes the job.
func Open(o Options) (*Job, error) {
	j := &Job{fs: o.FS, output: o.Output, settings: o.Settings}
	var err error
	if j.header, err = newHeader(o.Settings); err != nil {
		return nil, err
	}
	if o.Lock != nil {
		if j.unlock, err = o.Lock(o.Output + lockSuffix); err != nil {
			return nil, err
		}
	}
	if err := j.open(o.Order); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (j *Job) open(kind Order) error {
	path := j.output + journalSuffix
	var err error
	j.journal, err = journal.Open(j.fs, path, 0)
	switch {
	case err == nil:
	case errors.Is(err, os.ErrNotExist):
		return j.begin(kind)
	default:
		return err
	}
	j.order = newOrder(kind, j.journal, nil)
	var end *done
	first := true
	j.torn, err = j.journal.Read(j.header, func(e journal.Entry) error {
		if first != (e.Kind == journal.Header) || end != nil {
			return &journal.DamageError{Path: path, Reason: "its records are out of order"}
		}
		first = false
		switch e.Kind {
		case journal.Header:
			if err := j.compare(e.Text); err != nil {
				return err
			}
			j.out, err = openOutput(j.fs, j.output, os.O_CREATE)
			j.order.out = j.out
			return err
		case journal.Line:
			j.resumed++
			j.totals.add(e.Line.PromptTokens, e.Line.CompletionTokens, e.Line.Failed)
			return j.order.put(e.Line.Index, e.At, e.Line.Draws, nil)
		case journal.Done:
			end = new(done)
			return json.Unmarshal(e.Text, end)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case first: // the process died before the header was whole
		return j.restart(kind)
	case end != nil:
		return j.end(end)
	}
	return j.out.cut()
}

// begin starts a job that has no journal yet.
func (j *Job) begin(kind Order) error {
	if err := j.free(); err != nil {
		return err
	}
	var err error
	if j.journal, err = journal.Open(j.fs, j.output+journalSuffix, os.O_CREATE); err != nil {
		return err
	}
	return j.restart(kind)
}

// restart writes the header of an empty journal and makes the output.
func (j *Job) restart(kind Order) (err error) {
	if err := j.free(); err != nil {
		return err
	}
	if err := j.journal.Begin(j.header); err != nil {
		return err
	}
	if j.out, err = openOutput(j.fs, j.output, os.O_CREATE); err != nil {
		return err
	}
	j.order = newOrder(kind, j.journal, j.out)
	return nil
}

// free makes sure that no other file has the output's name.
func (j *Job) free() error {
	o, err := openOutput(j.fs, j.output, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.size > 0 {
		err = &ForeignError{j.output, j.output + journalSuffix}
	}
	return errors.Join(err, o.close())
}

// end checks the output of a job that is finished.
func (j *Job) end(d *done) error {
	j.finished, j.totals, j.resumed, j.done = true, d.Totals, d.Requests, *d
	if j.out.off == 0 {
		if err := j.out.readAll(); err != nil {
			return err
		}
	}
	if j.out.off != d.Bytes || j.out.size != d.Bytes || j.out.digest() != d.SHA256 {
		return &OutputError{j.output, j.output + journalSuffix, fmt.Sprintf("is not what was written (%d bytes now, %d then)", j.out.size, d.Bytes)}
	}
	return nil
}

// Finished says whether there is nothing left to do.
func (j *Job) Finished() bool { return j.finished }

// Resumed is how many lines earlier runs have finished.
func (j *Job) Resumed() int64 { return j.resumed }

// Torn is how many bytes of the journal did not count and were cut off.
func (j *Job) Torn() int64 { return j.torn }

// Bulky says why the journal of a finished job is as large as its output, nil
// when it is not.
func (j *Job) Bulky() error { return j.bulky }

// Totals of the job so far.
func (j *Job) Totals() Totals { return j.totals }

// Proof of a finished job: the size and SHA-256 of its output, and the SHA-256 of the
// digests of its input lines and of what was drawn for them (stages.Result.Digest), in
// input order.
type Proof struct {
	Bytes                int64
	Output, Input, Draws string
}

// Proof of a job that is finished.
func (j *Job) Proof() Proof { return Proof{j.done.Bytes, j.done.SHA256, j.done.Input, j.done.Draws} }

// CheckInput compares the input with that of a finished job.
func (j *Job) CheckInput(src input.Source) error {
	c := checker{digests: j.journal.Digests(), known: j.journal.Inputs()}
	for i := int64(0); ; i++ {
		it, err := src.Next()
		switch {
		case errors.Is(err, io.EOF):
			return c.end(i)
		case err != nil:
			return err
		}
		if fresh, err := c.check(i, &it); err != nil {
			return err
		} else if fresh {
			return &InputError{it.Line, "is new"}
		}
	}
}

// checker compares the lines of the input with what a journal knows of them.
type checker struct {
	digests *journal.Digests
	known   int64
}

// check says whether the i-th line is new to the journal.
func (c *checker) check(i int64, it *input.Item) (fresh bool, err error) {
	if i >= c.known {
		return true, nil
	}
	was, err := c.digests.Next()
	if err != nil {
		return false, err
	}
	if was != it.Digest() {
		return false, &InputError{it.Line, "differs"}
	}
	return false, nil
}

// end is called when the input ends after n lines.
func (c *checker) end(n int64) error {
	if n < c.known {
		return &InputError{n + 1, "is missing"}
	}
	return nil
}

// Close gives the files back. The journal is synced.
func (j *Job) Close() error {
	var errs []error
	if j.out != nil {
		errs = append(errs, j.out.close())
	}
	if j.journal != nil {
		errs = append(errs, j.journal.Close())
	}
	if j.unlock != nil {
		errs = append(errs, j.unlock(j.finished))
	}
	j.out, j.journal, j.unlock = nil, nil, nil
	return errors.Join(errs...)
}
