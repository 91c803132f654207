package batch

import "time"

// Totals count a job from its beginning, over all runs.
type Totals struct {
	Requests         int64 `json:"requests"` // lines
	Failed           int64 `json:"failed"`   // error lines among them
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
}

func (t *Totals) add(prompt, completion uint32, failed bool) {
	t.Requests++
	t.PromptTokens += int64(prompt)
	t.CompletionTokens += int64(completion)
	if failed {
		t.Failed++
	}
}

// done is the last record of a journal.
type done struct {
	Totals
	Bytes  int64  `json:"bytes"` // of the output
	SHA256 string `json:"sha256"`
	Input  string `json:"input"` // digest of those of the input lines
	Draws  string `json:"draws"` // digest of those of the draws of all lines
}

// Progress of a run.
type Progress struct {
	Totals        // of the job, earlier runs included
	Resumed int64 // lines of earlier runs
	Tokens  int64 // completion tokens of this run
	Elapsed time.Duration

	LinesRead  int64
	Read, Size int64 // of the input, see input.Source
}

// TokS are the completion tokens a second of this run.
func (p *Progress) TokS() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Tokens) / p.Elapsed.Seconds()
}

// Left estimates how many lines are to be answered yet and how long that takes,
// at the speed of this run so far; lines is 0 where it cannot be known.
func (p *Progress) Left() (eta time.Duration, lines int64) {
	here := p.Requests - p.Resumed
	if p.Size == 0 || p.Read == 0 || p.LinesRead == 0 || here <= 0 {
		return 0, 0
	}
	all := float64(p.LinesRead) * float64(p.Size) / float64(p.Read)
	lines = max(0, int64(all)-p.Requests)
	return time.Duration(float64(p.Elapsed) / float64(here) * float64(lines)), lines
}
