// Package crossval compares a model's numbers with those of a reference.
//
//	prompts ─▶ Reference ─▶ Dump (ids, float32 logits or lists, tensors) ─┐
//	                                                                      ├─▶ Run ─▶ Report ─▶ Tolerance ─▶ Problems
//	                     engine ─ logits, greedy tokens ──────────────────┤
//	                     walk ─── tensors of every layer ─────────────────┘
//
// What a reference knows it puts into a dump: a folder of float32 files and an
// index. A dump that somebody else made, llama.cpp in a child process, a server
// (package remote) and another configuration of tritflow therefore meet the same
// comparison. A server tells only its likeliest tokens; what needs all logits
// is then left out of the report.
package crossval
