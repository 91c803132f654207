package bench

import (
	"fmt"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/quantkern"
)

// Machine is what the probes found.
type Machine struct {
	CPU      string    `json:"cpu"`
	Features []string  `json:"features"`
	Cores    int       `json:"cores"`     // that the program uses by default
	ReadGBps []float64 `json:"read_gbps"` // with 1, 2, ... threads, 10⁹ bytes a second
	Int8TOPS []float64 `json:"int8_tops"` // the same, 10¹² operations a second, a product being two

	Devices []DeviceRoof `json:"devices,omitempty"` // that are no processors and hold a part of the model
}

// DeviceRoof is what was measured of a device that is not a processor, zeros where that
// failed.
type DeviceRoof struct {
	Name     string  `json:"name"` // of the hardware: several devices of a list may share it
	Model    string  `json:"model"`
	ReadGBps float64 `json:"read_gbps"`
	Int8TOPS float64 `json:"int8_tops"`
}

// roof is what hardware can do, the processor ("") with so many threads; false when that
// was not measured.
func (m *Machine) roof(hardware string, threads int) (bytes, ops float64, ok bool) {
	for _, d := range m.Devices {
		if hardware == d.Name {
			return d.ReadGBps * 1e9, d.Int8TOPS * 1e12, true
		}
	}
	if hardware != "" || threads < 1 || threads > len(m.ReadGBps) || threads > len(m.Int8TOPS) {
		return 0, 0, false
	}
	return m.ReadGBps[threads-1] * 1e9, m.Int8TOPS[threads-1] * 1e12, true
}

// work is what cannot be avoided: bytes read from memory and int8 operations.
type work struct{ bytes, ops float64 }

func (w work) plus(o work) work { return work{w.bytes + o.bytes, w.ops + o.ops} }

// seconds is the least time for the work on hardware: that of reading or that of
// computing, whichever is longer, because they can overlap.
func (w work) seconds(m *Machine, hardware string, threads int) (float64, bool) {
	bytes, ops, ok := m.roof(hardware, threads)
	if !ok || bytes <= 0 || ops <= 0 {
		return 0, false
	}
	return max(w.bytes/bytes, w.ops/ops), true
}

// costs is the work of a model on its devices, one part a device that holds any.
type costs struct{ parts []partCosts }

type partCosts struct {
	hardware string  // that devices may share; "" is the processor
	threads  int     // of the processor
	row      float64 // bytes of the embedding that a row reads
	weights  float64 // bytes of blocks that a step reads: weights, scales, norms
	head     float64 // bytes of final norm and projection that a step reads
	kv       float64 // bytes of keys and values that each earlier position adds
	products float64 // ternary products of a row in blocks
	answer   float64 // int8 products of an answered row in the head
	bounds   float64 // the same where its screening copy answers
	exact    float64 // bytes of the projection's weights for one logit
}

// kvBytes is the size of an element of the cache, scales included.
var kvBytes = map[string]float64{"f16": 2, "f32": 4, "q8_0": 34.0 / 32, "q4_0": 18.0 / 32}

