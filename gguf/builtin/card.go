package builtin

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed card.json
var cardJSON []byte

// Card is the model's card: how it was made, and what the trainer's own exact
// forward pass answered on the evaluation set.
type Card struct {
	Name       string    `json:"name"`
	License    string    `json:"license"`
	Bytes      int       `json:"bytes"`
	SHA256     string    `json:"sha256"`
	Parameters int       `json:"parameters"`
	Network    Network   `json:"network"`
	Training   Training  `json:"training"`
	Rounding   Rounding  `json:"rounding"`
	Plots      Plots     `json:"plots"`
	Rows       []CardRow `json:"rows"`
}

// Network is the shape.
type Network struct {
	Vocab   int     `json:"vocab"`
	Width   int     `json:"width"`
	Blocks  int     `json:"blocks"`
	Heads   int     `json:"heads"`
	KVHeads int     `json:"kv_heads"`
	Head    int     `json:"head"`
	FFN     int     `json:"ffn"`
	Theta   float64 `json:"theta"` // RoPE
	Eps     float64 `json:"eps"`   // norms
	Context int     `json:"context"`
}

// Training is how the weights came about. Loss is the mean of the last steps,
// Validation that on rows that were never trained on.
type Training struct {
	Device     string  `json:"device"`
	Seconds    float64 `json:"seconds"`
	Tokens     int     `json:"tokens"`
	Batch      int     `json:"batch"`   // rows of a step
	Context    int     `json:"context"` // tokens of a row
	Peak       float64 `json:"peak"`    // highest learning rate
	Optimizer  string  `json:"optimizer"`
	Seed       int     `json:"seed"`
	Loss       float64 `json:"loss"`
	Validation float64 `json:"validation"`
}

// Rounding compares the logits with those of unrounded activations: correlation
// (mean and least of 100 prompts) and the share of equal first tokens.
type Rounding struct {
	Mean  float64 `json:"mean"`
	Least float64 `json:"least"`
	Equal float64 `json:"equal"`
}

// Plots: of 60 greedy stories, how many fourth sentences differ, and how often
// the commonest was told.
type Plots struct {
	Different int `json:"different"`
	Commonest int `json:"commonest"`
}

// CardRow is one group of the evaluation set: Right of Of answers; Target is the
// share that a model should reach.
type CardRow struct {
	Name   string  `json:"name"`
	Right  int     `json:"right"`
	Of     int     `json:"of"`
	Target float64 `json:"target"`
}

// ReadCard returns the model's card.
func ReadCard() (*Card, error) {
	var c Card
	if err := json.Unmarshal(cardJSON, &c); err != nil {
		return nil, fmt.Errorf("%s: card: %w", Name, err)
	}
	return &c, nil
}
