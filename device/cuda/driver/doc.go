// Package driver is the CUDA driver API for package cuda: streams, events, memory,
// modules, launches and graphs, every call checked, every failure an *Error.
//
//	device/cuda ──▶ driver ──▶ gorgonia.org/cu ──┐
//	                  └──▶ shim.h (what cu lacks) ┴─▶ forwarding libcuda.a ─dlopen─▶ libcuda.so.1
//
// Calls go to gorgonia.org/cu where it has them; graphs that run, pinned memory,
// asynchronous allocation, function attributes, extended launches and error texts are
// our own. Available must be asked first: without a usable driver every other
// call fails.
//
// A Context is current on operating system threads: a goroutine locks itself to its thread,
// calls Retain or MakeCurrent, and makes its calls before it unlocks; one at a time, which package
// cuda's lock sees to. Nothing here hops to another goroutine. A launch that was prepared once (Launch, Args)
// is one call into C.
//
// The package exists with the build tag cuda only; `just cuda` builds with it.
package driver
