// Package bench measures the whole program from outside.
//
//	built-in model ─▶ stages.Engine ─▶ requests ─▶ tokens a second
//
// The benchmarks are ordinary Go benchmarks, `go test -bench . ./bench/...`,
// and report tokens a second as tok/s, so that benchstat can compare two
// revisions. Kernels have benchmarks of their own beside their code.
package bench
