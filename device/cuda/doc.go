// Package cuda is the device of kind "cuda": NVIDIA GPUs from compute capability 8.0 on,
// through their driver alone (no CUDA runtime or library is linked).
//
//	device list ──▶ Open ──▶ driver.Available, driver.Describe ──▶ NewDevice
//	                 │ errors: *device.SpecError (no such GPU), *device.UnavailableError (why not)
//	"auto" ─────▶ find ──▶ "cuda:0", "cuda:1" ... most memory first
//	devices ────▶ survey ──▶ what is there, measured by the kernels of kernels/probe.cu
//
//	batch ──▶ embed ──▶ blocks ──▶ head   each puts its work into the one stream and returns;
//	             ▲                   │    the head waits, when it has begun the step after
//	             └────── early ◀─────┘    where Batch.Next tells of it (ahead.go)
//
// Everything but this file needs the build tag cuda. A program built with it runs on
// machines without a GPU too: package driver asks for the driver before anything else.
package cuda
