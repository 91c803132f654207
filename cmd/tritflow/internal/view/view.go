package view

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sync/errgroup"

	"tritflow/stages"
)

const (
	every   = 500 * time.Millisecond
	history = 40 // speeds that are shown

	// Of a terminal that does not tell its size.
	width, height = 110, 50
)

// View is a picture that is being kept up to date.
type View struct {
	program *tea.Program
	group   errgroup.Group
}

// Start draws on a terminal what source tells, until Stop. It reads no keys and
// handles no signals.
func Start(ctx context.Context, out io.Writer, title string, source func() stages.Snapshot) *View {
	first := source()
	m := model{title: title, source: source, before: first, now: first}
	v := &View{program: tea.NewProgram(m, tea.WithContext(ctx), tea.WithOutput(out), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithWindowSize(width, height))}
	v.group.Go(func() error {
		_, err := v.program.Run()
		return err
	})
	return v
}

// Stop draws a last time, leaves the picture on the terminal and waits for the
// end. A context that ended is no error.
func (v *View) Stop(ctx context.Context) error {
	v.program.Send(last{})
	err := v.group.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

type (
	tick time.Time
	last struct{}
)

// model is bubbletea's.
type model struct {
	title       string
	source      func() stages.Snapshot
	before, now stages.Snapshot
	speeds      []float64
	width       int
}

func again() tea.Cmd { return tea.Tick(every, func(t time.Time) tea.Msg { return tick(t) }) }

// Init, Update and View are tea.Model's.
func (m model) Init() tea.Cmd { return again() }

func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case tick:
		m.look()
		return m, again()
	case last:
		// The whole time, so that what stays on the terminal is the summary.
		m.now = m.source()
		m.before = stages.Snapshot{}
		return m, tea.Quit
	}
	return m, nil
}

// look takes the next snapshot.
func (m *model) look() {
	m.before, m.now = m.now, m.source()
	d := stages.Since(m.before.Pipeline, m.now.Pipeline)
	if d.Elapsed <= 0 {
		return
	}
	m.speeds = append(m.speeds[:len(m.speeds):len(m.speeds)], float64(d.Tokens)/d.Elapsed.Seconds())
	m.speeds = m.speeds[max(0, len(m.speeds)-history):]
}

func (m model) View() tea.View {
	text := Picture(m.title, m.before, m.now, m.speeds)
	if m.width > 0 {
		lines := strings.Split(text, "\n")
		for i, l := range lines {
			if r := []rune(l); len(r) > m.width {
				lines[i] = string(r[:m.width])
			}
		}
		text = strings.Join(lines, "\n")
	}
	return tea.NewView(text)
}
