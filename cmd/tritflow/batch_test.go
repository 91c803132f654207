package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// batchLines makes requests for the built-in model: prompts of 5 to 60 tokens,
// answers of up to 40, greedy and drawn, with some that cannot be answered.
func batchLines(n int) []string {
	words := strings.Fields("once upon a time there was a small dog who found a red ball in the park and ran home to his friend Mia because it was raining")
	rng := rand.New(rand.NewPCG(1, 2))
	lines := make([]string, n)
	for i := range lines {
		var prompt []string
		for range 2 + rng.IntN(20) {
			prompt = append(prompt, words[rng.IntN(len(words))])
		}
		body := map[string]any{"max_tokens": 1 + rng.IntN(40), "ignore_eos": true}
		url := "/v1/completions"
		text := strings.Join(prompt, " ")
		switch i % 10 {
		case 3:
			body["temperature"], body["seed"], body["top_p"] = 0.9, i, 0.9
		case 5:
			body["temperature"], body["top_k"] = 1.1, 20
		case 7:
			body["logprobs"] = 3
		case 8:
			body["n"], body["temperature"] = 3, 0.7
		case 9:
			text = strings.Repeat(text+" ", 60) // too long for the context
		}
		if i%4 == 2 {
			url = "/v1/chat/completions"
			body["messages"] = []map[string]string{{"role": "user", "content": text}}
			delete(body, "logprobs")
		} else {
			body["prompt"] = text
		}
		raw, err := json.Marshal(map[string]any{"custom_id": fmt.Sprint("r", i), "method": "POST", "url": url, "body": body})
		if err != nil {
			panic(err)
		}
		lines[i] = string(raw)
	}
	lines[n/2] = "{poison"
	return lines
}

// batchDir is a folder with an input and the output of an undisturbed run.
func batchDir(t *testing.T, n int) (dir string, want []byte) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "in.jsonl"), strings.Join(batchLines(n), "\n")+"\n")
	out, code := runBatch(t, dir, "want.jsonl")
	if code != 3 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	want, err := os.ReadFile(filepath.Join(dir, "want.jsonl"))
	if err != nil || bytes.Count(want, []byte("\n")) != n {
		t.Fatalf("%d lines, %v", bytes.Count(want, []byte("\n")), err)
	}
	return dir, want
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func batchCommand(dir, out string, more ...string) *exec.Cmd {
	return exec.Command("tritflow", append([]string{"batch", "-i", filepath.Join(dir, "in.jsonl"), "-o", filepath.Join(dir, out)}, more...)...)
}

// runBatch runs the job to its end.
func runBatch(t *testing.T, dir, out string, more ...string) (log string, code int) {
	t.Helper()
	text, err := batchCommand(dir, out, more...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(text), code
}

// arrangements may change from one run of a job to the next.
var arrangements = [][]string{
	{}, {"--devices", "cpu:1"}, {"--devices", "cpu:1,cpu:1", "--max-inflight", "5"}, {"--devices", "cpu:2", "--max-inflight", "1"}, {"--max-inflight", "64"},
}

func TestBatchIsTheSameHoweverItIsRun(t *testing.T) {
	dir, want := batchDir(t, 60)
	for i, more := range arrangements {
		out := fmt.Sprint(i, ".jsonl")
		if log, code := runBatch(t, dir, out, more...); code != 3 {
			t.Fatalf("%v: exit code %d: %s", more, code, log)
		}
		if got, err := os.ReadFile(filepath.Join(dir, out)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: another output (%v)", more, err)
		}
	}
}

// kills is how often TestKilledBatch kills the program; the environment variable
// TRITFLOW_KILLS says otherwise.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("TRITFLOW_KILLS")); err == nil {
		return n
	}
	return 4
}

