package cpu

import "sync/atomic"

// task is what workers do pieces of.
type task struct {
	// do works on indices [lo, hi) with the memory of a worker.
	do func(worker, lo, hi int)

	// A task with keep may be done again: another worker does a piece once more
	// when the one that has it seems to be interrupted, and the first to
	// be through commits. So do writes nothing but memory of the worker and reads nothing but that and
	// what never changes, for it may go on while others are jobs ahead. take copies
	// the operands to the worker's memory, and must stand what it copies to change at the same
	// time: then it is not used. keep copies the results of a piece to where they belong.
	take func(worker int)
	keep func(worker, lo, hi int)
}

// job is the loop at hand: pieces, each of which some worker claims, does and ends. It is over
// when all have ended, whatever became of the workers. Workers that come too late, or
// come back late, find that the number of the job has changed.
//
// The words hold the number of the job, so that they belong to it without being reset.
type job struct {
	now  atomic.Uint64 // number, whether it may be done again, pieces
	over atomic.Uint32 // number of the last job that somebody saw end
	_    [64]byte      // everybody watches these

	// Written when the job before is over. A worker has to claim a piece before it reads them, and
	// if that may be done again, to see afterwards that it still waits.
	task     *task
	n, grain int
	pieces   int
	shares   []share // one for each worker
}

// share is what a worker does of a job as long as it keeps up: pieces that
// follow each other, so that what it has fetched ahead at the end of a piece is
// what the next one begins with.
type share struct {
	word atomic.Uint64 // number of the job, next piece, end
	_    [56]byte      // a cache line of its own
}

// mostPieces a job has.
const mostPieces = 1<<16 - 1

const doAgain = 1 << 31

func numberOf(word uint64) uint32 { return uint32(word >> 32) }

func piecesOf(now uint64) int { return int(uint32(now) &^ doAgain) }

// prepare writes the next job down. The last one is over.
func (j *job) prepare(n, grain, pieces int, t *task) {
	j.task, j.n, j.grain, j.pieces = t, n, grain, pieces
}

// publish begins the job that was prepared, and returns how many pieces it has.
func (j *job) publish() (pieces int) {
	number := j.current() + 1
	first := 0
	for i := range j.shares {
		end := ((i+1)*j.pieces + len(j.shares) - 1) / len(j.shares)
		j.shares[i].word.Store(uint64(number)<<32 | uint64(first)<<16 | uint64(end))
		first = end
	}
	now := uint64(number)<<32 | uint64(j.pieces)
	if mayDoAgain && j.task.keep != nil {
		now |= doAgain
	}
	pieces = j.pieces
	j.now.Store(now)
	return pieces
}

// current is the number of the job at hand, or of the last one.
func (j *job) current() uint32 { return numberOf(j.now.Load()) }

// claim takes the next piece of a share, up to all that are left; none are when it has
// been taken or the job is over.
func (s *share) claim(number uint32, most int) (piece, n int) {
	for {
		word := s.word.Load()
		next, end := int(word>>16&mostPieces), int(word&mostPieces)
		if numberOf(word) != number || next == end {
			return 0, 0
		}
		n := min(most, end-next)
		if s.word.CompareAndSwap(word, word+uint64(n)<<16) {
			return next, n
		}
	}
}

// claimed is the piece that a worker claimed last: number of the job, piece, state. Only
// that worker puts another one there, so whoever is late finds what others made of it.
type claimed struct{ word atomic.Uint64 }

const (
	pieceAgain     = 1 << 0 // somebody does it again
	pieceCommitted = 1 << 1 // somebody copies the results, or has done so
	pieceBits      = 2
)

func (c *claimed) set(number uint32, piece int) {
	c.word.Store(uint64(number)<<32 | uint64(piece)<<pieceBits)
}

// piece is what a word tells.
func pieceOf(word uint64) int { return int(uint32(word) >> pieceBits) }

// commit tells whether the caller was the first who did the piece.
func (c *claimed) commit(number uint32, piece int) bool {
	for {
		word := c.word.Load()
		if numberOf(word) != number || pieceOf(word) != piece || word&pieceCommitted != 0 {
			return false
		}
		if c.word.CompareAndSwap(word, word|pieceCommitted) {
			return true
		}
	}
}

// waits tells whether the piece has not been committed. What was read before it asks was read
// while that was so.
func (c *claimed) waits(number uint32, piece int) bool {
	for {
		word := c.word.Load()
		if numberOf(word) != number || pieceOf(word) != piece || word&pieceCommitted != 0 {
			return false
		}
		if c.word.CompareAndSwap(word, word) { // not a load, which other loads may pass
			return true
		}
	}
}

// again lets the caller, and nobody else, do the piece of a word again.
func (c *claimed) again(word uint64) bool {
	return c.word.CompareAndSwap(word, word|pieceAgain)
}

// open tells whether a piece of the job waits for the worker that claimed it, and for nobody else.
func (c *claimed) open(number uint32) (word uint64, open bool) {
	word = c.word.Load()
	return word, numberOf(word) == number && word&(pieceAgain|pieceCommitted) == 0
}
