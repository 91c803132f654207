package graph

import (
	"fmt"
	"math"
)

// Capacity is what the planner knows of a device.
type Capacity struct {
	Name  string  `json:"name"`
	Bytes uint64  `json:"bytes"` // memory to plan with; 0 = no limit known
	Speed float64 `json:"speed"` // weight bytes it reads in a unit of time, relative to the others; 0 = 1

	// Overhead is what a block costs besides reading its weights (norms,
	// attention, hand-overs), as the bytes that the device reads in that time.
	// It matters to models whose blocks are small; 0 = none.
	Overhead uint64 `json:"overhead,omitempty"`

	// Times, when it is known, takes the place of Speed and Overhead. Either
	// all devices of a plan have it or none.
	Times *Times `json:"times,omitempty"`
}

// Times are seconds that a device needs for one Step of some size.
type Times struct {
	Embed float64 `json:"embed"`
	Block float64 `json:"block"` // of average size; others in proportion to their bytes
	Head  float64 `json:"head"`
}

// StageKind is what a stage does.
type StageKind uint8

// The kinds of stages, in the order of a pipeline.
const (
	StageEmbed StageKind = iota
	StageBlock
	StageHead
)

func (k StageKind) String() string { return [...]string{"embed", "block", "head"}[k] }

// MarshalText writes the kind's name.
func (k StageKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Placement puts one stage on one device.
type Placement struct {
	Kind        StageKind `json:"kind"`
	Block       int       `json:"block"`        // index for StageBlock, else 0
	Device      int       `json:"device"`       // index into the capacities
	WeightBytes uint64    `json:"weight_bytes"` // memory; a tied head beside its embedding adds only its norm
	KVBytes     uint64    `json:"kv_bytes"`
	ReadBytes   uint64    `json:"read_bytes"` // weights that one row reads: a row of the table, else everything
}

// Plan is an ordered list of placements: embed, blocks 0..N-1, head. The
// devices stand in the order of the ring.
type Plan struct {
	Stages  []Placement
	Devices []Capacity
}

// MakePlan splits a model contiguously over devices, in the order given.
//
// With split, device i takes split[i] blocks (0 is allowed), the first also
// the embedding, the last the head. Without, the split is the one whose
// slowest part (Times, or else ReadBytes and overhead, by Speed) is fastest among those that fit the
// memory limits, found exactly by dynamic programming; a device that would
// not make the slowest part faster stays idle, and among equals the earlier
// devices get more.
//
// Errors: *SplitError, *PlanError (no devices, impossible speeds or KV
// shapes), *MemoryError when a part does not fit.
func MakePlan(m *Model, devs []Capacity, split []int, kv KVShape) (*Plan, error) {
	if err := checkDevices(devs); err != nil {
		return nil, err
	}
	if err := kv.check(); err != nil {
		return nil, err
	}
	l, err := newCosts(m, devs, kv)
	if err != nil {
		return nil, err
	}
	var ends []int
	if split != nil {
		ends, err = explicitEnds(split, len(devs), len(m.Blocks))
	} else {
		ends, err = l.balance()
	}
	if err != nil {
		return nil, err
	}
	p := &Plan{Stages: l.stages, Devices: devs}
	begin := 0
	for d, end := range ends {
		if !l.fits(d, begin, end) {
			return nil, l.tooMuch(d, begin, end)
		}
		for i := begin; i < end; i++ {
			p.Stages[i].Device = d
		}
		begin = end
	}
	if last := &p.Stages[len(p.Stages)-1]; last.Device == p.Stages[0].Device {
		last.WeightBytes -= l.shared
	}
	return p, nil
}

func checkDevices(devs []Capacity) error {
	if len(devs) == 0 {
		return &PlanError{What: "devices", Want: "at least one"}
	}
	for _, d := range devs {
		if !(d.Speed >= 0 && d.Speed <= math.MaxFloat64) {
			return &PlanError{What: fmt.Sprintf("speed %v of %s", d.Speed, d.Name), Want: "a finite number, 0 for the default"}
		}
		if (d.Times == nil) != (devs[0].Times == nil) {
			return &PlanError{What: "times of " + d.Name, Want: "times of all devices or of none"}
		}
		if t := d.Times; t != nil && !(min(t.Embed, t.Block, t.Head) >= 0 && t.Embed+t.Block+t.Head <= math.MaxFloat64) {
			return &PlanError{What: fmt.Sprintf("times %v of %s", *t, d.Name), Want: "finite numbers of seconds"}
		}
	}
	return nil
}

// explicitEnds turns counts of blocks into the stage at which each device ends.
func explicitEnds(split []int, devices, blocks int) ([]int, error) {
	bad := &SplitError{Split: split, Devices: devices, Blocks: blocks}
	if len(split) != devices {
		return nil, bad
	}
	ends := make([]int, devices)
	at := 1 // after the embedding
	for d, n := range split {
		if n < 0 || n > blocks+1-at {
			return nil, bad
		}
		at += n
		ends[d] = at
	}
	if at != blocks+1 {
		return nil, bad
	}
	ends[devices-1]++ // the head
	return ends, nil
}

// costs answers what any run of consecutive stages takes.
type costs struct {
	devs    []Capacity
	stages  []Placement // devices not yet set
	weights []uint64    // weights[i]: of the stages before i
	kv      []uint64
	read    []uint64
	shared  uint64 // counted twice when embedding and head are in one run
}

func newCosts(m *Model, devs []Capacity, kv KVShape) (*costs, error) {
	l := &costs{devs: devs, weights: []uint64{0}, kv: []uint64{0}, read: []uint64{0}}
	table := m.Embed.WeightBytes()
	l.add(Placement{Kind: StageEmbed, WeightBytes: table, ReadBytes: table / uint64(max(m.Vocab, 1))})
	for i := range m.Blocks {
		b := &m.Blocks[i]
		w := b.WeightBytes()
		k, ok := kv.bytes(b)
		if !ok || k > (1<<63)/uint64(len(m.Blocks)) {
			return nil, &PlanError{What: "kv cache", Want: "a number of bytes that 63 bits hold; use fewer positions"}
		}
		l.add(Placement{Kind: StageBlock, Block: i, WeightBytes: w, KVBytes: k, ReadBytes: w})
	}
	head := m.Head.WeightBytes()
	l.add(Placement{Kind: StageHead, WeightBytes: head, ReadBytes: head})
	if m.Head.Tied {
		l.shared = table
	}
	return l, nil
}

func (l *costs) add(p Placement) {
	n := len(l.stages)
	l.stages = append(l.stages, p)
	l.weights = append(l.weights, l.weights[n]+p.WeightBytes)
	l.kv = append(l.kv, l.kv[n]+p.KVBytes)
	l.read = append(l.read, l.read[n]+p.ReadBytes)
}

// memory is what stages [begin, end) take on one device.
func (l *costs) memory(begin, end int) (weights, kv uint64) {
	weights = l.weights[end] - l.weights[begin]
	if begin == 0 && end == len(l.stages) {
		weights -= l.shared
	}
	return weights, l.kv[end] - l.kv[begin]
}

func (l *costs) fits(d, begin, end int) bool {
	weights, kv := l.memory(begin, end)
	return l.devs[d].Bytes == 0 || weights+kv <= l.devs[d].Bytes
}

// load is the time that stages [begin, end) take on device d.
func (l *costs) load(d, begin, end int) float64 {
	// The first stage is the embedding, the last the head.
	lo, hi := max(begin, 1), min(end, len(l.stages)-1)
	w := workload{read: l.read[end] - l.read[begin], embed: begin == 0 && end > 0, head: begin < end && end == len(l.stages)}
	if hi > lo {
		w.blocks, w.blockRead = hi-lo, l.read[hi]-l.read[lo]
	}
	w.average = float64(l.read[len(l.stages)-1]-l.read[1]) / float64(max(len(l.stages)-2, 1))
	return w.on(l.devs[d])
}

// workload is what a device has to do for a row (or, with Times, for a Step).
type workload struct {
	read, blockRead uint64
	blocks          int
	average         float64 // bytes of a block, over the whole model
	embed, head     bool
}

func (w workload) on(c Capacity) float64 {
	if t := c.Times; t != nil {
		sum := 0.0
		if w.embed {
			sum += t.Embed
		}
		if w.head {
			sum += t.Head
		}
		if w.average > 0 {
			sum += t.Block * float64(w.blockRead) / w.average
		}
		return sum
	}
	read := w.read + uint64(w.blocks)*c.Overhead
	if c.Speed == 0 {
		return float64(read)
	}
	return float64(read) / c.Speed
}

func (l *costs) tooMuch(d, begin, end int) *MemoryError {
	weights, kv := l.memory(begin, end)
	return &MemoryError{
		Device: l.devs[d].Name, Index: d, Part: run(l.stages[begin:end]),
		Needed: weights + kv, Available: l.devs[d].Bytes, Weights: weights, KV: kv,
	}
}
