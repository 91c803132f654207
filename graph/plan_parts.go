package graph

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Part is what one device holds: consecutive stages, perhaps none.
type Part struct {
	Device      int     `json:"device"` // index into Plan.Devices
	Name        string  `json:"name"`   // of the device
	Embed       bool    `json:"embed"`
	Lo          int     `json:"lo"` // blocks [Lo, Hi)
	Hi          int     `json:"hi"`
	Head        bool    `json:"head"`
	WeightBytes uint64  `json:"weight_bytes"`
	KVBytes     uint64  `json:"kv_bytes"`
	ReadBytes   uint64  `json:"read_bytes"` // weights that one row reads
	Load        float64 `json:"load"`       // seconds a Step where Times are known, else ReadBytes and overhead, by Speed
}

// Parts gives every device's part, in the order of the devices; an idle
// device has one with Idle() true.
func (p *Plan) Parts() []Part {
	parts := make([]Part, len(p.Devices))
	for d, c := range p.Devices {
		parts[d] = Part{Device: d, Name: c.Name}
	}
	work := make([]workload, len(p.Devices))
	average, blocks := 0.0, 0
	for _, s := range p.Stages {
		part, w := &parts[s.Device], &work[s.Device]
		switch s.Kind {
		case StageEmbed:
			part.Embed = true
		case StageHead:
			part.Head = true
		case StageBlock:
			if part.Lo == part.Hi {
				part.Lo = s.Block
			}
			part.Hi = s.Block + 1
			w.blocks++
			w.blockRead += s.ReadBytes
			average += float64(s.ReadBytes)
			blocks++
		}
		w.read += s.ReadBytes
		part.WeightBytes += s.WeightBytes
		part.KVBytes += s.KVBytes
		part.ReadBytes += s.ReadBytes
	}
	for d, c := range p.Devices {
		w := &work[d]
		w.embed, w.head, w.average = parts[d].Embed, parts[d].Head, average/float64(max(blocks, 1))
		parts[d].Load = w.on(c)
	}
	return parts
}

// Idle reports whether the device holds nothing.
func (p Part) Idle() bool { return !p.Embed && !p.Head && p.Lo == p.Hi }

// Stages names what the part holds: "embed, blocks 0-14".
func (p Part) Stages() string {
	var names []string
	if p.Embed {
		names = append(names, "embed")
	}
	switch p.Hi - p.Lo {
	case 0:
	case 1:
		names = append(names, fmt.Sprintf("block %d", p.Lo))
	default:
		names = append(names, fmt.Sprintf("blocks %d-%d", p.Lo, p.Hi-1))
	}
	if p.Head {
		names = append(names, "head")
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// run names consecutive stages.
func run(stages []Placement) string {
	p := Plan{Stages: make([]Placement, len(stages)), Devices: make([]Capacity, 1)}
	copy(p.Stages, stages)
	for i := range p.Stages {
		p.Stages[i].Device = 0
	}
	return p.Parts()[0].Stages()
}

// String is a table for people, a line a device.
func (p *Plan) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	slowest := 0.0
	for _, part := range p.Parts() {
		slowest = max(slowest, part.Load)
	}
	_, _ = fmt.Fprintln(w, "device\tholds\tweights\tkv cache\tof memory\tbusy")
	for _, part := range p.Parts() {
		limit, busy := "no limit", 0.0
		if bytes := p.Devices[part.Device].Bytes; bytes > 0 {
			limit = fmt.Sprintf("%.0f%% of %s", 100*float64(part.WeightBytes+part.KVBytes)/float64(bytes), humanize.IBytes(bytes))
		}
		if slowest > 0 {
			busy = 100 * part.Load / slowest
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.0f%%\n", part.Name, part.Stages(),
			humanize.IBytes(part.WeightBytes), humanize.IBytes(part.KVBytes), limit, busy)
	}
	_ = w.Flush() // to a strings.Builder, which takes everything
	return text.String()
}

// MarshalJSON writes devices, parts and stages.
func (p *Plan) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Devices []Capacity  `json:"devices"`
		Parts   []Part      `json:"parts"`
		Stages  []Placement `json:"stages"`
	}{p.Devices, p.Parts(), p.Stages})
}
