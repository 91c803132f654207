// Package trace records what stages did and writes it in the Chrome trace-event format.
package trace

import (
	"io"
	"time"
)

// Recorder collects events; safe for concurrent use. A nil *Recorder records nothing.
type Recorder struct{}

// New starts a recording; time zero is now.
func New() *Recorder { panic("skeleton") }

// Stage gives a stage its own track, in pipeline order.
func (r *Recorder) Stage(track int, name, device string) { panic("skeleton") }

// Work records that a stage's device worked on a step.
func (r *Recorder) Work(track int, start, end time.Time, step uint64, device string, requests []uint64, rows int) {
	panic("skeleton")
}

// WriteTo writes the JSON.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) { panic("skeleton") }
