package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tritflow/cmd/tritflow/internal/convert/hftest"
	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// TestMain makes the test binary stand in for the program: scripts and tests
// find it as tritflow on the path.
func TestMain(m *testing.M) {
	// Built with the race detector, every program that is run would wait a second at its end.
	if err := os.Setenv(raceOptions, os.Getenv(raceOptions)+" atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"tritflow": main})
}

const raceOptions = "GORACE"

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"records":  records,
			"patch":    patch,
			"truncate": truncate,
			"hostile":  hostile,
			"exists1":  exists1,
			"fails":    fails,
			"damaged":  damaged,
			"poison":   poison,
			"rewrite":  rewrite,
			"vectors":  vectors,
			"folder":   folder,
			"sametext": sametext,

			"flipbit":     flipbit,
			"benchreport": benchreport,
			"transcript":  transcript,
			"serve":       serve,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv(raceOptions, os.Getenv(raceOptions))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			// A model with an embedding of its own.
			llama, err := filepath.Abs("../../graph/testdata/tiny-llama-f32.gguf")
			env.Setenv("LLAMA", llama)
			env.Setenv("TESTDATA", filepath.Dir(llama))
			env.Setenv("EMBEDDING", filepath.Join(filepath.Dir(llama), "tiny-qwen3-embedding.gguf"))
			return err
		},
	})
}

// folder FILE DIR STYLE: a model folder of Hugging Face's form out of a GGUF file.
func folder(ts *testscript.TestScript, _ bool, args []string) {
	f, err := gguf.Open(ts.MkAbs(args[0]), gguf.Options{})
	ts.Check(err)
	dir := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(hftest.Write(dir, f, hftest.Options{Style: hftest.Style(args[2])}))
	ts.Check(f.Close())
}

// vectors FILE N WIDTH unit|any: N lines of WIDTH numbers, of length 1 or not.
func vectors(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	if args[1] != numeral(len(lines)) {
		ts.Fatalf("%d lines, want %s", len(lines), args[1])
	}
	for i, line := range lines {
		fields, sum := strings.Fields(line), 0.0
		for _, f := range fields {
			v, err := strconv.ParseFloat(f, 32)
			ts.Check(err)
			sum += v * v
		}
		if args[2] != numeral(len(fields)) || (math.Abs(sum-1) < 1e-5) != (args[3] == "unit") {
			ts.Fatalf("line %d: %d numbers of length %v", i, len(fields), math.Sqrt(sum))
		}
	}
}

// records FILE N: N lines, each an object with exactly the fields that run
// --json promises, in order, and indices from 0.
func records(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
	if want := args[1]; want != numeral(len(lines)) {
		ts.Fatalf("%d lines, want %s", len(lines), want)
	}
	for i, line := range lines {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var r struct {
			Index        *int     `json:"index"`
			Prompt       *string  `json:"prompt"`
			Text         *string  `json:"text"`
			Tokens       *[]int32 `json:"tokens"`
			FinishReason *string  `json:"finish_reason"`
			Usage        *struct {
				PromptTokens     *int `json:"prompt_tokens"`
				CompletionTokens *int `json:"completion_tokens"`
			} `json:"usage"`
			Timings *struct {
				LoadMS       *float64 `json:"load_ms"`
				PrefillTokS  *float64 `json:"prefill_tok_s"`
				DecodeTokS   *float64 `json:"decode_tok_s"`
				FirstTokenMS *float64 `json:"first_token_ms"`
			} `json:"timings"`
		}
		ts.Check(d.Decode(&r))
		switch {
		case r.Index == nil || r.Prompt == nil || r.Text == nil || r.Tokens == nil || r.FinishReason == nil ||
			r.Usage == nil || r.Usage.PromptTokens == nil || r.Usage.CompletionTokens == nil ||
			r.Timings == nil || r.Timings.LoadMS == nil:
			ts.Fatalf("line %d lacks a field: %s", i, line)
		case *r.Index != i:
			ts.Fatalf("line %d has index %d", i, *r.Index)
		case len(*r.Tokens) != *r.Usage.CompletionTokens:
			ts.Fatalf("line %d: %d tokens, usage says %d", i, len(*r.Tokens), *r.Usage.CompletionTokens)
		case !jsonKeys.MatchString(line):
			ts.Fatalf("line %d has its fields in another order: %s", i, line)
		}
	}
}

var jsonKeys = regexp.MustCompile(`^\{"index":.*"prompt":.*"text":.*"tokens":.*"finish_reason":.*"usage":\{"prompt_tokens":\d+,"completion_tokens":\d+\},"timings":\{"load_ms":.*"prefill_tok_s":.*"decode_tok_s":.*"first_token_ms":.*\}`)

func numeral(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// sametext A B: two outputs of run --json have the same prompts and tokens.
func sametext(ts *testscript.TestScript, neg bool, args []string) {
	tokens := func(file string) string {
		text := ts.ReadFile(file)
		if !jsonKeys.MatchString(text) {
			ts.Fatalf("%s is not what run --json prints: %s", file, text)
		}
		return regexp.MustCompile(`"timings":.*`).ReplaceAllString(text, "")
	}
	if a, b := tokens(args[0]), tokens(args[1]); (a == b) == neg {
		ts.Fatalf("the same: %v\n%s\n%s", a == b, a, b)
	}
}

// patch FILE OLD NEW: replaces bytes of the same number, all occurrences.
func patch(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	if len(args[1]) != len(args[2]) || !bytes.Contains(data, []byte(args[1])) {
		ts.Fatalf("cannot replace %q by %q", args[1], args[2])
	}
	ts.Check(os.WriteFile(path, bytes.ReplaceAll(data, []byte(args[1]), []byte(args[2])), 0o666))
}

// truncate FILE: cuts a file to its first half.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	info, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Truncate(path, info.Size()/2))
}

// exists1 GLOB...: the patterns match exactly one file in all.
func exists1(ts *testscript.TestScript, _ bool, args []string) {
	var found []string
	for _, pattern := range args {
		m, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		found = append(found, m...)
	}
	if len(found) != 1 {
		ts.Fatalf("found %v", found)
	}
}

// hostile DIR: every hostile file (with -short a few) is refused by check and by run, each with
// exit code 2, by run in one sentence with the file's name.
func hostile(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o777))
	cases := gguftest.Hostile()
	if len(cases) < 40 {
		ts.Fatalf("only %d hostile files", len(cases))
	}
	if testing.Short() {
		cases = cases[:5] // the package gguf tries them all
	}
	for i, c := range cases {
		path := filepath.Join(dir, "h"+numeral(i)+".gguf")
		ts.Check(os.WriteFile(path, c.Data, 0o666))
		if err := ts.Exec("tritflow", "check", path); err == nil || !strings.Contains(err.Error(), "exit status 2") {
			ts.Fatalf("check of %s: %v", c.Name, err)
		}
		fails(ts, false, []string{"2", regexp.QuoteMeta(path) + ": .*; ", "run", "-m", path, "-p", "x"})
	}
}
