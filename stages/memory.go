package stages

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"tritflow/device"
)

// Memory is what an engine will take, in bytes, as planned before anything is
// loaded.
type Memory struct {
	Devices []DeviceMemory `json:"devices"`
	Program uint64         `json:"program"` // the program itself, the vocabulary and the drivers of devices
	Shared  uint64         `json:"shared"`  // weights that several devices read where they are mapped; counted once in Host
	Host    uint64         `json:"host"`    // all in the host's memory
	Limit   uint64         `json:"limit"`   // of Host; 0 = none given
	Pages   int            `json:"pages"`   // KV pages a replica
	Wanted  int            `json:"wanted"`  // KV pages that all sequences together could use
}

// DeviceMemory is a device's share.
type DeviceMemory struct {
	Device      string       `json:"device"`
	Weights     uint64       `json:"weights"`     // as they are in the file
	Copies      uint64       `json:"copies"`      // weights in another form
	Screening   uint64       `json:"screening"`   // the low-bit copy of the head
	KV          uint64       `json:"kv"`          // pages when all are in use
	Activations uint64       `json:"activations"` // with every size at its largest
	Limit       uint64       `json:"limit"`       // 0 = none known
	Used        device.Usage `json:"used"`        // the device's ledger beside it
	host        bool
	pool        string // of devices that take from the same memory, ...
	has         uint64 // ... and how much it has; 0 = unknown
}

// Total is everything together.
func (d *DeviceMemory) Total() uint64 {
	return d.Weights + d.Copies + d.Screening + d.KV + d.Activations
}

// What the program takes besides its devices: code and runtime, and for each
// token its text, its merges and their tables.
const (
	programBytes = 28 << 20
	tokenBytes   = 400
)

// total adds up what is in the host's memory.
func (m *Memory) total() {
	m.Host = m.Program - m.Shared
	for i := range m.Devices {
		if d := &m.Devices[i]; d.host {
			m.Host += d.Total()
		}
	}
}

// MemoryError: what was asked does not fit the memory that was allowed.
type MemoryError struct {
	What   string // "the host's memory", a device, or what several devices take from
	Needed uint64 // by Memory, which has the pages of all sequences, or of one where less was allowed than there is
	Limit  uint64
	Memory Memory // the plan of that
}

func (e *MemoryError) Error() string {
	var weights, kv, activations uint64
	for _, d := range e.Memory.Devices {
		if d.Device == e.What || d.pool == e.What || d.host && e.What == hostMemory {
			weights += d.Weights + d.Copies
			kv += d.KV
			activations += d.Activations
		}
	}
	program := uint64(0)
	if e.What == hostMemory {
		weights -= e.Memory.Shared
		program = e.Memory.Program
	}
	whom := ""
	if e.Memory.Pages < e.Memory.Wanted {
		whom = " for one sequence alone"
	}
	size := func(n uint64) string { return humanize.Comma(int64(ceilDiv(int(n), 1<<20))) + " MiB" }
	return fmt.Sprintf("stages: %s: %s are needed%s (%s weights, %s KV cache, %s activations, %s program), %s are allowed; "+
		"allow more (--max-memory), use fewer positions (--ctx) or sequences, a smaller KV type (--kv) or more devices",
		e.What, size(e.Needed), whom, size(weights), size(kv), size(activations), size(program), size(e.Limit))
}

const hostMemory = device.HostPool

// check says what does not fit.
func (m *Memory) check() *MemoryError {
	for i := range m.Devices {
		if d := &m.Devices[i]; d.Limit > 0 && d.Total() > d.Limit {
			return &MemoryError{d.Device, d.Total(), d.Limit, *m}
		}
	}
	if m.Limit > 0 && m.Host > m.Limit {
		return &MemoryError{hostMemory, m.Host, m.Limit, *m}
	}
	for i := range m.Devices {
		if pool := m.Devices[i].pool; pool != "" {
			if needed, has := m.together(pool); has > 0 && needed > has {
				return &MemoryError{pool, needed, has, *m}
			}
		}
	}
	return nil
}

// together is what the devices of a pool take, and what it has.
func (m *Memory) together(pool string) (needed, has uint64) {
	for i := range m.Devices {
		d := &m.Devices[i]
		if d.pool != pool {
			continue
		}
		needed += d.Total()
		if has == 0 || d.has > 0 && d.has < has {
			has = d.has
		}
	}
	if pool == hostMemory {
		needed = m.Host
	}
	return needed, has
}
