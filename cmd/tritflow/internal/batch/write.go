package batch

import (
	"time"

	"tritflow/cmd/tritflow/internal/batch/journal"
)

// write is the writer: it takes results until there are no more. After an error
// of the disk it only empties the channel.
func (r *run) write() {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case res, ok := <-r.results:
			if !ok {
				r.tell()
				return
			}
			r.attempt(func() error { return r.keep(res) })
		case <-ticker.C:
			r.attempt(r.job.journal.Tick)
			r.tell()
		}
	}
}

func (r *run) attempt(do func() error) {
	if r.writeErr != nil {
		return
	}
	if r.writeErr = do(); r.writeErr != nil {
		r.stop(r.writeErr)
	}
}

// keep makes a finished line part of the job.
func (r *run) keep(res result) error {
	j := r.job
	if err := j.journal.AddInputs(r.digests.take()); err != nil {
		return err
	}
	a := journal.Answer{
		Index: res.index, Failed: res.failed, Text: res.text,
		PromptTokens: uint32(res.usage.Prompt), CompletionTokens: uint32(res.usage.Completion), Draws: res.draws,
	}
	at, err := j.journal.AddLine(a)
	if err != nil {
		return err
	}
	j.totals.add(a.PromptTokens, a.CompletionTokens, a.Failed)
	if err := j.order.put(res.index, at, res.draws, res.text); err != nil {
		return err
	}
	r.window.move(j.order.next)
	return j.journal.Tick()
}

func (r *run) tell() {
	if r.work.Progress == nil {
		return
	}
	r.work.Progress(Progress{
		Totals: r.job.totals, Resumed: r.job.resumed,
		Tokens:    r.job.totals.CompletionTokens - r.start.CompletionTokens,
		Elapsed:   time.Since(r.began),
		LinesRead: r.reading.lines.Load(), Read: r.reading.n.Load(), Size: r.reading.total.Load(),
	})
}
