package receipt

import (
	"runtime"

	"tritflow/cmd/tritflow/internal/fingerprint"
	"tritflow/graph"
	"tritflow/stages"
	"tritflow/stages/sample"
)

// Format is the version of the form of a receipt.
const Format = 1

// Receipt is what `--receipt` writes. Model and Settings and what was asked decide every
// bit of what came out; Ran does not, as long as the kind of devices is the same.
type Receipt struct {
	Format   int      `json:"tritflow_receipt"`
	Program  Program  `json:"program"`
	Model    Model    `json:"model"`
	Settings Settings `json:"settings"`
	Ran      Ran      `json:"ran"`
	Run      *Run     `json:"run,omitempty"`
	Batch    *Batch   `json:"batch,omitempty"`

	// Seal is the SHA-256 of the receipt with an empty seal: it finds damage, it proves
	// nothing about who wrote it.
	Seal string `json:"seal"`
}

// Program is the one that ran.
type Program struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Model names the file and has its hashes.
type Model struct {
	File string `json:"file"` // as it was named, "" = the one inside the program
	fingerprint.Model
}

// Settings are those of the model that decide its numbers.
type Settings struct {
	KV     string `json:"kv"`
	Ctx    int    `json:"ctx"` // positions of a sequence, 0 = the default
	Pre    string `json:"pre,omitempty"`
	Layout string `json:"i2s_layout,omitempty"`
	Tiles  string `json:"tl_tiles,omitempty"`
	Q2     int    `json:"q2_block,omitempty"`
}

// Ran says where and how it was computed.
type Ran struct {
	Devices     []Device `json:"devices"`
	Split       []int    `json:"split"` // blocks on each device of a replica
	Waves       int      `json:"waves"`
	Replicas    int      `json:"replicas"`
	Screen      string   `json:"screen,omitempty"`
	PrefixCache bool     `json:"prefix_cache"`
}

// Device is one that was used.
type Device struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Model   string `json:"model"`
	Tier    string `json:"tier"`
	Workers int    `json:"workers,omitempty"`
}

// Run is what `tritflow run` was asked and what came out.
type Run struct {
	Chat    bool     `json:"chat"`
	Special bool     `json:"special"` // special tokens written in a prompt are taken as such
	Options Options  `json:"options"`
	Answers []Answer `json:"answers"`
}

// Options are those of all answers of a run.
type Options struct {
	MaxTokens int      `json:"max_tokens"`
	Sampling  Sampling `json:"sampling"`
	Stop      []string `json:"stop,omitempty"`
	IgnoreEOS bool     `json:"ignore_eos"`
}

// Sampling is sample.Params with the names of the command line.
type Sampling struct {
	Temperature float32 `json:"temp"`
	TopK        int     `json:"top_k"`
	TypicalP    float32 `json:"typical_p"`
	TopP        float32 `json:"top_p"`
	MinP        float32 `json:"min_p"`
	Repeat      float32 `json:"repeat_penalty"`
	Frequency   float32 `json:"frequency_penalty"`
	Presence    float32 `json:"presence_penalty"`
	LastN       int     `json:"penalty_last_n"`
	AnswerOnly  bool    `json:"penalty_answer_only,omitempty"`
	Seed        uint64  `json:"seed"`
}

// Params are the same for the sampler.
func (s Sampling) Params() sample.Params { return sample.Params(s) }

// Answer is a prompt and what was drawn for it: an id and its logit, as the head gave
// it, for each token and for the end token where one stopped it.
type Answer struct {
	Prompt       string    `json:"prompt"`
	PromptTokens []int32   `json:"prompt_tokens"`
	Text         string    `json:"text"`
	Finish       string    `json:"finish_reason"`
	Drawn        []int32   `json:"drawn"`
	Logits       []float32 `json:"logits"`
	Digest       string    `json:"digest"` // stages.Result.Digest
}

// Batch is what `tritflow batch` was asked and what came out.
type Batch struct {
	Input    string  `json:"input"` // path as it was named, "-" = standard input
	Output   string  `json:"output"`
	Format   string  `json:"format"`
	Column   string  `json:"column,omitempty"`
	IDColumn string  `json:"id_column,omitempty"`
	Chat     bool    `json:"chat"`
	Special  bool    `json:"special"`
	Order    string  `json:"order"`
	Defaults Options `json:"defaults"`

	Requests         int64 `json:"requests"`
	Failed           int64 `json:"failed"`
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`

	InputDigest string `json:"input_sha256"`  // of the digests of its lines
	OutputBytes int64  `json:"output_bytes"`  // of the file
	OutputSHA   string `json:"output_sha256"` // of the file
	Draws       string `json:"draws_sha256"`  // of the digests of what was drawn for each line, in input order
}

// New begins the receipt of a model; file is what it was called.
func New(version, file string, m *fingerprint.Model) *Receipt {
	return &Receipt{
		Format:  Format,
		Program: Program{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH},
		Model:   Model{File: file, Model: *m},
		Ran:     Ran{Devices: []Device{}, Split: []int{}},
	}
}

// On fills in where it was computed.
func (r *Receipt) On(e *stages.Engine) {
	l := e.Layout()
	r.Settings.Ctx = e.Ctx()
	r.Ran.Split, r.Ran.Waves, r.Ran.Replicas = split(e.Plan()), l.Waves, len(l.Replicas)
	for _, d := range e.Devices() {
		i := d.Info()
		r.Ran.Devices = append(r.Ran.Devices, Device{i.Name, i.Kind, i.Model, i.Tier, i.Workers})
	}
}

// split counts the blocks on each device of a plan.
func split(p *graph.Plan) []int {
	counts := make([]int, len(p.Devices))
	for _, s := range p.Stages {
		if s.Kind == graph.StageBlock {
			counts[s.Device]++
		}
	}
	return counts
}

// Kinds are those of the devices that it was computed on.
func (r *Ran) Kinds() map[string]bool {
	kinds := map[string]bool{}
	for _, d := range r.Devices {
		kinds[d.Kind] = true
	}
	return kinds
}
