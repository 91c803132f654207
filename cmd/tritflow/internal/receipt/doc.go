// Package receipt says what was computed from what, so that others can compute it
// again and tell whether the same came out.
//
//	run, batch ─▶ Receipt ─ Write ─▶ file ─ Read ─▶ Receipt ─▶ Check ◀─ stages.Engine
//	                                                            └─▶ the first Difference
//
// On CPUs the engine's results do not depend on kernels, threads, devices or
// neighbours, so that a receipt of one machine holds on every other.
package receipt
