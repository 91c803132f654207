// Package bench measures the whole program from outside, and what the machine
// would allow.
//
//	probes, device.Roofed ──▶ read GB/s, int8 TOPS ───┐
//	graph.Model ──▶ bytes and products of a step ─────┴─▶ limit ─┐
//	stages.Engine ──▶ requests ──▶ times between tokens ──▶ speed ┴─▶ Report ──▶ table, JSON, SVG
//
// Run does all of it; probe.go and roofs.go know the machine and its devices, limits.go the arithmetic of
// the limits, measure.go and cases.go the measurements, report.go and svg.go
// what is told.
//
// There are also ordinary Go benchmarks, `go test -bench . ./bench/...`, which
// report tokens a second as tok/s, so that benchstat can compare two
// revisions. Kernels have benchmarks of their own beside their code.
package bench
