package vocab

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestManyMarkers: a message made of markers is read once, not once for each.
func TestManyMarkers(t *testing.T) {
	const n = 100_000
	var b strings.Builder
	for i := range n {
		b.WriteString(markBegin + strconv.Itoa(i) + markEnd)
	}
	quick(t, 3*time.Second, func() {
		got := newMarker(markBegin+strconv.Itoa(n)+markEnd, []Message{{Role: "user", Content: b.String() + markBegin}})
		if want := markBegin + strconv.Itoa(n+1) + markEnd; got != want {
			t.Errorf("marker %q, want %q", got, want)
		}
	})
}
