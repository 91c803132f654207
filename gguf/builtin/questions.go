package builtin

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed evalset.json
var questionsJSON []byte

// Questions is the evaluation set that trainer and engine share; the trainer's
// generator wrote it. What a group calls held out or never seen was kept from the
// text that the model was trained on; facts are learned by heart.
type Questions struct {
	Version int     `json:"version"`
	Seed    int     `json:"seed"`
	Groups  []Group `json:"groups"`
}

// Group is a set of questions of one kind.
type Group struct {
	Name   string     `json:"name"`
	Kind   string     `json:"kind"`   // KindChat or KindPlain
	Target float64    `json:"target"` // share that should be right
	Tokens int        `json:"tokens"` // most tokens of an answer, its end included
	Items  []Question `json:"items"`
}

// The kinds of groups: messages in the chat template, or text to continue.
const (
	KindChat  = "chat"
	KindPlain = "plain"
)

// Question is one item. Messages alternate between user and assistant and end
// with the user's. The answer must be exactly Answer or, where Answer is empty,
// contain each of Words as a whole word; and it must end by itself.
type Question struct {
	Messages []string `json:"m"`
	Answer   string   `json:"a,omitempty"`
	Words    []string `json:"w,omitempty"`
}

// ReadQuestions returns the evaluation set.
func ReadQuestions() (*Questions, error) {
	var q Questions
	if err := json.Unmarshal(questionsJSON, &q); err != nil {
		return nil, fmt.Errorf("%s: evaluation set: %w", Name, err)
	}
	return &q, nil
}
