package main

import (
	"bytes"
	"testing"
)

// TestQuietDrawsNothing: -q leaves errors alone, on a terminal too.
func TestQuietDrawsNothing(t *testing.T) {
	for _, c := range []struct {
		logging logFlags
		drawn   bool
	}{
		{logFlags{level: "info"}, true}, {logFlags{verbose: true}, true}, {logFlags{quiet: true}, false}, {logFlags{level: "off"}, false},
	} {
		a := newApp()
		a.err, a.terminal = new(bytes.Buffer), true
		if err := c.logging.configure(a); err != nil {
			t.Fatal(err)
		}
		if step, _ := a.progress("working"); a.bars() != c.drawn || (step != nil) != c.drawn {
			t.Errorf("%+v: bars %v, want %v", c.logging, a.bars(), c.drawn)
		}
	}
}
