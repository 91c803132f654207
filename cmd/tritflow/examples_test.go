package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"

	"tritflow/gguf/vocab"
	"tritflow/stages"
)

const examples = "../../docs/examples/"

// exampleRequest is a line of docs/examples/batch.jsonl, with the fields that the
// lines use.
type exampleRequest struct {
	CustomID string `json:"custom_id"`
	Method   string `json:"method"`
	URL      string `json:"url"`
	Body     struct {
		Model       string          `json:"model"`
		Prompt      string          `json:"prompt"`
		Messages    []vocab.Message `json:"messages"`
		MaxTokens   int             `json:"max_tokens"`
		Temperature float64         `json:"temperature"`
	} `json:"body"`
}

// TestExamples: the engine answers the example batch rightly, as the script beside it
// counts, and the script notices answers that are wrong or missing.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the script that checks")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command to run the script with")
	}
	out := answerExamples(t, readExamples(t))
	path := filepath.Join(t.TempDir(), "out.jsonl")
	check := func(lines [][]byte) (string, bool) {
		t.Helper()
		if err := os.WriteFile(path, bytes.Join(lines, []byte("\n")), 0o666); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), goTool, "run", examples+"check.go", path).CombinedOutput()
		return string(said), err == nil
	}
	said, ok := check(out)
	if t.Log(said); !ok {
		t.Error("the answers are not right")
	}
	spoiled := append([][]byte{}, out[2:]...)
	for i := range spoiled[:3] {
		spoiled[i] = bytes.Replace(spoiled[i], []byte(" = "), []byte(" = 9"), 1)
	}
	if said, ok := check(spoiled); ok || strings.Count(said, "no line") != 2 || strings.Count(said, ", want ") < 3 {
		t.Errorf("five spoiled answers are not noticed:\n%s", said)
	}
}

// transcript QUESTIONS ANSWERS: splits docs/examples/chat.txt, whose questions begin
// with "> ", into a file of what the user said and one of what the model did.
func transcript(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(examples + "chat.txt")
	ts.Check(err)
	var files [2]bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if question, ok := strings.CutPrefix(line, "> "); ok {
			files[0].WriteString(question)
		} else {
			files[1].WriteString(line)
		}
	}
	for i, name := range args {
		ts.Check(os.WriteFile(ts.MkAbs(name), files[i].Bytes(), 0o666))
	}
}

func readExamples(t *testing.T) []exampleRequest {
	t.Helper()
	f, err := os.Open(examples + "batch.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []exampleRequest
	for s := bufio.NewScanner(f); s.Scan(); {
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.DisallowUnknownFields()
		var r exampleRequest
		if err := d.Decode(&r); err != nil {
			t.Fatalf("line %d: %v", len(out)+1, err)
		}
		if r.CustomID == "" || r.Method != http.MethodPost || r.Body.Temperature != 0 || (r.Body.Prompt == "") != (r.URL == "/v1/chat/completions") {
			t.Fatalf("line %d: %+v", len(out)+1, r)
		}
		out = append(out, r)
	}
	if len(out) != 200 {
		t.Fatalf("%d requests, want 200", len(out))
	}
	return out
}

// answerExamples gives the lines of a batch's output.
func answerExamples(t *testing.T, requests []exampleRequest) [][]byte {
	t.Helper()
	e, err := stages.Open(t.Context(), "", stages.Options{MaxSeqs: 32})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	tmpl, err := e.Vocab().Template()
	if err != nil {
		t.Fatal(err)
	}
	lines := make([][]byte, len(requests))
	var g errgroup.Group
	for i, r := range requests {
		g.Go(func() error {
			q := stages.Request{Prompt: r.Body.Prompt, MaxTokens: r.Body.MaxTokens}
			if len(r.Body.Messages) > 0 {
				var err error
				if q.Segments, err = tmpl.Render(r.Body.Messages, true); err != nil {
					return err
				}
			}
			s, err := e.Submit(t.Context(), q)
			if err != nil {
				return err
			}
			text := ""
			for tok, err := range s.Tokens() {
				if err != nil {
					return err
				}
				text += tok.Text
			}
			choice := map[string]any{"index": 0, "finish_reason": s.Result().Finish}
			if q.Segments != nil {
				choice["message"] = map[string]any{"role": "assistant", "content": text}
			} else {
				choice["text"] = text
			}
			lines[i], err = json.Marshal(map[string]any{"custom_id": r.CustomID, "response": map[string]any{
				"status_code": 200, "body": map[string]any{"choices": []any{choice}},
			}})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return lines
}
