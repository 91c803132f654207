package crossval

import (
	"tritflow/cmd/tritflow/internal/compare"
)

// Report is what Run found; as JSON the object that `tritflow crossval --json`
// prints.
type Report struct {
	Model     string               `json:"model"`
	Ours      string               `json:"ours"` // configuration
	Reference string               `json:"reference"`
	Tolerance string               `json:"tolerance"`
	Pass      bool                 `json:"pass"`
	Problems  []*DivergenceError   `json:"problems"`
	Logits    compare.LogitFigures `json:"logits"` // all cases together
	Text      Text                 `json:"text"`
	Tokens    Generated            `json:"generated"`
	Cases     []*Case              `json:"cases"`
	Layers    []*Layer             `json:"layers"`      // of the first case whose tensors the reference has
	First     *Layer               `json:"first_layer"` // the first that diverges
	Speed     Speed                `json:"speed"`
	Notes     []string             `json:"notes"`
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
	Name      string               `json:"name"`
	Prompt    string               `json:"prompt,omitempty"`
	Tokens    []int32              `json:"tokens"`
	Given     int                  `json:"given"` // tokens of the prompt; the rest is the reference's greedy answer
	Logits    compare.LogitFigures `json:"logits"`
	KL        []float64            `json:"kl_by_position"`
	Answer    []int32              `json:"answer"`                     // ours, greedy, where the reference has one
	Equal     int                  `json:"equal"`                      // tokens of the answer before the first difference
	Tokenized []int32              `json:"reference_tokens,omitempty"` // of the prompt, where the reference's tokenizer gives others
	Tensors   bool                 `json:"has_layers"`                 // the reference has this case's tensors

	ties   []float64    // the reference's gaps where likeliest tokens differ
	sample [][2]float32 // reference and ours, for the plot
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
