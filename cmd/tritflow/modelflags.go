package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tritflow/cmd/tritflow/internal/fingerprint"
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/gguf/vocab"
	"tritflow/graph"
	"tritflow/stages"
	"tritflow/stages/profile"
	"tritflow/stages/trace"
)

// fileFlags say which model file to read and how.
type fileFlags struct {
	path   string
	pre    string
	layout string
	tiles  string
	q2     int
}

// addModel adds -m and the flags that decide how the file is read.
func (f *fileFlags) addModel(fs *pflag.FlagSet) {
	fs.StringVarP(&f.path, "model", "m", "", "GGUF file (default: the small model inside the program)")
	f.addReading(fs)
}

// addReading adds the flags without -m, for commands whose file is an argument.
func (f *fileFlags) addReading(fs *pflag.FlagSet) {
	fs.StringVar(&f.pre, "pre", "", "pre-tokenizer to use instead of the file's")
	fs.StringVar(&f.layout, "i2s-layout", "", "byte order of I2_S tensors: A, B or C, or auto to find it out (default: what the file says, or A)")
	fs.StringVar(&f.tiles, "tl-tiles", "", "tiles of TL1 and TL2 tensors: BM/BK/bm, or ROWSxCOLUMNS=BM/BK/bm,... (default: what the file says, the preset of the shape, or found)")
	fs.IntVar(&f.q2, "q2-block", 0, "values in a block of Q2_0, 64 or 128, where the file leaves it open")
}

// take makes the argument of a command, if there is one, the file.
func (f *fileFlags) take(args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case f.path != "":
		return usagef("name one file, %q or %q", f.path, args[0])
	}
	f.path = args[0]
	return nil
}

// reading are the options of the file.
func (f *fileFlags) reading() gguf.Options {
	return gguf.Options{I2SLayout: f.layout, Tiles: f.tiles, Q2Block: f.q2}
}

// open opens the file, or the built-in model when none is named.
func (f *fileFlags) open(a *app) (*gguf.File, error) {
	if f.path == "" {
		a.noteBuiltin()
	}
	file, err := builtin.OpenFile(f.path, f.reading())
	return file, wrapModel(err)
}

// vocab opens the file for its vocabulary alone, which a file without tensors
// has as well.
func (f *fileFlags) vocab(a *app) (*vocab.Vocab, error) {
	g := *f
	if g.layout == autoLayout {
		g.layout = "" // no weight is read
	}
	file, err := g.open(a)
	if err != nil {
		return nil, err
	}
	v, err := vocab.Load(file.Metadata(), vocab.Options{Pre: f.pre})
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, wrapModel(fmt.Errorf("%s: %w", file.Name(), err))
	}
	for _, w := range v.Warnings() {
		a.log.Warn().Msg(w)
	}
	return v, nil
}

func wrapModel(err error) error {
	if err == nil {
		return nil
	}
	return &modelError{err}
}

func (a *app) noteBuiltin() {
	a.log.Info().Str("model", builtin.Name).
		Msg("no model named (-m FILE): using the small one inside the program, which tells tiny stories, adds and names capitals")
}

// placementFlags say where a model runs.
type placementFlags struct {
	devices string
	strict  bool
	split   []int
	kv      string
	screen  string
}

// add adds the flags, but for those whose names the command has for something else.
func (f *placementFlags) add(cmd *cobra.Command, own ...string) {
	fs := cmd.Flags()
	fs.StringVar(&f.devices, "devices", "auto", "where the model runs: auto, cpu, cpu:4 (workers), cpu:1,cpu:1 (two pools), cuda:0 ...")
	if !slices.Contains(own, "threads") {
		fs.VarP(&workersValue{&f.devices, ""}, "threads", "t", "workers of the CPU: -t 4 is --devices cpu:4")
		atMostOne(cmd, "threads", "devices")
	}
	fs.BoolVar(&f.strict, "strict-devices", false, "fail where auto would take the CPU for want of a GPU")
	fs.IntSliceVar(&f.split, "split", nil, "blocks on each device, for example 15,15 (default: planned)")
	fs.StringVar(&f.kv, "kv", "f16", "type of the key/value cache: f16, f32, q8_0 (half of f16, a little less exact) or q4_0 (a quarter; try it on your model first)")
	fs.StringVar(&f.screen, "screen", "", "8-bit copy of the head that finds the largest logits, with the same answers: auto (a CPU reads six of the bits where they are enough), 6 or 8 (always so many), or off (default: TRITFLOW_SCREEN, or auto)")
}

// workersValue turns a number of workers into the devices.
type workersValue struct {
	devices *string
	given   string
}

func (v *workersValue) String() string { return v.given }
func (v *workersValue) Type() string   { return "int" }
func (v *workersValue) Set(s string) error {
	if _, err := strconv.Atoi(s); err != nil {
		return err
	}
	*v.devices, v.given = "cpu:"+s, s
	return nil
}

