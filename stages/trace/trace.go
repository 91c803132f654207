package trace

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// processID stands for the one pipeline of a recording.
const processID = 1

// Recorder collects events; safe for concurrent use. A nil *Recorder records nothing.
type Recorder struct {
	zero time.Time

	mu     sync.Mutex
	tracks []event
	work   []event
}

// event is one entry of traceEvents.
type event struct {
	Name     string   `json:"name"`
	Phase    string   `json:"ph"`
	Category string   `json:"cat,omitempty"`
	TS       float64  `json:"ts"`
	Dur      *float64 `json:"dur,omitempty"`
	PID      int      `json:"pid"`
	TID      int      `json:"tid"`
	Args     any      `json:"args,omitempty"`
}

type nameArgs struct {
	Name string `json:"name"`
}

type orderArgs struct {
	SortIndex int `json:"sort_index"`
}

type workArgs struct {
	Step     uint64   `json:"step"`
	Device   string   `json:"device"`
	Requests []uint64 `json:"requests"`
	Rows     int      `json:"rows"`
}

// New starts a recording; time zero is now.
func New() *Recorder { return &Recorder{zero: time.Now()} }

// Stage gives a stage its own track; tracks are shown in ascending order.
func (r *Recorder) Stage(track int, name, device string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracks = append(r.tracks,
		event{Name: "thread_name", Phase: "M", PID: processID, TID: track, Args: nameArgs{fmt.Sprintf("%s (%s)", name, device)}},
		event{Name: "thread_sort_index", Phase: "M", PID: processID, TID: track, Args: orderArgs{track}})
}

// Work records that a stage's device worked on a step from start to end for
// the given requests. requests is kept: it must not be changed afterwards.
func (r *Recorder) Work(track int, start, end time.Time, step uint64, device string, requests []uint64, rows int) {
	if r == nil {
		return
	}
	if requests == nil {
		requests = []uint64{}
	}
	dur := micros(end.Sub(start))
	e := event{
		Name: fmt.Sprintf("step %d", step), Phase: "X", Category: "work",
		TS: micros(start.Sub(r.zero)), Dur: &dur, PID: processID, TID: track,
		Args: workArgs{Step: step, Device: device, Requests: requests, Rows: rows},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.work = append(r.work, e)
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// WriteTo writes the JSON of what was recorded so far; recording may go on.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	out := struct {
		Events []event `json:"traceEvents"`
		Unit   string  `json:"displayTimeUnit"`
	}{Events: []event{}, Unit: "ms"}
	if r != nil {
		r.mu.Lock()
		out.Events = append(out.Events, event{Name: "process_name", Phase: "M", PID: processID, Args: nameArgs{"tritflow"}})
		out.Events = append(append(out.Events, r.tracks...), r.work...)
		r.mu.Unlock()
	}
	text, err := json.Marshal(out)
	if err != nil {
		return 0, fmt.Errorf("trace: encoding: %w", err)
	}
	n, err := w.Write(append(text, '\n'))
	if err != nil {
		return int64(n), fmt.Errorf("trace: writing: %w", err)
	}
	return int64(n), nil
}
