package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type parsed struct {
	TraceEvents []struct {
		Name string
		Ph   string
		TS   float64
		Dur  *float64
		PID  int
		TID  int
		Args map[string]any
	} `json:"traceEvents"`
}

func write(t *testing.T, r *Recorder) parsed {
	t.Helper()
	var buf bytes.Buffer
	n, err := r.WriteTo(&buf)
	if err != nil || n != int64(buf.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, buf.Len(), err)
	}
	var p parsed
	if err := json.Unmarshal(buf.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTracksAndWork(t *testing.T) {
	r := New()
	r.Stage(0, "embed", "cpu:0")
	r.Stage(1, "block 0", "cpu:1")
	start := r.zero.Add(1500 * time.Nanosecond)
	r.Work(1, start, start.Add(2*time.Millisecond), 7, "cpu:1", []uint64{3, 5}, 12)
	p := write(t, r)

	names := map[int]string{}
	var work int
	for _, e := range p.TraceEvents {
		switch {
		case e.Name == "thread_name":
			if e.Ph != "M" {
				t.Errorf("track name has phase %q", e.Ph)
			}
			names[e.TID] = e.Args["name"].(string)
		case e.Ph == "X":
			work++
			if e.TID != 1 || e.TS != 1.5 || e.Dur == nil || *e.Dur != 2000 {
				t.Errorf("event %+v", e)
			}
			want := map[string]any{"step": 7.0, "device": "cpu:1", "requests": []any{3.0, 5.0}, "rows": 12.0}
			if diff := cmp.Diff(want, e.Args); diff != "" {
				t.Error(diff)
			}
		}
	}
	if diff := cmp.Diff(map[int]string{0: "embed (cpu:0)", 1: "block 0 (cpu:1)"}, names); diff != "" {
		t.Error(diff)
	}
	if work != 1 {
		t.Errorf("%d work events", work)
	}
}

func TestNilRecorder(t *testing.T) {
	var r *Recorder
	r.Stage(0, "embed", "cpu:0")
	r.Work(0, time.Now(), time.Now(), 1, "cpu:0", nil, 1)
	if p := write(t, r); len(p.TraceEvents) != 0 {
		t.Errorf("a nil recorder wrote %d events", len(p.TraceEvents))
	}
}

func TestConcurrentUse(t *testing.T) {
	r := New()
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r.Work(w, time.Now(), time.Now(), uint64(i), "cpu:0", nil, 1)
			}
		})
	}
	write(t, r)
	wg.Wait()
	if got := len(write(t, r).TraceEvents); got != writers*each+1 {
		t.Errorf("%d events, want %d", got, writers*each+1)
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteErrorIsReported(t *testing.T) {
	if _, err := New().WriteTo(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}
