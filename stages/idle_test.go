package stages

import (
	"context"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestIdleEngineSleeps: when its requests have been answered, every goroutine
// of the process waits for something; none runs or wants to.
func TestIdleEngineSleeps(t *testing.T) {
	e := openBuiltin(t, Options{Devices: "cpu:3,cpu:2"})
	for range 2 {
		s, err := e.Submit(context.Background(), Request{Tokens: []int32{1, 2, 3}, MaxTokens: 4})
		if err != nil {
			t.Fatal(err)
		}
		s.Result()
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		var awake []string
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			if awake = awakeGoroutines(); len(awake) == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("after 30 s these still run:\n%s", strings.Join(awake, "\n\n"))
			}
		}
	}
}

var awakeState = regexp.MustCompile(`^goroutine \d+ .*\[(running|runnable)\b`)

// awakeGoroutines gives the stacks of all goroutines but the caller that run
// or could.
func awakeGoroutines() (stacks []string) {
	buf := make([]byte, 1<<20)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	for _, s := range all[1:] { // the caller stands first
		if awakeState.MatchString(s) {
			stacks = append(stacks, s)
		}
	}
	return stacks
}