// engineFlags say how to load a model and where it runs.
type engineFlags struct {
	fileFlags
	placementFlags
	ctx         int
	seqs        int // sequences alive at once; 0 = the engine's default. Set by commands.
	waves       int
	replicas    int
	promptRows  float64 // as the engine's option. Set by commands.
	prefixCache string
	maxMemory   []string
	network     func(*graph.Model) error // changes the network; set by commands
}

// add adds the flags; own are names and letters that the command has for something else.
func (f *engineFlags) add(cmd *cobra.Command, own ...string) {
	fs := cmd.Flags()
	f.addModel(fs)
	f.placementFlags.add(cmd, own...)
	alsoNamed(fs, llamaEngineNames)
	letter := "c"
	if slices.Contains(own, letter) {
		letter = ""
	}
	fs.IntVarP(&f.ctx, "ctx", letter, 0, "positions a request may have (default: the model's, at most 4096)")
	fs.IntVar(&f.waves, "waves", 0, "steps in flight (default: as many as devices; 1: unpipelined)")
	fs.IntVar(&f.replicas, "replicas", 1, "divide the devices into so many equal parts, with a whole model on each")
	fs.StringVar(&f.prefixCache, "prefix-cache", "on", "on or off: compute what prompts have in common once; the answers are the same")
	fs.StringSliceVar(&f.maxMemory, "max-memory", nil, "most memory to use in all, for example 3GB, or on a device: cpu:0=2GB (may be given several times)")
}

// options are those of the engine, without what is done while it loads.
func (f *engineFlags) options(a *app) (stages.Options, error) {
	o := stages.Options{
		Devices: f.devices, Strict: f.strict, Split: f.split, Ctx: f.ctx, KV: f.kv, Screen: f.screen, MaxSeqs: f.seqs, Pre: f.pre,
		Waves: f.waves, Replicas: f.replicas, PromptRows: f.promptRows, Network: f.network,
		Gguf: f.reading(), Log: a.log,
	}
	if f.ctx < 0 {
		return o, usagef("--ctx %d is negative: give a number of positions, or 0 for the model's own", f.ctx)
	}
	if f.waves < 0 || f.replicas < 0 {
		return o, usagef("--waves %d and --replicas %d: neither can be negative", f.waves, f.replicas)
	}
	switch f.prefixCache {
	case "on", "":
	case "off":
		o.NoPrefixCache = true
	default:
		return o, usagef("--prefix-cache %q: write on or off", f.prefixCache)
	}
	for _, entry := range f.maxMemory {
		name, size, found := strings.Cut(entry, "=")
		if !found {
			name, size = "", entry
		}
		bytes, err := humanize.ParseBytes(size)
		if err != nil || bytes == 0 {
			return o, usagef("--max-memory %s: give a size, for example 3GB, or a device and its size, for example cpu:0=2GB", entry)
		}
		if name == "" {
			o.MaxMemory = bytes
			continue
		}
		if o.DeviceMemory == nil {
			o.DeviceMemory = map[string]uint64{}
		}
		o.DeviceMemory[name] = bytes
	}
	// One device has nothing to be divided, and a split that is given is taken.
	if strings.Contains(f.devices, ",") && len(f.split) == 0 {
		o.Profiles = a.profiles()
	}
	return o, nil
}

// profiles is where measured speeds are kept, or nil where there is no place.
func (a *app) profiles() *profile.Store {
	s, err := profile.UserStore()
	if err != nil {
		a.log.Warn().Msg(err.Error())
		return nil
	}
	return &s
}

// load starts an engine. The caller closes it.
func (f *engineFlags) load(ctx context.Context, a *app, rec *trace.Recorder) (*stages.Engine, error) {
	if err := f.settle(ctx, a); err != nil {
		return nil, err
	}
	opt, err := f.options(a)
	if err != nil {
		return nil, err
	}
	if f.path == "" {
		a.noteBuiltin()
	}
	progress, done := a.progress("loading")
	opt.Trace, opt.Progress = rec, progress
	e, err := stages.Open(ctx, f.path, opt)
	done()
	if err != nil {
		return nil, openFailure(ctx, err)
	}
	keepPromise(e.Memory())
	return e, nil
}

// keepPromise makes the collector work harder before the program's heap takes
// more than was promised: what is mapped is not part of the heap.
func keepPromise(m stages.Memory) {
	if m.Limit == 0 {
		return
	}
	mapped := -int64(m.Shared)
	for _, d := range m.Devices {
		mapped += d.Used.Now[device.Mapped.String()]
	}
	debug.SetMemoryLimit(max(int64(m.Limit)-mapped, 16<<20))
}

// closeEngine closes an engine and adds a failure to an error of the command.
func closeEngine(e *stages.Engine, err *error) {
	if cerr := e.Close(); cerr != nil && *err == nil {
		*err = fmt.Errorf("closing the model: %w", cerr)
	}
}

// fingerprint reads the whole file for its hashes.
func (f *fileFlags) fingerprint(ctx context.Context) (*fingerprint.Model, error) {
	file, err := builtin.OpenFile(f.path, f.reading())
	if err != nil {
		return nil, wrapModel(err)
	}
	m, err := fingerprint.Of(ctx, file)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, openFailure(ctx, err)
	}
	return m, nil
}
