package crossval

import (
	"tritflow/cmd/tritflow/internal/compare"
)

// Report is what Run found; as JSON the object that `tritflow crossval --json`
// prints.
type Report struct {
	Model     string                 `json:"model"`
	Ours      string                 `json:"ours"` // configuration
	Reference string                 `json:"reference"`
	Tolerance string                 `json:"tolerance"`
	Pass      bool                   `json:"pass"`
	Problems  []*DivergenceError     `json:"problems"`
	Logits    *compare.LogitFigures  `json:"logits,omitempty"` // all cases together; absent where the reference has no logits
	Listed    *compare.ListedFigures `json:"listed,omitempty"` // all cases together, where the reference lists its likeliest tokens
	Text      *Text                  `json:"text,omitempty"`
	Tokens    Generated              `json:"generated"`
	Cases     []*Case                `json:"cases"`
	Layers    []*Layer               `json:"layers"`      // of the first case whose tensors the reference has
	First     *Layer                 `json:"first_layer"` // the first that diverges
	Speed     Speed                  `json:"speed"`
	Notes     []string               `json:"notes"`
}

// Text is how surprised both are by the tokens of the cases.
type Text struct {
	Tokens     int     `json:"tokens"`
	Perplexity float64 `json:"perplexity"`
	Reference  float64 `json:"reference"`
	Relative   float64 `json:"relative"` // ours / reference − 1
}

// Generated compares greedy answers.
type Generated struct {
	Tokens int `json:"tokens"` // that the reference generated
	Equal  int `json:"equal"`  // of these, before the first difference of each case
}

// Case is one prompt.
type Case struct {
	Name      string                 `json:"name"`
	Prompt    string                 `json:"prompt,omitempty"`
	Tokens    []int32                `json:"tokens"`
	Given     int                    `json:"given"` // tokens of the prompt; the rest is the reference's greedy answer
	Logits    *compare.LogitFigures  `json:"logits,omitempty"`
	Listed    *compare.ListedFigures `json:"listed,omitempty"`
	Positions []int                  `json:"positions,omitempty"` // those that the reference tells of, where not all
	KL        []float64              `json:"kl_by_position"`
	Answer    []int32                `json:"answer"`                     // ours, greedy, where the reference has one
	Equal     int                    `json:"equal"`                      // tokens of the answer before the first difference
	Tokenized []int32                `json:"reference_tokens,omitempty"` // of the prompt, where the reference's tokenizer gives others
	Tensors   bool                   `json:"has_layers"`                 // the reference has this case's tensors

	ties   []float64    // the reference's gaps where likeliest tokens differ
	odd    []*oddity    // tokens that the reference drew and that were not its likeliest
	sample [][2]float32 // reference and ours, for the plot
}

// oddity is a token of the reference that its own list does not have first.
type oddity struct {
	position    int
	token, best int32
	short       float64 // by how much
}

// rows are the positions that were compared, and those with the same likeliest
// token.
func (r *Report) rows() (equal, rows int) {
	if f := r.Logits; f != nil {
		equal, rows = f.Equal, f.Rows
	}
	if f := r.Listed; f != nil {
		equal, rows = equal+f.Equal, rows+f.Rows
	}
	return equal, rows
}

// first is the first position with another likeliest token.
func (r *Report) first() *compare.Divergence {
	switch {
	case r.Logits != nil && r.Logits.First != nil:
		return r.Logits.First
	case r.Listed != nil:
		return r.Listed.First
	}
	return nil
}

// Layer is one tensor of the network.
type Layer struct {
	Point   string          `json:"point"` // "Kcur-2#1"
	Stage   string          `json:"stage"`
	Figures compare.Figures `json:"figures"`
	Pass    bool            `json:"pass"`
}

// Speed is in tokens a second, side by side; 0 where it is not known.
type Speed struct {
	Prefill          float64 `json:"prefill"`
	Decode           float64 `json:"decode"`
	ReferencePrefill float64 `json:"reference_prefill"`
	ReferenceDecode  float64 `json:"reference_decode"`
}
