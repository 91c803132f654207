package device

import "tritflow/graph"

// Part is what one device is to hold of a model; what it leaves out is nil.
type Part struct {
	Embed  *graph.Embed
	Blocks []graph.Block
	Head   *graph.Head
}

// Sizes are the largest that a device will meet.
type Sizes struct {
	Rows      int // of a batch
	Outputs   int // of a batch
	Positions int // of a sequence
	Batches   int // under way at once
}

// Footprint is what a part takes of a device's memory besides the weights, as
// they are in the file, and the KV pages, in bytes.
type Footprint struct {
	Copies      uint64 // weights in another form than the file's
	Screening   uint64 // the low-bit copy of the head that ScreenAuto will make
	Activations uint64 // batches and scratch, with every size at its largest
}

// Estimator is a Device that can tell what a part will take before it is
// loaded. Ask a Device for it by a type assertion. Errors are those of loading.
type Estimator interface {
	Estimate(p Part, s Sizes) (Footprint, error)
}
