package cpu

import (
	"context"
	"fmt"

	"tritflow/device"
	"tritflow/quantkern"
)

// workspace is the memory that a device computes in. It serves one Forward at
// a time, grows to the largest batch seen and stays, so that a steady state
// allocates next to nothing. For the same reason the jobs are methods, bound
// once, that find their operands here.
type workspace struct {
	dev  *cpuDevice
	rows rows

	// Operands of the call at hand.
	embed  *embed
	block  *block
	head   *head
	logits *logits
	x      []float32 // residual stream [len(Rows), hidden]
	width  int       // of x

	// Buffers, by compact row.
	in   input     // what the next linear reads
	norm []float32 // [n, hidden]
	qkv  []float32 // [n, queries+keys+values]
	att  []float32 // [n, heads × value width]
	out  []float32 // [n, hidden]: what is added to x
	gate []float32 // [n, ffn]
	up   []float32 // [n, ffn]
	pre  []float32 // [n, hidden]: the input of a product that has its own
	acts quantkern.Acts
	left []int32 // compact rows that the full head answers

	product product
	apart   separate // the product that has its own input
	screen  screenState

	angles angleTable
	turn   *angles // of the block and batch at hand

	leastPiece int // bytes

	workers []worker
	scratch int64 // bytes of acts and the workers' scratch that the ledger knows

	jobs  jobs
	calls struct {
		embed, score func(ctx context.Context) error
	}
}

// worker is memory of one worker.
type worker struct {
	kernels quantkern.Scratch
	own     own
	ids     []int32
	vals    []float32
	screen  screenScratch
}

type jobs struct {
	embed                                      task
	attnNorm, angle, position, attend, attnSub task
	ffnNorm, ffnSub, finish                    task
	preNorm, combine                           task
	multiply, multiplyAgain                    task
	headNorm, answer                           task
	screen, screenAgain                        task
	shorten, rescore, choose                   task
}

func (w *workspace) init(d *cpuDevice) {
	w.dev, w.leastPiece = d, leastPiece
	w.angles.ledger = &d.ledger
	w.workers = make([]worker, d.team.Workers())
	w.jobs = jobs{
		embed:    task{do: w.embedRows},
		attnNorm: task{do: w.attnNorm}, angle: task{do: w.angle}, position: task{do: w.position},
		attend: task{do: w.attend}, attnSub: task{do: w.attnSub},
		ffnNorm: task{do: w.ffnNorm}, ffnSub: task{do: w.ffnSub}, finish: task{do: w.finish},
		preNorm: task{do: w.preNorm}, combine: task{do: w.combine},
		multiply:      task{do: w.mulShared},
		multiplyAgain: task{take: w.takeProduct, do: w.mulOwn, keep: w.keepProduct},
		headNorm:      task{do: w.headNorm}, answer: task{do: w.answer},
		screen:      task{do: w.screenGroups},
		screenAgain: task{take: w.takeScreen, do: w.screenOwn, keep: w.keepScreened},
		shorten:     task{do: w.shorten}, rescore: task{do: w.rescore}, choose: task{do: w.choose},
	}
	w.calls.embed, w.calls.score = w.embedAll, w.score
}

// embedAll looks all rows up.
func (w *workspace) embedAll(ctx context.Context) error { return w.runRows(ctx, &w.jobs.embed) }

// run runs one job unless the call was cancelled.
func (w *workspace) run(ctx context.Context, n, grain int, j *task) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cpu: forward on %s: %w", w.dev.info.Name, err)
	}
	return w.dev.team.Run(n, grain, j)
}

// runRows runs a job over the n compact rows.
func (w *workspace) runRows(ctx context.Context, j *task) error {
	return w.run(ctx, len(w.rows.at), 1, j)
}

// runOutputs runs a job over n output rows of matrices.
func (w *workspace) runOutputs(ctx context.Context, n int, j *task) error {
	return w.run(ctx, n, grain(n, len(w.rows.at), len(w.workers)), j)
}

// floats returns *s with n values of any contents, counted in the ledger.
func (w *workspace) floats(s *[]float32, n int) []float32 {
	*s = grow(&w.dev.ledger, *s, n)
	return *s
}

// feed makes x, n rows of width values, the next linear's input; ternary says
// that the rows will be quantized.
func (w *workspace) feed(x []float32, n, width int, ternary bool) {
	w.in = input{n: n, width: width, x: x}
	if ternary {
		w.acts.Reset(n, width)
		w.in.acts = &w.acts
	}
}

// settle forgets the operands of a call and counts what scratch grew by.
func (w *workspace) settle() {
	w.rows.batch, w.embed, w.block, w.head, w.logits, w.x, w.turn = nil, nil, nil, nil, nil, nil, nil
	w.screen.copy, w.apart, w.product = nil, separate{}, product{}
	bytes := int64(w.acts.Bytes() + w.screen.acts.Bytes())
	for i := range w.workers {
		bytes += int64(w.workers[i].kernels.Bytes() + w.workers[i].screen.bytes() + w.workers[i].own.bytes())
	}
	w.dev.ledger.Add(device.Activations, bytes-w.scratch)
	w.scratch = bytes
}

// forget drops what workers took of operands, which would hold the memory of a part that is
// closed. No worker is at a piece.
func (w *workspace) forget() {
	for i := range w.workers {
		me := &w.workers[i]
		me.own.product, me.own.shared, me.screen.own = product{}, nil, screenOperands{}
	}
}

// free drops all buffers.
func (w *workspace) free() {
	w.angles.free()
	floats := cap(w.norm) + cap(w.qkv) + cap(w.att) + cap(w.out) + cap(w.gate) + cap(w.up) + cap(w.pre) + cap(w.screen.exact)
	w.dev.ledger.Add(device.Activations, -bytesOf[float32](floats)-w.scratch-
		bytesOf[bool](cap(w.screen.able))-bytesOf[[]int32](cap(w.screen.ids)))
	*w = workspace{}
}
