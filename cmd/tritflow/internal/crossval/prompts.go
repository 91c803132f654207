package crossval

import (
	_ "embed"
	"fmt"
	"strings"

	"tritflow/cmd/tritflow/internal/strictjson"
	"tritflow/gguf/vocab"
)

// Prompt is what a case begins with.
type Prompt struct {
	Text   string  `json:"prompt"`
	Tokens []int32 `json:"tokens"`
}

// Prompts are used when none are given.
//
//go:embed prompts.txt
var Prompts string

// ReadPrompts reads one prompt a line: text as it is (with \n for a line end and
// \\ for a backslash), or, where the line begins with a brace, {"prompt": TEXT} or {"tokens": [IDS]}. Empty
// lines are left out. Texts become tokens as `run` makes them.
func ReadPrompts(name, text string, v *vocab.Vocab) ([]Prompt, error) {
	var all []Prompt
	text = strings.TrimPrefix(text, "\ufeff") // the mark that some editors begin a file with
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		p := Prompt{Text: strings.NewReplacer(`\\`, `\`, `\n`, "\n").Replace(line)}
		if line[0] == '{' {
			p = Prompt{}
			if err := strictjson.Decode([]byte(line), &p); err != nil {
				return nil, fmt.Errorf("crossval: %s, line %d: %w", name, i+1, err)
			}
		}
		if len(p.Tokens) == 0 {
			p.Tokens = v.Encode(p.Text, vocab.EncodeOptions{AddSpecial: true, ParseSpecial: true})
		}
		if len(p.Tokens) == 0 {
			return nil, fmt.Errorf("crossval: %s, line %d: the prompt has no tokens", name, i+1)
		}
		for _, id := range p.Tokens {
			if id < 0 || int(id) >= v.Size() {
				return nil, fmt.Errorf("crossval: %s, line %d: token %d is outside the vocabulary of %d", name, i+1, id, v.Size())
			}
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("crossval: %s has no prompts", name)
	}
	return all, nil
}
