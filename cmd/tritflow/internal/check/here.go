package check

import (
	"context"
	"fmt"
	"time"

	machine "tritflow/bench"
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/stages"
	"tritflow/stages/profile"
)

// Here is what running the model on this machine would be like.
type Here struct {
	Device    string  `json:"device"`
	Fits      bool    `json:"fits"`
	Problem   string  `json:"problem,omitempty"` // why it does not fit or cannot be planned
	Memory    uint64  `json:"memory_bytes"`      // of the host, all in
	Free      uint64  `json:"free_bytes"`        // 0: not known
	Positions int     `json:"positions"`         // of a request, which the memory is for
	ReadBytes uint64  `json:"read_bytes"`        // that a greedy token reads
	Bandwidth float64 `json:"read_bytes_s"`      // of the device, 0 where it was not measured
	Decode    float64 `json:"decode_tok_s"`      // 0: not known
	Prefill   float64 `json:"prefill_tok_s"`     // of a prompt of 512; 0: not measured
	How       string  `json:"how"`               // where the speeds come from
}

// Speed says how the speed is estimated.
type Speed int

// What Options.Speed can be.
const (
	SpeedOff      Speed = iota // not at all
	SpeedQuick                 // bytes of a token over the bandwidth, which is measured in a moment
	SpeedMeasured              // by running parts of the model (stages/profile)
)

// bandwidthProbe is how long the processor's memory is measured.
const bandwidthProbe = 300 * time.Millisecond

// smallRead is the number of bytes of a token below which reading is not what
// takes the time.
const smallRead = 64 << 20

// here plans the model on this machine.
func here(ctx context.Context, f *gguf.File, opt Options) (*Here, error) {
	o := stages.Options{Devices: "auto", MaxSeqs: 1, KV: "f16", Pre: opt.Pre}
	if opt.Speed == SpeedMeasured {
		if store, err := profile.UserStore(); err == nil {
			o.Profiles = &store
		}
	}
	h := &Here{Fits: true}
	l, forecast, err := stages.Plan(ctx, f, o, 1, 128)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		h.Fits, h.Problem = false, err.Error()
		return h, nil //nolint:nilerr // the report says it
	}
	h.Memory, h.Positions = l.Memory.Host, l.Ctx
	if len(l.Memory.Devices) > 0 {
		h.Device = l.Memory.Devices[0].Device
	}
	for _, s := range l.Replicas[0].Plan.Stages {
		read := s.ReadBytes
		if s.Kind == graph.StageHead {
			read = screened(l, s.Device, read)
		}
		h.ReadBytes += read
	}
	return h, h.speed(ctx, opt, forecast)
}

// screened is what a greedy answer reads of the head: six bits of the 8-bit copy that
// finds the largest logits, where the device makes one.
func screened(l *stages.Layout, device int, head uint64) uint64 {
	if device < len(l.Memory.Devices) {
		if copied := l.Memory.Devices[device].Screening; copied > 0 && copied < head {
			return copied / 8 * 6
		}
	}
	return head
}

func (h *Here) speed(ctx context.Context, opt Options, forecast *stages.Forecast) error {
	within := bandwidthProbe
	if opt.Speed == SpeedOff {
		within = 0
	}
	found, err := machine.SurveyCPU(ctx, within)
	if err != nil {
		return err
	}
	h.Free = found.Free
	if h.Free > 0 && h.Memory > h.Free && h.Device == found.Name+":0" {
		h.Problem = "more memory is needed than is free now"
	}
	if h.Device != "cpu:0" {
		found.Read = 0
		all, _ := device.Survey(ctx, opt.Speed != SpeedOff)
		for _, d := range all {
			if d.Name == h.Device {
				found.Read = d.Read
			}
		}
	}
	h.Bandwidth = found.Read
	switch {
	case opt.Speed == SpeedMeasured && forecast != nil:
		h.Decode, h.Prefill = forecast.Single, forecast.Prefill
		h.How = "measured: parts of the model were run on the device (tritflow plan has more)"
	case h.Bandwidth > 0 && h.ReadBytes > 0:
		h.Decode = h.Bandwidth / float64(h.ReadBytes)
		h.How = fmt.Sprintf("estimated: reading the %.3g GB that a greedy token needs at %.1f GB/s, which was measured now; usually 0.8 to 0.95 of it are reached",
			float64(h.ReadBytes)/1e9, h.Bandwidth/1e9)
		if h.ReadBytes < smallRead {
			h.How += "; of a model as small as this one a good deal less, for other work counts more"
		}
	}
	return nil
}
