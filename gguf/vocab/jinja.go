package vocab

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// Bounds of a template. A chat template comes with a file from anywhere, so it
// runs in an environment without access to files, with a chosen set of
// functions, and every loop, call and value is paid from a budget.
const (
	maxSource  = 64 << 10        // bytes of a template
	maxTag     = 1024            // tokens of one {{ }} or {% %}
	maxSteps   = 100_000         // loop passes, calls, expressions
	maxWork    = 256 << 20       // bytes of all values made
	maxValue   = 1 << 20         // bytes of one value, beside twice the chat's size
	maxCalls   = 64              // macros within macros
	maxRange   = 10_000          // elements of a range
	maxNesting = 32              // lists within lists
	maxTime    = 5 * time.Second // checked at every step
)

// chat is what a template is rendered with.
type chat struct {
	msgs     []Message
	gen      bool
	bos, eos string
}

// jinja is one rendering: the budget and its use.
type jinja struct {
	steps, work, calls int
	limit              int // of one value and of the output
	deadline           time.Time
	err                error // the first violation
}

// renderJinja renders a template as Hugging Face's apply_chat_template does
// (trim_blocks and lstrip_blocks set). It never panics; all errors are
// *TemplateError.
func renderJinja(name, source string, c chat) (text string, err error) {
	fail := func(reason string, err error) error { return &TemplateError{Template: name, Reason: reason, Err: err} }
	defer func() {
		if r := recover(); r != nil {
			text, err = "", fail("the template engine broke down", fmt.Errorf("%v", r))
		}
	}()
	j := &jinja{limit: maxValue, deadline: time.Now().Add(maxTime)}
	msgs := make([]any, len(c.msgs))
	for i, m := range c.msgs {
		msgs[i] = map[string]any{"role": m.Role, "content": m.Content}
		j.limit += 2 * (len(m.Role) + len(m.Content))
	}
	if err := vet(source); err != nil {
		return "", fail("refused", err)
	}
	loader, err := loaders.NewMemoryLoader(map[string]string{"/chat": source})
	if err != nil {
		return "", fail("cannot be loaded", err)
	}
	cfg := jinjaConfig()
	tpl, err := exec.NewTemplate("/chat", cfg, loader, j.environment())
	if err != nil {
		return "", fail("cannot be parsed", brief(err))
	}
	root := tpl.Root()
	root.Nodes = j.guardNodes(root.Nodes)
	out := &cappedWriter{left: j.limit}
	err = tpl.Execute(out, exec.NewContext(map[string]any{
		"messages":              msgs,
		"add_generation_prompt": c.gen,
		"bos_token":             c.bos,
		"eos_token":             c.eos,
		"tools":                 nil,
		"documents":             nil,
	}))
	if j.err != nil {
		err = j.err
	}
	if err != nil {
		return "", fail("cannot be rendered", brief(err))
	}
	return out.String(), nil
}

func jinjaConfig() *config.Config {
	cfg := config.New()
	cfg.TrimBlocks, cfg.LeftStripBlocks = true, true
	return cfg
}

// vet refuses what would blow up the parser or escape the budget: long
// sources, long expressions (each of its operators may double a value), and
// multiplication (it repeats strings).
func vet(source string) error {
	if len(source) > maxSource {
		return fmt.Errorf("%d bytes, at most %d are allowed", len(source), maxSource)
	}
	n := 0
	for s := tokens.LexAll(source, jinjaConfig()); !s.End(); s.Next() {
		t := s.Current()
		switch t.Type {
		case tokens.BlockBegin, tokens.VariableBegin, tokens.BlockEnd, tokens.VariableEnd:
			n = 0
		case tokens.Multiply, tokens.Power:
			return fmt.Errorf("line %d: the operator %s is not supported", t.Line, t.Val)
		}
		if n++; n > maxTag {
			return fmt.Errorf("line %d: an expression of more than %d tokens", t.Line, maxTag)
		}
	}
	return nil
}

// spend pays for a step that makes n bytes.
func (j *jinja) spend(n int) error {
	j.steps++
	j.work += n
	switch {
	case j.err != nil:
	case j.steps > maxSteps:
		j.err = fmt.Errorf("more than %d steps", maxSteps)
	case n > j.limit:
		j.err = fmt.Errorf("a value of more than %d bytes", j.limit)
	case j.work > maxWork:
		j.err = fmt.Errorf("values of more than %d bytes together", maxWork)
	case time.Now().After(j.deadline):
		j.err = fmt.Errorf("takes more than %v", maxTime)
	}
	return j.err
}

// environment is what templates may use, bound to this rendering.
func (j *jinja) environment() *exec.Environment {
	return &exec.Environment{
		Filters:           j.filters(),
		Tests:             builtins.Tests,
		ControlStructures: j.blocks(),
		Methods:           j.methods(),
		Context:           j.functions(),
	}
}

// cappedWriter is the output.
type cappedWriter struct {
	strings.Builder
	left int
}

var errOutput = errors.New("the output is too long")

func (w *cappedWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errOutput
	}
	return w.Builder.Write(p)
}

func (w *cappedWriter) WriteString(s string) (int, error) {
	if w.left -= len(s); w.left < 0 {
		return 0, errOutput
	}
	return w.Builder.WriteString(s)
}

// brief cuts the engine's errors, which repeat the template's text.
func brief(err error) error {
	const most = 300
	if s := err.Error(); len(s) > most {
		return fmt.Errorf("%.*s … %s", most/2, s, s[len(s)-most/2:])
	}
	return err
}
