package check

import (
	"fmt"
	"slices"
)

// Problem is one finding.
type Problem struct {
	Kind    string  `json:"kind"`             // file, vocabulary, network, type, values, trial
	Tensor  string  `json:"tensor,omitempty"` // where it is about one
	Cause   string  `json:"cause"`            // a name that stays the same from version to version (docs/check.md)
	Message string  `json:"message"`
	Sure    float64 `json:"sure"` // probability that this is the cause; 1 where it follows from the file
	Fix     *Fix    `json:"fix,omitempty"`
}

// Fix is what can be done about a problem.
type Fix struct {
	Name     string `json:"name,omitempty"`    // for --fix; empty where nothing in the file can be mended
	What     string `json:"what"`              // what is done, for people
	Lossless bool   `json:"lossless"`          // the model that was meant comes back to the bit
	Asked    bool   `json:"asked,omitempty"`   // made only when named with --fix, for the file does not prove it
	Command  string `json:"command,omitempty"` // what to type

	apply func(*draft) error
}

// automatic fixes are part of every repair.
func (f *Fix) automatic() bool { return f != nil && f.apply != nil && f.Lossless && !f.Asked }

// Report is what was found.
type Report struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`       // the model will run
	Healthy  bool      `json:"healthy"`  // and nothing says that its answers will be wrong
	Reasons  []Problem `json:"reasons"`  // why it will not run
	Wrong    []Problem `json:"wrong"`    // why it will run and answer wrongly
	Warnings []Problem `json:"warnings"` // what is odd but harmless here
	Contents *Contents `json:"contents,omitempty"`
	Origin   *Origin   `json:"origin,omitempty"`
	Trial    *Trial    `json:"trial,omitempty"` // of a short text
	Here     *Here     `json:"here,omitempty"`
	Engine   *Engine   `json:"engine,omitempty"` // with Options.Against
}

// Trial is how plain English fares in the network.
type Trial struct {
	Tokens int     `json:"tokens"`
	Best   float64 `json:"nats"`  // a token, of the text that the network predicts best
	Guess  float64 `json:"guess"` // what guessing costs: the logarithm of the vocabulary's size
}

func newReport(file string) *Report {
	return &Report{File: file, OK: true, Healthy: true, Reasons: []Problem{}, Wrong: []Problem{}, Warnings: []Problem{}}
}

// reason adds why the model will not run; wrong and warn are its milder sisters.
// The Problem may be completed through what they return until the next one is added.
func (r *Report) reason(kind, cause, tensor, format string, args ...any) *Problem {
	r.OK, r.Healthy = false, false
	return add(&r.Reasons, kind, cause, tensor, format, args)
}

func (r *Report) wrong(kind, cause, tensor, format string, args ...any) *Problem {
	r.Healthy = false
	return add(&r.Wrong, kind, cause, tensor, format, args)
}

func (r *Report) warn(kind, cause, tensor, format string, args ...any) *Problem {
	return add(&r.Warnings, kind, cause, tensor, format, args)
}

func add(to *[]Problem, kind, cause, tensor, format string, args []any) *Problem {
	*to = append(*to, Problem{Kind: kind, Cause: cause, Tensor: tensor, Message: fmt.Sprintf(format, args...), Sure: 1})
	return &(*to)[len(*to)-1]
}

// Problems are all findings, the worst first.
func (r *Report) Problems() []Problem {
	return slices.Concat(r.Reasons, r.Wrong, r.Warnings)
}

// finish writes the commands under the fixes of a file that lies on a disk.
func (r *Report) finish() {
	for _, list := range [][]Problem{r.Reasons, r.Wrong, r.Warnings} {
		for i := range list {
			f := list[i].Fix
			if f == nil || f.apply == nil || f.Command != "" {
				continue
			}
			f.Command = fmt.Sprintf("tritflow check %s --repair OUT.gguf", quoteArg(r.File))
			if f.Asked || !f.Lossless {
				f.Command += " --fix " + f.Name
			}
		}
	}
}

// quoteArg makes a path an argument of a shell's command line.
func quoteArg(s string) string {
	for _, c := range s {
		safe := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '.' || c == '_' || c == '-' || c == ':' || c == '\\'
		if !safe {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}

// advice is a Fix that only says what to do.
func advice(format string, args ...any) *Fix { return &Fix{What: fmt.Sprintf(format, args...)} }

const (
	downloadAgain = "download the file again and compare its size or SHA-256 with the publisher's"
	convertAgain  = "convert the original model again"
)
