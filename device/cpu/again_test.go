package cpu

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"tritflow/device"
	"tritflow/device/devtest"
)

// squares is a task that may be done again: of operand + index. One worker can be held
// within a piece.
type squares struct {
	operand int
	shared  []int
	own     []squaresOwn // per worker
	kept    []atomic.Int32

	hold    atomic.Bool // the next piece
	early   bool        // before its operands are taken
	held    chan int    // its worker
	release chan struct{}
	left    chan struct{} // it has gone on
	after   func()        // what it does then
}

type squaresOwn struct {
	operand int
	results []int
	done    atomic.Int32 // indices
}

func newSquares(n, workers int) *squares {
	s := &squares{shared: make([]int, n), own: make([]squaresOwn, workers), kept: make([]atomic.Int32, n),
		held: make(chan int, 1), release: make(chan struct{}), left: make(chan struct{}), after: func() {}}
	for w := range s.own {
		s.own[w].results = make([]int, n)
	}
	return s
}

func (s *squares) task() *task {
	return &task{
		take: func(worker int) {
			if s.early {
				s.wait(worker)
			}
			s.own[worker].operand = s.operand
		},
		do: func(worker, lo, hi int) {
			me := &s.own[worker]
			s.wait(worker)
			for i := lo; i < hi; i++ {
				me.results[i] = (me.operand + i) * (me.operand + i)
				me.done.Add(1)
			}
		},
		keep: func(worker, lo, hi int) {
			for i := lo; i < hi; i++ {
				s.shared[i] = s.own[worker].results[i]
				s.kept[i].Add(1)
			}
		},
	}
}

// wait holds the worker if one is to be held.
func (s *squares) wait(worker int) {
	if s.hold.CompareAndSwap(true, false) {
		s.held <- worker
		<-s.release
		defer close(s.left)
		s.after()
	}
}

// run runs a job and checks that each piece was kept once.
func (s *squares) run(t *testing.T, team *team, operand int) {
	t.Helper()
	n := len(s.shared)
	err := team.do(t.Context(), func(context.Context) error {
		s.operand = operand
		clear(s.shared)
		for i := range n {
			s.kept[i].Store(0)
		}
		return team.Run(n, 2, s.task())
	})
	if err != nil {
		t.Fatal(err)
	}
	s.check(t, operand)
}

func (s *squares) check(t *testing.T, operand int) {
	t.Helper()
	for i, v := range s.shared {
		if v != (operand+i)*(operand+i) || s.kept[i].Load() != 1 {
			t.Fatalf("operand %d: index %d is %d, kept %d times", operand, i, v, s.kept[i].Load())
		}
	}
}

func needsAgain(t *testing.T) {
	if !mayDoAgain {
		t.Skip("pieces are not done again where races are looked for")
	}
}

// TestLate: a job is over without the worker that is held in a piece, so are those after it. What
// that worker made is dropped, whether it ends well or not, and it takes part again.
func TestLate(t *testing.T) {
	needsAgain(t)
	for name, after := range map[string]func(){"returns": func() {}, "panics": explode, "begins": func() {}} {
		t.Run(name, func(t *testing.T) {
			for i, workers := range []int{2, 2, 3, 5} {
				team := newTeam("cpu:0", workers)
				s := newSquares(64, workers)
				s.after, s.early = after, name == "begins"
				s.run(t, team, 3)
				s.hold.Store(true)
				s.run(t, team, 5)
				late := <-s.held
				did := &s.own[late].done
				before := did.Load()
				operand := 5
				for ; i > 0 && operand < 20; operand++ { // the first is released before another job
					s.run(t, team, operand)
				}
				operand = s.operand
				if i > 0 { // one whose pieces are not done again
					if err := runJob(team, 64, 2, func(worker, _, _ int) {
						if worker == late {
							t.Error("the late worker took part")
						}
					}); err != nil {
						t.Fatal(err)
					}
				}
				if team.workers[late].busy.Load() != true {
					t.Error("the late worker is not busy")
				}
				close(s.release)
				<-s.left
				s.check(t, operand)
				team.settle()
				s.check(t, operand)
				if n := did.Load() - before; s.early && n != 0 {
					t.Errorf("it did %d indices without operands", n)
				}
				all := sync.WaitGroup{}
				all.Add(workers)
				if err := runJob(team, workers, 1, func(_, _, _ int) { all.Done(); all.Wait() }); err != nil {
					t.Fatal(err)
				}
				team.Close()
			}
		})
	}
}

