// Package stages runs a model as a pipeline of goroutines joined by bounded
// channels. It computes nothing itself: devices do, and package sample draws.
//
//	Submit ─▶ scheduler ══▶ embed ══▶ block 0 ══▶ … ══▶ block N-1 ══▶ head ══▶ sample ═╗
//	              ▲                                                                    ║
//	              ╚══════════════════════ the same Steps, answered ════════════════════╝
//	              │
//	              └──▶ one bounded channel of Tokens a request ──▶ Stream.Tokens
//
//	══▶  chan *step, capacity 1
//
// A step is a ragged batch of rows: one row for every sequence that decodes,
// and chunks of the prompts that are being read. The scheduler admits requests
// (sequences) as long as there are places and KV pages, composes steps, and
// keeps as many of them in flight as the plan has devices. A stage receives a
// step, brings its activations to its own device, lets the device work, and
// sends it on. The sample stage turns logits into tokens and text. Then the
// step is back at the scheduler, which hands out what was drawn and feeds it in
// again: a ring. Replicas are several rings behind one queue.
//
// Where one device has the whole model and begins steps early, a step of greedy
// sequences tells it of the next (scheduler.foresee), which is then the next one
// that is composed, and on its way before it is.
//
// Pages. A sequence takes KV pages as it fills them (kvCache). Where there is
// none, the sequence that matters least is preempted: it keeps its tokens,
// loses its pages, and is computed again later, from the first page that the
// prefix cache (prefixTree) has not kept. Nothing of a sequence is under way
// when its pages are taken, and a page that two sequences share is given up
// only when neither holds it.
//
// Ownership. A step and its batch belong to the goroutine that received it
// last. A sequence belongs to the scheduler, its sampler and text to the sample
// stage while one of its rows is under way. Every channel is closed by the
// goroutine that sends on it: the scheduler closes the first, every stage its
// own when its input ends, so the pipeline empties in order and no Step is lost.
// No send in the ring can block for ever, because the scheduler never has more
// steps under way than stages can hold and always listens for those that return.
//
// A request is scheduled only while its token channel has room, so a reader
// that stops reading holds up itself and nobody else: where all stand still so and
// another request lacks pages, it is preempted until its reader has caught up. Cancellation is noticed
// at the next stage boundary; pages are given back when the last step that
// carries the sequence has returned.
package stages
