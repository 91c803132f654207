package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tritflow/cmd/tritflow/internal/batch/disk"
	"tritflow/cmd/tritflow/internal/batch/journal"
)

const lineCount = 120

// left names what stands beside the output.
func (t *trial) left() []string {
	var names []string
	for name := range t.fs.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestOutputIsInInputOrder(t *testing.T) {
	want := undisturbed(t, lineCount)
	if n := strings.Count(want, "\n"); n != lineCount {
		t.Fatalf("%d lines of output, want %d", n, lineCount)
	}
	for _, window := range []int{1, 3, 0} {
		tr := newTrial(lineCount)
		tr.answerer.rng, tr.window = jitter, window
		j, err := tr.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(tr.fs.files["out"].data); got != want {
			t.Errorf("window %d: another output", window)
		}
		if left := tr.left(); !slices.Equal(left, []string{"out", "out.journal"}) {
			t.Errorf("left behind: %v", left)
		}
		if n, out := len(tr.fs.files["out.journal"].data), len(want); n > out/4 {
			t.Errorf("the finished journal has %d bytes, the output %d", n, out)
		}
		if tot := j.Totals(); tot.Requests != lineCount || tot.Failed == 0 || tot.Failed >= lineCount/2 || tot.CompletionTokens == 0 {
			t.Errorf("totals %+v", tot)
		}
	}
}

func TestOrderFinishedHasTheSameLines(t *testing.T) {
	want := strings.SplitAfter(undisturbed(t, lineCount), "\n")
	tr := newTrial(lineCount)
	tr.answerer.rng, tr.order, tr.window = jitter, OrderFinished, 16
	if _, err := tr.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := strings.SplitAfter(string(tr.fs.files["out"].data), "\n")
	if slices.Equal(got, want) {
		t.Error("the lines did not change places, so the test shows nothing")
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("another set of lines")
	}
}

// TestEveryDisturbance ends a job again and again, each time in another way,
// until it is finished: the output is that of a run in which nothing happened.
func TestEveryDisturbance(t *testing.T) {
	want := undisturbed(t, lineCount)
	calm, err := newTrial(lineCount).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	proof := calm.Proof()
	if proof.Output != hexSum(want) || proof.Draws == "" || proof.Input == "" || proof.Draws == proof.Input {
		t.Fatalf("%+v", proof)
	}
	for _, kind := range []Order{OrderInput, OrderFinished} {
		for seed := range uint64(24) {
			rng := rand.New(rand.NewPCG(seed, 7))
			tr := newTrial(lineCount)
			tr.order, tr.window = kind, 1+rng.IntN(40)
			told := ""
			var end Proof
			for round := 0; ; round++ {
				if round > 300 {
					t.Fatalf("seed %d: no end after %s", seed, told)
				}
				tr.answerer = &oracle{rng: jitter, given: make(chan struct{}, 3+rng.IntN(40))}
				full := rng.IntN(3) == 0
				if full {
					tr.fs.room = int64(rng.IntN(12000))
				}
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(4) == 0 {
					cancel()
				}
				j, err := tr.run(ctx)
				cancel()
				tr.fs.room = -1
				switch {
				case err == nil:
				case errors.Is(err, errKilled), errors.Is(err, context.Canceled):
					told += " died"
				case full && errors.Is(err, syscall.ENOSPC):
					if !strings.Contains(err.Error(), "free some space") {
						t.Errorf("a full disk is told as %q", err)
					}
					told += " full"
				default:
					t.Fatalf("seed %d: after%s: %v", seed, told, err)
				}
				if err == nil && j.Finished() {
					end = j.Proof()
					break
				}
				switch rng.IntN(4) {
				case 0:
					tr.fs.losePower(rng)
					told += " power"
				case 1:
					tr.fs.tear("out.journal", rng)
					told += " torn"
				case 2:
					tr.fs.tear("out", rng)
					told += " torn output"
				}
			}
			got := string(tr.fs.files["out"].data)
			if kind == OrderFinished {
				got, want := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d, finished order: another set of lines after%s", seed, told)
				}
			} else if got != want {
				t.Fatalf("seed %d: another output after%s", seed, told)
			}
			if end.Output = proof.Output; end != proof {
				t.Fatalf("seed %d: other digests after%s", seed, told)
			}
		}
	}
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestFullAtEveryByte: wherever the disk fills up, also while the job is being
// finished, the job goes on from there.
func TestFullAtEveryByte(t *testing.T) {
	const n = 8
	want := undisturbed(t, n)
	for room := int64(0); ; room += 13 {
		tr := newTrial(n)
		tr.fs.room = room
		_, first := tr.run(t.Context())
		if first != nil && !errors.Is(first, syscall.ENOSPC) {
			t.Fatalf("room for %d bytes: %v", room, first)
		}
		enough := tr.fs.room > 0
		tr.fs.room = -1
		for range 2 {
			if j, err := tr.run(t.Context()); err != nil || !j.Finished() {
				t.Fatalf("room for %d bytes, then %v: %v", room, first, err)
			}
		}
		if got := string(tr.fs.files["out"].data); got != want {
			t.Fatalf("room for %d bytes: another output", room)
		}
		if enough {
			return
		}
	}
}

func TestFinishedJobDoesNothing(t *testing.T) {
	tr := newTrial(lineCount)
	if _, err := tr.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, failed := string(tr.fs.files["out"].data), int64(0)
	for _, node := range tr.fs.files {
		node.synced = node.data
	}
	syncs := tr.fs.syncs
	tr.fs.room = 0 // nothing may be written
	j, err := tr.run(t.Context())
	if err != nil || !j.Finished() || string(tr.fs.files["out"].data) != before || tr.fs.syncs != syncs {
		t.Errorf("%v", err)
	}
	if failed = j.Totals().Failed; failed == 0 || j.Totals().Requests != lineCount {
		t.Errorf("totals %+v", j.Totals())
	}

	tr.fs.files["out"].data[5] ^= 1
	var oe *OutputError
	if _, err := tr.run(t.Context()); !errors.As(err, &oe) || !Refused(err) {
		t.Errorf("a changed output: %v", err)
	}
}

// stopped is a job that ended after some lines.
func stopped(t *testing.T, n, given int) *trial {
	t.Helper()
	tr := newTrial(n)
	tr.answerer.given = make(chan struct{}, given)
	if _, err := tr.run(t.Context()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	tr.answerer = &oracle{}
	return tr
}

func TestRefusals(t *testing.T) {
	tr := stopped(t, lineCount, 40)
	tr.settings = []Setting{{"model", "other"}}
	var se *SettingError
	if _, err := tr.run(t.Context()); !errors.As(err, &se) || se.Name != "model" || se.Was != "m" || se.Is != "other" || !Refused(err) {
		t.Errorf("another model: %v", err)
	}
	tr.settings = []Setting{{"model", "m"}}

	lines := strings.SplitAfter(tr.input, "\n")
	for _, c := range []struct {
		name  string
		lines []string
		line  int64
	}{
		{"a changed line", slices.Replace(slices.Clone(lines), 9, 10, strings.Replace(lines[9], "say", "cry", 1)), 10},
		{"two lines exchanged", slices.Concat(lines[:4], lines[5:6], lines[4:5], lines[6:]), 5},
		{"a line more", slices.Insert(slices.Clone(lines), 2, lines[0]), 3},
		{"an end", lines[:20], 0},
	} {
		other := *tr
		other.input = strings.Join(c.lines, "")
		var ie *InputError
		_, err := other.run(t.Context())
		if !errors.As(err, &ie) || c.line > 0 && ie.Line != c.line || !Refused(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// None of this has done any harm.
	if _, err := tr.run(t.Context()); err != nil || string(tr.fs.files["out"].data) != undisturbed(t, lineCount) {
		t.Errorf("afterwards: %v", err)
	}
	tr.input += `{"custom_id":"new","url":"/v1/completions","body":{"prompt":"x"}}`
	var ie *InputError
	if _, err := tr.run(t.Context()); !errors.As(err, &ie) || ie.What != "is new" {
		t.Errorf("a new line of a finished job: %v", err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	tr := newTrial(3)
	tr.fs.files["out"] = &memNode{data: []byte("precious")}
	var fe *ForeignError
	if _, err := tr.run(t.Context()); !errors.As(err, &fe) || len(tr.fs.files) != 1 {
		t.Errorf("an output of another program: %v, %v", err, tr.left())
	}
	tr = newTrial(3)
	tr.fs.files["out.journal"] = &memNode{data: []byte(strings.Repeat("dear diary ", 9))}
	var de *journal.DamageError
	if _, err := tr.run(t.Context()); !errors.As(err, &de) || !strings.HasPrefix(string(tr.fs.files["out.journal"].data), "dear") {
		t.Errorf("a journal of another program: %v", err)
	}
}

func TestLock(t *testing.T) {
	path := t.TempDir() + "/out" + lockSuffix
	unlock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	var le *LockedError
	if _, err := Lock(path); !errors.As(err, &le) || !Refused(err) {
		t.Errorf("a second lock: %v", err)
	}
	if err := unlock(false); err != nil {
		t.Fatal(err)
	}
	if unlock, err = Lock(path); err != nil {
		t.Fatal(err)
	}
	if err := unlock(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a finished job's lock: %v", err)
	}
}

// TestDoubledIDsAcrossRuns: what an id was used for is known again after a resume.
func TestDoubledIDsAcrossRuns(t *testing.T) {
	const n = 300 // the doubled ones are 150 lines apart
	tr := newTrial(n)
	tr.answerer.given = make(chan struct{}, 100)
	if _, err := tr.run(t.Context()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	tr.answerer = &oracle{}
	if _, err := tr.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := string(tr.fs.files["out"].data)
	if out != undisturbed(t, n) || strings.Count(out, "duplicate_custom_id") < 8 {
		t.Errorf("%d doubled ids were found", strings.Count(out, "duplicate_custom_id"))
	}
}

// TestWindowBoundsWhatWaits: the lines that wait for their turn are few, whatever the
// length of the input.
func TestWindowBoundsWhatWaits(t *testing.T) {
	for _, window := range []int{1, 5, 64} {
		tr := newTrial(500)
		tr.answerer.rng = jitter
		j, err := Open(Options{FS: tr.fs, Output: "out", Settings: tr.settings, Order: OrderInput})
		if err != nil {
			t.Fatal(err)
		}
		most := 0
		w := Work{Source: tr.source(), JSON: true, Answerer: tr.answerer, Workers: 16, Window: window}
		w.Progress = func(Progress) { most = max(most, len(j.order.early)) } // by the writer
		if err := errors.Join(j.Run(t.Context(), w), j.Close()); err != nil {
			t.Fatal(err)
		}
		if most >= window {
			t.Errorf("window %d: %d lines waited", window, most)
		}
	}
}

func TestFilesOfTheSystem(t *testing.T) {
	dir := t.TempDir()
	var fs disk.OS
	if _, err := fs.Open(dir+"/none", 0); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := fs.Open(os.DevNull, 0); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("a device: %v", err)
	}
	tr := newTrial(50)
	j, err := Open(Options{FS: fs, Output: dir + "/out", Settings: tr.settings, Order: OrderInput, Lock: Lock})
	if err != nil {
		t.Fatal(err)
	}
	err = j.Run(t.Context(), Work{Source: tr.source(), JSON: true, Answerer: tr.answerer, Workers: 4})
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dir + "/out")
	if err != nil || string(got) != undisturbed(t, 50) {
		t.Errorf("%v", err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestEnergyWrapsAround(t *testing.T) {
	root := t.TempDir()
	zone := root + "/intel-rapl:0"
	write := func(name string, n int) {
		if err := os.WriteFile(zone+"/"+name, []byte(strconv.Itoa(n)+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(zone, 0o777); err != nil {
		t.Fatal(err)
	}
	if startEnergy(root).Joules() != nil {
		t.Error("joules without a counter")
	}
	write("max_energy_range_uj", 10_000_000)
	write("energy_uj", 9_000_000)
	e := startEnergy(root)
	write("energy_uj", 9_500_000)
	e.Tick()
	write("energy_uj", 1_000_000)
	if j := e.Joules(); j == nil || *j != 2 {
		t.Errorf("%v joules, want 2", j)
	}
}