// TestSettleSeesHelp: who has a piece of another worker to do again is at it, from the moment that it has it.
func TestSettleSeesHelp(t *testing.T) {
	needsAgain(t)
	team := newTeam("cpu:0", 2)
	defer team.Close()
	eventually(t, "both sleep", func() bool { return team.workers[0].asleep.Load() && team.workers[1].asleep.Load() })
	late, m := &team.workers[0], &team.workers[1]
	m.again = true
	late.holds.set(m.number, 3)
	if e := team.watch(m, spinTime); e != helpAgain || m.late != late || pieceOf(m.word) != 3 {
		t.Fatalf("event %d, piece %d", e, pieceOf(m.word))
	}
	if !m.busy.Load() {
		t.Error("the piece could be committed, and settle return, before it is begun")
	}
	late.holds.commit(m.number, 3)
	m.busy.Store(false)
}

// TestLateClose: Close waits for a worker that is late.
func TestLateClose(t *testing.T) {
	needsAgain(t)
	team := newTeam("cpu:0", 2)
	s := newSquares(64, 2)
	s.hold.Store(true)
	s.run(t, team, 5)
	<-s.held
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		team.Close()
		select {
		case <-s.left:
		default:
			t.Error("closed while a worker was at a piece")
		}
	}()
	close(s.release)
	<-closed
}

// TestAgainError: a panic in a piece that nobody else has done ends the job.
func TestAgainError(t *testing.T) {
	for _, workers := range []int{1, 2, 3} {
		team := newTeam("cpu:7", workers)
		s := newSquares(64, workers)
		task := s.task()
		do := task.do
		task.do = func(worker, lo, hi int) {
			if lo == 40 {
				explode()
			}
			do(worker, lo, hi)
		}
		err := team.do(t.Context(), func(context.Context) error { return team.Run(64, 2, task) })
		if _, ok := errors.AsType[*device.PanicError](err); !ok || !errors.Is(err, errKernel) {
			t.Errorf("error %v", err)
		}
		s.run(t, team, 4)
		team.Close()
	}
}

// TestLateSame: the logits are the same bits when a worker is held in a product, in the bounds of
// the head, or nowhere.
func TestLateSame(t *testing.T) {
	m := devtest.OpenModel(t, devtest.Ternary)
	b := func() *device.Batch {
		return devtest.NewBatch(device.Output{TopK: 5}, devtest.Chunk{ID: 1, Pages: []int32{3}, Tokens: []int32{3}})
	}
	forward := func(d *cpuDevice, parts []devtest.Part) []device.Candidate {
		l, err := devtest.Forward(context.Background(), parts, b())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
		sc, err := l.Row(0)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(sc.Top)
	}
	d := open(t, "1")
	want := forward(d, loadModel(t, m, d))
	closeAll(t, d)
	for _, where := range []func(*jobs) *task{nil, func(j *jobs) *task { return &j.multiplyAgain }, func(j *jobs) *task { return &j.screenAgain }} {
		if where != nil && !mayDoAgain {
			continue
		}
		d := open(t, "2")
		d.work.leastPiece = 1
		if err := d.SetScreening(device.ScreenNow); err != nil {
			t.Fatal(err)
		}
		parts := loadModel(t, m, d)
		var held atomic.Bool
		release := make(chan struct{})
		if where != nil {
			task := where(&d.work.jobs)
			do := task.do
			task.do = func(worker, lo, hi int) {
				if held.CompareAndSwap(false, true) {
					<-release
				}
				do(worker, lo, hi)
			}
		}
		for range 3 {
			if got := forward(d, parts); !slices.Equal(got, want) {
				t.Errorf("candidates %v, want %v", got, want)
			}
		}
		if where != nil && !held.Load() {
			t.Error("no worker was held")
		}
		close(release)
		closeAll(t, d)
	}
}
