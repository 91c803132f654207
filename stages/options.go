package stages

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/stages/trace"
)

// Options of an Engine. The zero value is a sensible default.
type Options struct {
	Devices  string // "auto", "cpu", "cpu:4", "cpu:1,cpu:1" ...
	Split    []int  // blocks a device; nil = planned
	Ctx      int    // positions a sequence may have; 0 = min(model, 4096)
	KV       string // "f16" (default), "f32" or "q8_0"
	Screen   string // "auto", "8" or "off": copies of heads (device.Screener); "" = as the devices have it
	MaxSeqs  int    // sequences alive at once; 0 = 8
	Queue    int    // requests that may wait for a place; 0 = 1024
	Chunk    int    // rows a Step may carry; 0 = chosen
	Pre      string // pre-tokenizer override
	Gguf     gguf.Options
	Trace    *trace.Recorder // nil = off
	Log      zerolog.Logger
	Progress func(done, total int) // parts loaded; may be nil
}

const (
	defaultCtx     = 4096
	defaultMaxSeqs = 8
	defaultQueue   = 1024

	// One device works on the whole step: large chunks read weights seldom.
	// Several work on consecutive steps: smaller chunks let a prompt overlap itself.
	defaultChunk     = 256
	defaultWaveChunk = 64

	// pageSize is the number of positions of a KV page: small enough that
	// short requests take little, large enough that tables stay short.
	pageSize = 32

	// logitsBytes bounds the full rows of logits of one step.
	logitsBytes = 64 << 20

	// tokensBehind is how many tokens a consumer may be behind before its
	// request is not scheduled any more.
	tokensBehind = 16
)

// kvBytes is the size of an element of the KV cache by type; blocks of q8_0 are
// 32 values in 34 bytes.
var kvBytes = map[string]float64{"f16": 2, "f32": 4, "q8_0": 34.0 / 32}

// settle fills in what the model decides and refuses what cannot be.
func (o Options) settle(m *graph.Model) (Options, error) {
	for _, c := range []struct {
		field string
		value int
	}{{"Ctx", o.Ctx}, {"MaxSeqs", o.MaxSeqs}, {"Queue", o.Queue}, {"Chunk", o.Chunk}} {
		if c.value < 0 {
			return o, &OptionError{c.field, fmt.Sprintf("%d: must be 0 (the default) or greater", c.value)}
		}
	}
	if m.Context > 0 && o.Ctx > m.Context {
		return o, &OptionError{"Ctx", fmt.Sprintf("%d positions are more than the %d that the model was trained for", o.Ctx, m.Context)}
	}
	if o.KV == "" {
		o.KV = "f16"
	}
	if kvBytes[o.KV] == 0 {
		return o, &OptionError{"KV", fmt.Sprintf("%q is not a type of KV cache; there are %s", o.KV, strings.Join(slices.Sorted(maps.Keys(kvBytes)), ", "))}
	}
	if o.Ctx == 0 {
		o.Ctx = defaultCtx
		if m.Context > 0 {
			o.Ctx = min(m.Context, defaultCtx)
		}
	}
	if o.MaxSeqs == 0 {
		o.MaxSeqs = defaultMaxSeqs
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if most := math.MaxInt32 / ceilDiv(o.Ctx, pageSize); o.MaxSeqs > most {
		return o, &OptionError{"MaxSeqs", fmt.Sprintf("%d sequences of %d positions need more pages than can be numbered; at most %d", o.MaxSeqs, o.Ctx, most)}
	}
	return o, nil
}

// kv is the shape of the KV cache that options ask for.
func (o Options) kv() device.KV {
	return device.KV{Type: o.KV, PageSize: pageSize, Pages: o.MaxSeqs * ceilDiv(o.Ctx, pageSize)}
}

// limits are the pipeline's, for a plan that uses so many devices.
func (o Options) limits(waves, vocab int) limits {
	chunk := o.Chunk
	switch {
	case chunk > 0:
	case waves > 1:
		chunk = defaultWaveChunk
	default:
		chunk = defaultChunk
	}
	return limits{
		ctx: o.Ctx, pageSize: pageSize, pages: o.kv().Pages,
		maxSeqs: o.MaxSeqs, queue: o.Queue, chunk: chunk, waves: waves,
		outputs: max(1, logitsBytes/(4*vocab)), tokens: tokensBehind,
	}
}

// screen tells the devices which have a choice how to screen heads.
func (o Options) screen(devs []device.Device) error {
	mode := o.Screen
	switch mode {
	case "":
		return nil
	case "8":
		mode = device.ScreenAuto // the copies that there are have 8 bits
	case device.ScreenAuto, device.ScreenOff:
	default:
		return &OptionError{"Screen", fmt.Sprintf("%q is not a way to screen heads; there are auto, 8 and off", o.Screen)}
	}
	for _, d := range devs {
		if s, ok := d.(device.Screener); ok {
			if err := s.SetScreening(mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// capacities tells the planner of devices, which must be able to hold the KV
// cache. Speeds are known relative to each other only where all count workers.
func (o Options) capacities(devs []device.Device) ([]graph.Capacity, error) {
	comparable := !slices.ContainsFunc(devs, func(d device.Device) bool { return d.Info().Workers == 0 })
	caps := make([]graph.Capacity, len(devs))
	for i, d := range devs {
		info := d.Info()
		if !slices.Contains(info.KVTypes, o.KV) {
			return nil, &OptionError{"KV", fmt.Sprintf("%s cannot hold a cache of %s; it has %v", info.Name, o.KV, info.KVTypes)}
		}
		caps[i] = graph.Capacity{Name: info.Name, Bytes: info.Memory, Overhead: info.BlockCost}
		if comparable {
			caps[i].Speed = float64(info.Workers)
		}
	}
	return caps, nil
}
