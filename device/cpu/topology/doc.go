// Package topology says which processors this process may use, and how they
// share cores and memory. It sets the default number of workers:
//
//	affinity (taskset, cpuset cgroups) ─▶ CPUs ─▶ distinct physical cores ─┐
//	cgroup quota (v1, v2) and $GOMAXPROCS ─▶ runtime.GOMAXPROCS ───────────┴─▶ the smaller
//
// Two threads of one core share its vector units and its way to memory, so a
// second worker there gains nothing. The quota is the Go runtime's business:
// since Go 1.25 GOMAXPROCS follows it.
//
// On a machine with several memory nodes the workers are spread over all the
// cores, whatever the model's size: the weights are pages of a file, which lie
// where the system first read them, and a device cannot know the model when its
// workers start. To stay on one node, start the program there
// (numactl --cpunodebind=0 --membind=0, or taskset); the default follows.
package topology
