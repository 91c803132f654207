package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// program is tritflow running beside the test.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	pipe   io.ReadCloser
	stdout *bufio.Reader // of pipe
	stderr logBuffer
}

// logBuffer takes what a program logs while a test looks at it.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	p := &program{t: t, cmd: exec.Command("tritflow", args...)}
	p.cmd.Stderr = &p.stderr
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.pipe, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(p.pipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

func (p *program) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// some waits until the program has printed something.
func (p *program) some() {
	p.t.Helper()
	if _, err := p.stdout.Peek(1); err != nil {
		p.t.Fatalf("no output: %v; stderr: %s", err, p.stderr.String())
	}
}

// logged waits until the program has logged something.
func (p *program) logged(what string) {
	p.t.Helper()
	if !comes(func() bool { return strings.Contains(p.stderr.String(), what) }) {
		p.t.Fatalf("the program does not log %q; stderr: %s", what, p.stderr.String())
	}
}

// slowest is how long something may take on a machine that has much else to do.
const slowest = 4 * time.Minute

// comes waits for what must come.
func comes(ready func() bool) bool {
	for end := time.Now().Add(slowest); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// line reads one line of output.
func (p *program) line() string {
	p.t.Helper()
	s, err := p.stdout.ReadString('\n')
	if err != nil {
		p.t.Fatalf("after %q: %v; stderr: %s", s, err, p.stderr.String())
	}
	return strings.TrimSuffix(s, "\n")
}

// end reads the rest of the output and returns the exit code.
func (p *program) end() (rest string, code int) {
	p.t.Helper()
	all, err := io.ReadAll(p.stdout)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(all), p.wait()
}

// wait returns the exit code.
func (p *program) wait() int {
	p.t.Helper()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// slow writes a model that takes seconds for long answers.
func slow(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slow.gguf")
	if out, err := exec.Command("tritflow", "synth", path, "--shape", "small").CombinedOutput(); err != nil {
		t.Fatalf("synth: %v: %s", err, out)
	}
	return path
}

func TestInterruptEndsRunWithItsTextSoFar(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "t.json")
	p := start(t, "run", "-m", slow(t), "-p", "abc", "-n", "2000", "--ignore-eos", "--special=false", "--trace", trace)
	p.some()
	p.interrupt()
	text, code := p.end()
	if code != 130 {
		t.Errorf("exit code %d, want 130; stderr: %s", code, p.stderr.String())
	}
	if len(text) < 2 || !strings.HasSuffix(text, "\n") {
		t.Errorf("text so far is %q", text)
	}
	if strings.Contains(p.stderr.String(), `"level":"error"`) {
		t.Errorf("an interrupt is no error: %s", p.stderr.String())
	}
	if data, err := os.ReadFile(trace); err != nil || !bytes.Contains(data, []byte("traceEvents")) {
		t.Errorf("the trace was not finished: %v", err)
	}
}

func TestInterruptWhileThePromptIsAwaited(t *testing.T) {
	a := newApp()
	never, w := io.Pipe()
	defer w.Close()
	a.in = never
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&signalError{os.Interrupt})
	_, err := a.readInput(ctx, "the prompt")
	if code, quiet := exitCode(err); code != 130 || !quiet {
		t.Errorf("exit code %d (quiet %v) for %v", code, quiet, err)
	}
}

func TestInterruptedLoadIsNotTheModelsFault(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&signalError{os.Interrupt})
	a := newApp()
	a.log = zerolog.Nop()
	f := engineFlags{placementFlags: placementFlags{kv: "f16"}}
	_, err := f.load(ctx, a, nil)
	if code, quiet := exitCode(err); code != 130 || !quiet {
		t.Errorf("exit code %d (quiet %v) for %v", code, quiet, err)
	}
}

func TestReaderThatGoesAwayIsAQuietEnd(t *testing.T) {
	p := start(t, "run", "-q", "-m", slow(t), "-p", "abc", "-p", "def", "-n", "2000", "--ignore-eos")
	p.some()
	if err := p.pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 0 || p.stderr.String() != "" {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
}

func TestInterruptStopsTheAnswerAndNotTheChat(t *testing.T) {
	p := start(t, "chat", "-m", slow(t), "--temp", "0", "-n", "2000", "--ignore-eos")
	p.say("tell me")
	p.some()
	p.interrupt()
	first := p.line()
	p.say("and again")
	p.some()
	p.interrupt()
	p.line()
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, code := p.end(); code != 0 || rest != "" {
		t.Errorf("exit code %d, rest %q; stderr: %s", code, rest, p.stderr.String())
	}
	if first == "" {
		t.Error("nothing of the first answer was printed")
	}
}

func TestSecondInterruptLeavesTheChat(t *testing.T) {
	p := start(t, "chat", "-m", slow(t), "--temp", "0", "-n", "2000", "--ignore-eos")
	p.say("tell me")
	p.some()
	p.interrupt()
	p.line()
	p.interrupt()
	if _, code := p.end(); code != 0 {
		t.Errorf("exit code %d; stderr: %s", code, p.stderr.String())
	}
}