// TestKilledBatch kills the program at random moments and starts it again, on
// other devices, sometimes with the journal's last record torn.
func TestKilledBatch(t *testing.T) {
	dir, want := batchDir(t, max(150, 12*kills()))
	out := filepath.Join(dir, "out.jsonl")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	killed, torn, most := 0, 0, 80.0
	for round := 0; ; round++ {
		if round > 40*kills()+100 {
			t.Fatal("the job does not come to its end")
		}
		cmd := batchCommand(dir, "out.jsonl", arrangements[rng.IntN(len(arrangements))]...)
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if killed < kills() {
			time.Sleep(time.Duration(most*rng.Float64()*1e6) * time.Nanosecond)
			_ = cmd.Process.Kill()
		}
		err := cmd.Wait()
		code := cmd.ProcessState.ExitCode()
		if code == 3 {
			if killed >= min(kills(), 2) {
				break
			}
			// It was over before it could be killed: from the beginning, and sooner.
			if err := errors.Join(os.Remove(out), os.Remove(out+".journal")); err != nil {
				t.Fatal(err)
			}
			killed, most = 0, most/2
			continue
		}
		if code != -1 && runtime.GOOS != "windows" {
			t.Fatalf("exit code %d (%v): %s", code, err, log.String())
		}
		// Only what has done something counts.
		info, err := os.Stat(out + ".journal")
		if err != nil || info.Size() == 0 {
			most *= 1.2
			continue
		}
		killed++
		if rng.IntN(3) == 0 && info.Size() > 2000 {
			torn++
			if err := os.Truncate(out+".journal", info.Size()-1-rng.Int64N(40)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("killed %d times, torn %d times", killed, torn)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Errorf("another output (%v): %d bytes, want %d", err, len(got), len(want))
	}
	left, err := filepath.Glob(out + "*")
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

// TestBatchOnAFullDisk runs a job on a small file system that is filled to a
// random degree each time.
func TestBatchOnAFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a tmpfs")
	}
	dir, want := batchDir(t, 60)
	small := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(small, 0o777); err != nil {
		t.Fatal(err)
	}
	size := 3*len(want) + 256<<10
	if text, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", size), "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("a tmpfs cannot be mounted here (%v: %s); package batch fills a disk of its own", err, text)
	}
	t.Cleanup(func() { _ = exec.Command("umount", small).Run() })
	if err := os.Symlink(filepath.Join(dir, "in.jsonl"), filepath.Join(small, "in.jsonl")); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(small, "filler")
	rng := rand.New(rand.NewPCG(3, 1))
	full := 0
	for range 6 {
		_ = os.Remove(filler)
		used := 32 << 10
		for _, name := range []string{"out.jsonl", "out.jsonl.journal"} {
			if info, err := os.Stat(filepath.Join(small, name)); err == nil {
				used += int(info.Size())
			}
		}
		write(t, filler, strings.Repeat("x", max(0, size-used-rng.IntN(len(want)/3))))
		log, code := runBatch(t, small, "out.jsonl")
		if code == 3 {
			break
		}
		if code != 1 || !strings.Contains(log, "free some space and give the same command again") {
			t.Fatalf("exit code %d: %s", code, log)
		}
		full++
	}
	if err := os.Remove(filler); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if log, code := runBatch(t, small, "out.jsonl"); code != 3 {
		t.Fatalf("exit code %d: %s", code, log)
	}
	if got, err := os.ReadFile(filepath.Join(small, "out.jsonl")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("another output (%v)", err)
	}
	t.Logf("the disk was full %d times", full)
	if full == 0 {
		t.Error("the disk was never full, so the test shows nothing")
	}
}

// TestInterruptedBatch: the first Ctrl-C finishes what is under way, also while
// the input is awaited, and the same command goes on. Meanwhile a second process
// is refused.
func TestInterruptedBatch(t *testing.T) {
	dir, want := batchDir(t, 60)
	text, err := os.ReadFile(filepath.Join(dir, "in.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.jsonl")
	lines := strings.SplitAfter(string(text), "\n")
	p := start(t, "batch", "-o", out)
	p.say(strings.TrimSuffix(strings.Join(lines[:20], ""), "\n"))
	if !comes(func() bool {
		data, err := os.ReadFile(out)
		return err == nil && bytes.Count(data, []byte("\n")) == 20
	}) {
		t.Fatalf("20 lines are not answered: %s", p.stderr.String())
	}
	if log, code := runBatch(t, dir, "out.jsonl"); code != 2 || !strings.Contains(log, "another process is writing") {
		t.Errorf("a second process: exit code %d: %s", code, log)
	}
	p.interrupt()
	if _, code := p.end(); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, p.stderr.String())
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.HasPrefix(want, got) || bytes.Count(got, []byte("\n")) != 20 {
		t.Errorf("so far %q (%v)", got, err)
	}
	p = start(t, "batch", "-o", out)
	p.say(strings.TrimSuffix(string(text), "\n"))
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if _, code := p.end(); code != 3 {
		t.Errorf("exit code %d, want 3: %s", code, p.stderr.String())
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Errorf("another output (%v)", err)
	}
}

// TestBatchFailureOfTheModelIsNoAnswer: a model file that breaks while the job
// runs ends the job; it does not become lines of the output.
func TestBatchFailureOfTheModelIsNoAnswer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a mapped file cannot be cut on Windows")
	}
	model := slow(t)
	dir := t.TempDir()
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, `{"custom_id":"%d","url":"/v1/completions","body":{"prompt":"abc %d","max_tokens":400,"ignore_eos":true}}`+"\n", i, i)
	}
	write(t, filepath.Join(dir, "in.jsonl"), b.String())
	out := filepath.Join(dir, "out.jsonl")
	p := start(t, "batch", "-m", model, "-i", filepath.Join(dir, "in.jsonl"), "-o", out)
	p.logged("model loaded")
	info, err := os.Stat(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(model, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	if _, code := p.end(); code != 1 {
		t.Errorf("exit code %d, want 1: %s", code, p.stderr.String())
	}
	said, err := oneSentence(p.stderr.String())
	if err != nil || !strings.Contains(said, "it became shorter") {
		t.Errorf("%q, %v", said, err)
	}
	if data, err := os.ReadFile(out); err != nil || bytes.Contains(data, []byte("shorter")) {
		t.Errorf("the failure became a line: %s (%v)", data, err)
	}
}
