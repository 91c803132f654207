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
	"tritflow/stages/profile"
	"tritflow/stages/trace"
)

// Options of an Engine. The zero value is a sensible default.
type Options struct {
	Devices  string // "auto", "cpu", "cpu:4", "cpu:1,cpu:1", "cuda:0" ...
	Strict   bool   // "auto" fails where it would take the CPU because no accelerator can be used
	Split    []int  // blocks a device; nil = planned
	Ctx      int    // positions a sequence may have; 0 = min(model, 4096)
	KV       string // "f16" (default), "f32", "q8_0" or "q4_0"
	Screen   string // "auto", "6", "8" or "off": copies of heads (device.Screener); "" = as the devices have it
	MaxSeqs  int    // sequences alive at once; 0 = 8
	Queue    int    // requests that may wait for a place; 0 = 1024
	Chunk    int    // rows a Step may carry; 0 = what the devices wish (device.Info.Rows), or else chosen
	Waves    int    // Steps in flight on each replica; 0 = as many as it has devices, 1 = unpipelined
	Replicas int    // equal parts of the device list, with a whole model each; 0 = 1

	// PromptRows is how many rows of prompts a split expects for each row that is answered; 0 = 4.
	PromptRows float64

	// NoPrefixCache computes every prompt from its beginning. The answers are
	// the same.
	NoPrefixCache bool

	// MaxMemory bounds what everything in the host's memory takes, mapped
	// weights included, and DeviceMemory what single devices take (by
	// Info.Name), in bytes; 0 = what there is. The KV cache gets what is left,
	// and at least one sequence must fit, or Open fails with a *MemoryError or
	// *graph.MemoryError.
	MaxMemory    uint64
	DeviceMemory map[string]uint64

	// Profiles says where speeds that were measured are kept. Where it is set,
	// blocks are split by them and they choose how many rows a Step carries;
	// what is not there is measured. nil = by what devices say of themselves.
	Profiles *profile.Store
	Pre      string // pre-tokenizer override

	// Network, where it is set, changes the network before anything is planned
	// or loaded: for experiments, and to prove that a wrong one is noticed.
	Network  func(*graph.Model) error
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
	defaultWaveChunk = 128

	// promptRows is how many rows of prompts a split expects for each row that is
	// answered, unless told. The head works for the latter alone, so a split for answers gives
	// its device few blocks and makes the others wait for prompts, and the other
	// way round; jobs read several times what they write.
	promptRows = 4

	// leastBudget is the smallest row budget that measurement can choose.
	leastBudget = 32

	// pageSize is the number of positions of a KV page: small enough that
	// short requests take little, large enough that tables stay short.
	pageSize = 32

	// logitsBytes bounds the full rows of logits of one step.
	logitsBytes = 64 << 20

	// tokensBehind is how many tokens a consumer may be behind before its
	// request is not scheduled any more.
	tokensBehind = 16
)

// kvBytes is the size of an element of the KV cache by type; blocks of q8_0
// (q4_0) are 32 values in 34 (18) bytes.
var kvBytes = map[string]float64{"f16": 2, "f32": 4, "q8_0": 34.0 / 32, "q4_0": 18.0 / 32}

// settle fills in what the model decides and refuses what cannot be.
func (o Options) settle(m *graph.Model) (Options, error) {
	for _, c := range []struct {
		field string
		value int
	}{{"Ctx", o.Ctx}, {"MaxSeqs", o.MaxSeqs}, {"Queue", o.Queue}, {"Chunk", o.Chunk}, {"Waves", o.Waves}, {"Replicas", o.Replicas}} {
		if c.value < 0 {
			return o, &OptionError{c.field, fmt.Sprintf("%d: must be 0 (the default) or greater", c.value)}
		}
	}
	if !(o.PromptRows >= 0 && o.PromptRows <= math.MaxFloat64) {
		return o, &OptionError{"PromptRows", fmt.Sprintf("%v: must be 0 (the default) or a finite number above it", o.PromptRows)}
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
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if most := math.MaxInt32 / ceilDiv(o.Ctx, pageSize); o.MaxSeqs > most {
		return o, &OptionError{"MaxSeqs", fmt.Sprintf("%d sequences of %d positions need more pages than can be numbered; at most %d", o.MaxSeqs, o.Ctx, most)}
	}
	return o, nil
}

// most is how many KV pages all sequences together could use.
func (o Options) most() int { return o.MaxSeqs * ceilDiv(o.Ctx, pageSize) }

// limits are those of a ring with so many devices in use; wish is the largest
// number of rows that one of them asks for, rowBudget what measurement suggests,
// 0 without any.
func (o Options) limits(devices, pages, vocab, wish, rowBudget int) limits {
	rows := o.MaxSeqs * o.Ctx // there are never more, and memory is planned for what can be
	l := limits{
		ctx: o.Ctx, pageSize: pageSize, pages: pages, maxSeqs: o.MaxSeqs, queue: o.Queue,
		chunk: min(o.Chunk, rows), waves: min(o.Waves, rows), tokens: tokensBehind, share: !o.NoPrefixCache,
		outputs: o.fullRows(vocab),
	}
	if l.waves == 0 {
		l.waves = devices
	}
	switch {
	case l.chunk > 0:
	case wish > 0:
		l.chunk = min(wish, rows)
	case rowBudget > 0:
		most := defaultChunk
		if l.waves > 1 {
			most = defaultWaveChunk
		}
		l.chunk = min(max(rowBudget, leastBudget), most)
	case l.waves > 1:
		l.chunk = defaultWaveChunk
	default:
		l.chunk = defaultChunk
	}
	return l
}

// fullRows is how many full rows of logits a step may ask for: of a small
// memory they take a small part.
func (o Options) fullRows(vocab int) int {
	bytes := logitsBytes
	if o.MaxMemory > 0 {
		bytes = min(bytes, int(min(o.MaxMemory, 1<<40)/64))
	}
	return max(1, bytes/(4*vocab))
}

// screen tells the devices which have a choice how to screen heads.
func (o Options) screen(devs []device.Device) error {
	mode := o.Screen
	switch mode {
	case "":
		return nil
	case device.ScreenAuto, device.ScreenSix, device.ScreenEight, device.ScreenOff:
	default:
		return &OptionError{"Screen", fmt.Sprintf("%q is not a way to screen heads; there are auto, 6, 8 and off", o.Screen)}
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
