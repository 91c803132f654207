// Package trace records what stages did and writes it in the Chrome
// trace-event format, which chrome://tracing and Perfetto show: one track a
// stage, one box for each Step that a device worked on.
//
//	stage 0 ──┐
//	stage 1 ──┼─▶ Recorder ─▶ {"traceEvents": [...]}
//	stage 2 ──┘
//
// Format: Google, "Trace Event Format": metadata events (ph "M") name the
// process and the tracks, complete events (ph "X") carry ts and dur in
// microseconds.
package trace