// newCosts takes the bytes from the plan, but for matrices that a device keeps in
// another form than the file's, and the products from the shapes: those of int8
// activations with ternary weights, and with the head's screening copy where that
// answered (withHead). Products in floats are not counted, those of attention and the
// exact ones of screened heads among them.
func newCosts(m *graph.Model, p *graph.Plan, devs []device.Device, kv string) (*costs, error) {
	element, ok := kvBytes[kv]
	if !ok {
		return nil, fmt.Errorf("bench: the size of a cache of %s is not known", kv)
	}
	parts := make([]partCosts, len(p.Devices))
	for i := range parts {
		parts[i].hardware, parts[i].threads = hardware(devs[i])
	}
	used := make([]bool, len(parts))
	for _, s := range p.Stages {
		c, d := &parts[s.Device], devs[s.Device]
		used[s.Device] = true
		switch s.Kind {
		case graph.StageEmbed:
			c.row += float64(s.ReadBytes)
		case graph.StageBlock:
			b := &m.Blocks[s.Block]
			c.weights += float64(s.ReadBytes)
			c.kv += element * float64(b.KVElements())
			for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
				bytes, err := readBytes(d, l)
				if err != nil {
					return nil, err
				}
				c.weights += bytes - float64(len(l.Weight.Data))
				c.products += ternaryProducts(l)
			}
		case graph.StageHead:
			c.head += float64(s.ReadBytes)
			if out := &m.Head.Out; m.Head.Pooling == graph.PoolNone {
				bytes, err := readBytes(d, out)
				if err != nil {
					return nil, err
				}
				c.head += bytes - float64(len(out.Weight.Data))
				c.answer += ternaryProducts(out)
				c.bounds += products(out)
				c.exact = bytes / float64(out.Out)
			}
		}
	}
	var c costs
	for i, part := range parts {
		if used[i] {
			c.parts = append(c.parts, part)
		}
	}
	return &c, nil
}

// hardware names what limits a device, and how many threads of the processor it has.
func hardware(d device.Device) (name string, threads int) {
	info := d.Info()
	if info.Kind == "cpu" {
		return "", info.Workers
	}
	if r, ok := d.(device.Roofed); ok {
		return r.Hardware(), 0
	}
	return info.Name, 0
}

// readBytes is what a device reads of a matrix: as it is in the file, unless it says otherwise.
func readBytes(d device.Device, l *graph.Linear) (float64, error) {
	if r, ok := d.(device.Roofed); ok {
		n, err := r.ReadBytes(device.Layer{Weight: l.Weight, In: l.In, Out: l.Out})
		return float64(n), err
	}
	return float64(len(l.Weight.Data)), nil
}

func ternaryProducts(l *graph.Linear) float64 {
	if c, err := quantkern.Lookup(l.Weight.Type.String()); err != nil || !c.Ternary {
		return 0
	}
	return products(l)
}

func products(l *graph.Linear) float64 { return float64(l.In) * float64(l.Out) }

// step is work of a kind: rows fed, rows answered, and the positions of the
// cache that must be read, summed over the sequences.
type step struct{ rows, answers, positions float64 }

func (c *partCosts) work(s step) work {
	w := work{
		bytes: c.weights + c.row*s.rows + c.kv*s.positions,
		ops:   2 * c.products * s.rows,
	}
	if s.answers > 0 {
		w.bytes += c.head
		w.ops += 2 * c.answer * s.answers
	}
	return w
}

// total is the work of a step on all devices together.
func (c *costs) total(s step) work {
	var w work
	for i := range c.parts {
		w = w.plus(c.parts[i].work(s))
	}
	return w
}

// threads is how many of the processor work when all devices do.
func (c *costs) threads() int {
	n := 0
	for _, p := range c.parts {
		n += p.threads
	}
	return n
}

// seconds is the least time of a step. One sequence passes the devices one
// after the other; several keep all of them at work, and the one that takes longest
// sets the pace. Devices that share hardware share its limits.
func (c *costs) seconds(m *Machine, s step, alone bool) (seconds float64, ok bool) {
	for _, p := range c.parts {
		if alone {
			t, ok := p.work(s).seconds(m, p.hardware, p.threads)
			if !ok {
				return 0, false
			}
			seconds += t
			continue
		}
		all := c.on(p.hardware)
		t, ok := all.total(s).seconds(m, p.hardware, all.threads())
		if !ok {
			return 0, false
		}
		seconds = max(seconds, t)
	}
	return seconds, true
}

// on are the costs of the parts on the same hardware.
func (c *costs) on(hardware string) *costs {
	var same costs
	for _, p := range c.parts {
		if p.hardware == hardware {
			same.parts = append(same.parts, p)
		}
	}
	return &same
}
