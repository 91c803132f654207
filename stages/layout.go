package stages

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/stages/profile"
)

// Layout is what goes where, decided before anything is loaded.
type Layout struct {
	Replicas []Replica `json:"replicas"`
	Memory   Memory    `json:"memory"`
	Waves    int       `json:"waves"` // Steps in flight on each replica
	Chunk    int       `json:"chunk"` // rows a Step may carry
	Seqs     int       `json:"sequences"`
	Ctx      int       `json:"ctx"`
	KV       string    `json:"kv"`

	limits    limits
	kv        device.KV
	screening bool // heads may have their copies
	profiles  *profile.Set
	model     *graph.Model
	devices   []device.Device
}

// Replica is a whole model on consecutive devices.
type Replica struct {
	First   int         `json:"first"` // of its devices, in the whole list
	Plan    *graph.Plan `json:"plan"`
	devices []device.Device
}

// layoutOf decides where a model goes; set is what was measured, or nil.
func (o Options) layoutOf(m *graph.Model, devs []device.Device, set *profile.Set) (*Layout, error) {
	if len(devs)%o.Replicas != 0 {
		return nil, &OptionError{"Replicas", fmt.Sprintf("%d replicas need a number of devices that they divide; there are %d", o.Replicas, len(devs))}
	}
	for _, name := range slices.Sorted(maps.Keys(o.DeviceMemory)) {
		if !slices.ContainsFunc(devs, func(d device.Device) bool { return d.Info().Name == name }) {
			return nil, &OptionError{"DeviceMemory", fmt.Sprintf("there is no device %s", name)}
		}
	}
	for _, d := range devs {
		if info := d.Info(); !slices.Contains(info.KVTypes, o.KV) {
			return nil, &device.KVError{Device: info.Name, Type: o.KV,
				Reason: fmt.Sprintf("this device has %s; choose one of these (--kv), or other devices (--devices)", strings.Join(info.KVTypes, ", "))}
		}
	}
	// All that could be used, with the screening copies; then without them;
	// then as many pages as there is room for.
	most, least := o.most(), ceilDiv(o.Ctx, pageSize)
	l, err := o.try(m, devs, set, most, true)
	if err == nil || !TooLarge(err) || o.MaxMemory == 0 && len(o.DeviceMemory) == 0 {
		return l, err
	}
	if l, err := o.try(m, devs, set, most, false); err == nil || !TooLarge(err) {
		return l, err
	}
	best, err := o.try(m, devs, set, least, false)
	if err != nil {
		return nil, err
	}
	for least+1 < most {
		middle := (least + most) / 2
		if l, err := o.try(m, devs, set, middle, false); err == nil {
			best, least = l, middle
		} else {
			most = middle
		}
	}
	return best, nil
}

// TooLarge tells whether an error says that a plan does not fit the memory: fewer sequences, positions or a smaller KV
// type may.
func TooLarge(err error) bool {
	if errors.As(err, new(*MemoryError)) {
		return true
	}
	return errors.As(err, new(*graph.MemoryError))
}

// try makes the layout with so many KV pages a replica.
func (o Options) try(m *graph.Model, devs []device.Device, set *profile.Set, pages int, screening bool) (*Layout, error) {
	l := &Layout{
		Seqs: o.MaxSeqs, Ctx: o.Ctx, KV: o.KV, kv: device.KV{Type: o.KV, PageSize: pageSize, Pages: pages},
		screening: screening, profiles: set, model: m, devices: devs,
	}
	n := len(devs) / o.Replicas
	shape := graph.KVShape{BytesPerElement: kvBytes[o.KV], Positions: pages * pageSize}
	used, wish := 0, 0
	for first := 0; first < len(devs); first += n {
		r := Replica{First: first, devices: devs[first : first+n]}
		caps := o.capacities(r.devices, first, set, screening, n)
		var err error
		if r.Plan, err = graph.MakePlan(m, caps, o.Split, shape); err != nil {
			return nil, err
		}
		used = max(used, devicesOf(r.Plan))
		wish = max(wish, r.rows())
		l.Replicas = append(l.Replicas, r)
	}
	budget := 0
	if set != nil {
		for _, p := range set.Alone {
			budget = max(budget, p.RowBudget())
		}
	}
	l.limits = o.limits(used, pages, m.Head.Width(), wish, budget)
	l.limits.ahead = used == 1 && l.limits.waves == 1 && l.begins()
	l.Waves, l.Chunk = l.limits.waves, l.limits.chunk
	if err := l.count(o); err != nil {
		return nil, err
	}
	if err := l.Memory.check(); err != nil {
		return nil, err
	}
	return l, nil
}

// begins tells whether all devices in use begin steps early.
func (l *Layout) begins() bool {
	for _, r := range l.Replicas {
		for _, s := range r.Plan.Stages {
			if !r.devices[s.Device].Info().Ahead {
				return false
			}
		}
	}
	return true
}

// rows is the largest Step that one of the devices in use asks for, or 0.
func (r *Replica) rows() (most int) {
	for _, s := range r.Plan.Stages {
		most = max(most, r.devices[s.Device].Info().Rows)
	}
	return most
}

// devicesOf is how many devices a plan uses.
func devicesOf(p *graph.Plan) int {
	used := map[int]bool{}
	for _, s := range p.Stages {
		used[s.Device] = true
	}
	return len(used)
}

