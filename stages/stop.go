package stages

import "strings"

// stopMatcher looks for stop strings in text that arrives in pieces. Text that
// could still be the start of one is held back. Of several matches the one
// that is complete first counts (the longest of those that end together), so
// the result does not depend on how the text was cut into pieces.
type stopMatcher struct {
	stops []string // none empty
	held  string
	hit   bool
}

// push adds a piece and returns the text that certainly comes before any stop
// string. After a match everything is swallowed.
func (m *stopMatcher) push(piece string) string {
	if m.hit {
		return ""
	}
	m.held += piece
	start, end := -1, len(m.held)+1
	for _, stop := range m.stops {
		at := strings.Index(m.held, stop)
		if at < 0 {
			continue
		}
		if e := at + len(stop); e < end || e == end && at < start {
			start, end = at, e
		}
	}
	if start >= 0 {
		m.hit = true
		return m.release(start)
	}
	return m.release(len(m.held) - m.partial())
}

// partial is the length of the longest end of the held text that begins a stop string.
func (m *stopMatcher) partial() int {
	longest := 0
	for _, stop := range m.stops {
		for n := min(len(stop)-1, len(m.held)); n > longest; n-- {
			if strings.HasSuffix(m.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}

// flush returns what was held back; no more text comes.
func (m *stopMatcher) flush() string {
	if m.hit {
		return ""
	}
	return m.release(len(m.held))
}

func (m *stopMatcher) release(n int) string {
	text := m.held[:n]
	m.held = m.held[n:]
	return text
}
