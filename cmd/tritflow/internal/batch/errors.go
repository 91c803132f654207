package batch

import (
	"errors"
	"fmt"

	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/journal"
)

// LockedError: another process works on the output.
type LockedError struct{ Output string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("batch: another process is writing %s: wait for it, or name another output", e.Output)
}

// ForeignError: the output is a file that no job of ours has begun.
type ForeignError struct{ Output, Journal string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("batch: %s is there already and not from an unfinished job (%s is missing or empty): remove it, or name another output", e.Output, e.Journal)
}

// SettingError: the job was begun with another setting that decides what the
// lines say.
type SettingError struct {
	Output  string
	Name    string // "model", "kv", "--temp" ...
	Was, Is string
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("batch: the job of %s was begun with %s %s, this one has %s: its lines would not fit together; use the same, or name another output", e.Output, e.Name, e.Was, e.Is)
}

// InputError: the input is not what it was when the job was begun.
type InputError struct {
	Line int64 // the first that differs
	What string
}

func (e *InputError) Error() string {
	return fmt.Sprintf("batch: the input has changed since the job was begun: line %d %s; give the same input, or name another output", e.Line, e.What)
}

// OutputError: a finished output was changed afterwards.
type OutputError struct{ Output, Journal, What string }

func (e *OutputError) Error() string {
	return fmt.Sprintf("batch: the job of %s was finished, but the file %s: remove %s as well to start again, or name another output", e.Output, e.What, e.Journal)
}

// Refused tells errors that the same command would meet again.
func Refused(err error) bool {
	return is[*LockedError](err) || is[*ForeignError](err) || is[*SettingError](err) || is[*InputError](err) ||
		is[*OutputError](err) || is[*input.FormatError](err) || is[*journal.DamageError](err)
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}