// capacities tells the planner of a replica's devices, the first of which is
// number first of all. Times are those of a Step in the middle of a job: the
// sequences divided among the waves, with PromptRows rows of prompts for each
// row that is answered, or fewer sequences where a Step could not carry that. Without them, speeds are known
// relative to each other only where all count workers.
func (o Options) capacities(devs []device.Device, first int, set *profile.Set, screening bool, waves int) []graph.Capacity {
	comparable := !slices.ContainsFunc(devs, func(d device.Device) bool { return d.Info().Workers == 0 })
	rows, answers := o.usual(devs, max(1, ceilDiv(o.MaxSeqs, waves)))
	caps := make([]graph.Capacity, len(devs))
	for i, d := range devs {
		info := d.Info()
		c := graph.Capacity{Name: info.Name, Bytes: o.limitOf(info), Overhead: info.BlockCost}
		if comparable {
			c.Speed = float64(info.Workers)
		}
		if set != nil {
			p := &set.Together[first+i]
			step := func(w profile.Work) float64 {
				w.Rows, w.Answers, w.Screened = rows, answers, screening
				return p.Step(w)
			}
			c.Times = &graph.Times{
				Embed: step(profile.Work{Embed: true}),
				Block: step(profile.Work{Blocks: 1}),
				Head:  step(profile.Work{Head: true}),
			}
		}
		caps[i] = c
	}
	return caps
}

// usual is how many rows a Step has in the middle of a job, and how many of them are answered, with so
// many sequences alive.
func (o Options) usual(devs []device.Device, seqs int) (rows, answers int) {
	each, most := 1+o.PromptRows, max(o.Chunk, defaultChunk)
	if o.PromptRows == 0 {
		each = 1 + promptRows
	}
	for _, d := range devs {
		if o.Chunk == 0 {
			most = max(most, d.Info().Rows)
		}
	}
	answers = max(1, min(seqs, int(float64(most)/each)))
	return max(answers, min(most, int(float64(answers)*each))), answers
}

// limitOf is what a device may take: what it has, or less where that is asked.
func (o Options) limitOf(info device.Info) uint64 {
	limit := info.Memory
	for _, other := range []uint64{o.DeviceMemory[info.Name], o.hostLimit(info)} {
		if other > 0 && (limit == 0 || other < limit) {
			limit = other
		}
	}
	return limit
}

func (o Options) hostLimit(info device.Info) uint64 {
	if info.HostMemory {
		return o.MaxMemory
	}
	return 0
}

// count adds up the memory of the layout.
func (l *Layout) count(o Options) error {
	l.Memory = Memory{
		Program: programBytes + tokenBytes*uint64(l.model.Vocab), Limit: o.MaxMemory,
		Pages: l.kv.Pages, Wanted: o.most(),
	}
	drivers := map[string]bool{}
	mapped := map[int]int{} // stage -> host devices that read it where it is mapped
	tables := 0             // host devices with the embedding or a head tied to it
	for _, r := range l.Replicas {
		for i, part := range r.Plan.Parts() {
			d := r.devices[i]
			info := d.Info()
			if !drivers[info.Kind] {
				drivers[info.Kind] = true
				l.Memory.Program += info.Driver
			}
			c := DeviceMemory{
				Device: info.Name, Weights: part.WeightBytes, KV: part.KVBytes, Limit: o.limitOf(info), host: info.HostMemory, pool: info.Pool, has: info.Memory,
			}
			if estimator, ok := d.(device.Estimator); ok && !part.Idle() {
				f, err := estimator.Estimate(l.part(part), l.sizes())
				if err != nil {
					return err
				}
				c.Copies, c.Activations = f.Copies, f.Activations
				if l.screening {
					c.Screening = f.Screening
				}
			}
			l.Memory.Devices = append(l.Memory.Devices, c)
			if info.HostMemory && (part.Embed || part.Head && l.model.Head.Tied) {
				tables++
			}
		}
		for i, s := range r.Plan.Stages {
			if r.devices[s.Device].Info().HostMemory && s.Kind == graph.StageBlock {
				if mapped[i]++; mapped[i] > 1 {
					l.Memory.Shared += s.WeightBytes
				}
			}
		}
	}
	if tables > 1 {
		l.Memory.Shared += uint64(tables-1) * l.model.Embed.WeightBytes()
	}
	if heads := len(l.Replicas); heads > 1 && !l.model.Head.Tied && l.replicaOnHost() {
		l.Memory.Shared += uint64(heads-1) * l.model.Head.WeightBytes()
	}
	l.Memory.total()
	return nil
}

// replicaOnHost says whether every head is in the host's memory.
func (l *Layout) replicaOnHost() bool {
	for _, r := range l.Replicas {
		if head := r.Plan.Stages[len(r.Plan.Stages)-1]; !r.devices[head.Device].Info().HostMemory {
			return false
		}
	}
	return true
}

// part is what a device holds, as a device understands it.
func (l *Layout) part(p graph.Part) (d device.Part) {
	if p.Embed {
		d.Embed = &l.model.Embed
	}
	d.Blocks = l.model.Blocks[p.Lo:p.Hi]
	if p.Head {
		d.Head = &l.model.Head
	}
	return d
}

func (l *Layout) sizes() device.Sizes {
	return device.Sizes{
		Rows:      l.limits.chunk,
		Outputs:   min(max(l.limits.outputs, l.limits.maxSeqs), l.limits.chunk),
		Positions: l.Ctx,
		Batches:   l.limits.waves,
	}
}
