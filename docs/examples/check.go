//go:build ignore

// Check compares what `tritflow batch` wrote for batch.jsonl with the known answers:
//
//	tritflow batch -i docs/examples/batch.jsonl -o out.jsonl
//	go run docs/examples/check.go out.jsonl
//
// It prints every answer that is missing or wrong, and how many are right. The
// exit code is 1 below 98 %. Lines may come in any order.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

const least = 0.98

// known is a line of answers.jsonl: the exact text, or words that must be in it.
type known struct {
	CustomID string   `json:"custom_id"`
	Answer   string   `json:"answer"`
	Words    []string `json:"words"`
}

// line is a line of a batch's output; chats have a message, completions a text.
type line struct {
	CustomID string `json:"custom_id"`
	Response *struct {
		StatusCode int `json:"status_code"`
		Body       struct {
			Choices []struct {
				Text    string `json:"text"`
				Message *struct {
					Content string `json:"content"`
				} `json:"message"`
				FinishReason string `json:"finish_reason"`
			} `json:"choices"`
		} `json:"body"`
	} `json:"response"`
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: go run docs/examples/check.go OUT.jsonl"))
	}
	_, here, _, _ := runtime.Caller(0)
	answers, err := read[known](filepath.Join(filepath.Dir(here), "answers.jsonl"))
	if err != nil {
		fail(err)
	}
	lines, err := read[line](os.Args[1])
	if err != nil {
		fail(err)
	}
	byID := map[string]line{}
	for _, l := range lines {
		byID[l.CustomID] = l
	}
	right := 0
	for _, k := range answers {
		text, problem := answerOf(byID, k.CustomID)
		switch {
		case problem != "":
			fmt.Printf("%s: %s\n", k.CustomID, problem)
		case !k.matches(text):
			fmt.Printf("%s: %q, want %q%q\n", k.CustomID, text, k.Answer, k.Words)
		default:
			right++
		}
	}
	fmt.Printf("%d of %d are right\n", right, len(answers))
	if float64(right) < least*float64(len(answers)) {
		os.Exit(1)
	}
}

// answerOf finds a request's answer, or says why there is none.
func answerOf(lines map[string]line, id string) (text, problem string) {
	l, ok := lines[id]
	switch {
	case !ok:
		return "", "no line"
	case l.Response == nil || l.Response.StatusCode != 200 || len(l.Response.Body.Choices) == 0:
		return "", "no answer"
	}
	c := l.Response.Body.Choices[0]
	if c.FinishReason != "stop" {
		return "", "the answer did not end: " + c.FinishReason
	}
	if c.Message != nil {
		return c.Message.Content, ""
	}
	return c.Text, ""
}

func (k known) matches(text string) bool {
	if len(k.Words) == 0 {
		return text == k.Answer
	}
	for _, w := range k.Words {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(w) + `\b`).MatchString(text) {
			return false
		}
	}
	return true
}

// read decodes a file of one JSON object a line.
func read[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []T
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for n := 1; s.Scan(); n++ {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		out = append(out, v)
	}
	return out, s.Err()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(2)
}
