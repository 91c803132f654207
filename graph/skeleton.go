package graph

import "tritflow/gguf"

// SKELETON: to be replaced by real files.

// Bind reads a file's architecture and binds its tensors. All missing and
// misshapen tensors are named in one *BindError.
func Bind(f *gguf.File) (*Model, error) { panic("skeleton") }

// Architectures lists what Bind knows.
func Architectures() []string { panic("skeleton") }

// Capacity is what the planner knows of a device.
type Capacity struct {
	Name  string
	Bytes uint64  // memory to plan with; 0 = no limit known
	Speed float64 // relative; 0 = 1
}

// StageKind is what a stage does.
type StageKind uint8

const (
	StageEmbed StageKind = iota
	StageBlock
	StageHead
)

// Placement puts one stage on one device.
type Placement struct {
	Kind        StageKind
	Block       int // index for StageBlock
	Device      int // index into the capacities
	WeightBytes uint64
	KVBytes     uint64
}

// Plan is an ordered list of placements: embed, blocks 0..N-1, head.
type Plan struct {
	Stages  []Placement
	Devices []Capacity
}

// KVShape tells the planner how large the KV cache gets.
type KVShape struct {
	BytesPerElement float64
	Positions       int // summed over all sequences
}

// MakePlan splits a model contiguously over devices: by split (blocks a
// device, must add up; *SplitError) or by capacity. Embed goes with the first
// part, head with the last. A plan that does not fit is a *MemoryError with the numbers.
func MakePlan(m *Model, devs []Capacity, split []int, kv KVShape) (*Plan, error) { panic("skeleton") }
