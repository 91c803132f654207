package batch

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
}
