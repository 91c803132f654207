//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"

	"tritflow/device/cuda/driver"
)

// kernel is a function of the module with its parameters prepared.
type kernel struct {
	f         driver.Function
	args      *driver.Args
	l         *driver.Launch
	dependent bool // the GPU can start it before the kernel before it has ended
	together  bool // the driver sees to it that all blocks run at the same time: they wait for each other, and others do so too
	cluster   int  // blocks of a cluster, 0: none
	spares    bool // it may take shared memory that it does not use
}

// out are the words of the structure Out of kernels/ternary.cuh.
type out [9]uint64

// realOut are the words of the structure Real of kernels/dense.cu.
type realOut [7]uint64

// fewRowsOf are the words of the structure FewRows of kernels/lookup.cu: two a Row, then embedWords of the tables.
type fewRowsOf [2*embedMost + embedWords/2]uint64

// fewTaken are the words of the structure Few of kernels/screen_acts.cu: one a row.
type fewTaken [screenRows]uint64

// embedMost is how many rows of an embedding may come with the launch, embedWords how many words of a step's tables.
const embedMost, embedWords = 64, 512

// oneRow are the words of the structure One of kernels/ternary_one.cu.
type oneRow [7]uint64

// structure is a parameter that is passed by value.
type structure interface{ bytes() []byte }

func (o *out) bytes() []byte         { return bytesOf(o[:]) }
func (o *realOut) bytes() []byte     { return bytesOf(o[:]) }
func (o *oneRow) bytes() []byte      { return bytesOf(o[:]) }
func (s *shape) bytes() []byte       { return bytesOf(s[:]) }
func (a *spanArgs) bytes() []byte    { return bytesOf(a[:]) }
func (a *fewSpanArgs) bytes() []byte { return bytesOf(a[:]) }
func (f *fewTaken) bytes() []byte    { return bytesOf(f[:]) }
func (f *fewRowsOf) bytes() []byte   { return bytesOf(f[:]) }

// run puts the kernel into the stream. Arguments are driver.Ptr, int, float32 or
// structures of words. dependent lets it start while the kernel before it ends.
func (k *kernel) run(s driver.Stream, grid driver.Dim, threads, shared int, dependent bool, args ...any) error {
	if k.args == nil {
		sizes := make([]int, len(args))
		for i, a := range args {
			sizes[i] = 8
			if v, ok := a.(structure); ok {
				sizes[i] = len(v.bytes())
			}
		}
		k.args = driver.NewWideArgs(sizes...)
		k.l = k.f.Prepare(driver.Config{Grid: grid, Block: driver.Dim{X: threads}}, k.args)
	}
	for i, a := range args {
		switch v := a.(type) {
		case driver.Ptr:
			k.args.SetPtr(i, v)
		case int:
			k.args.SetInt(i, v)
		case float32:
			k.args.SetUint64(i, uint64(math.Float32bits(v)))
		case structure:
			copy(k.args.Bytes(i), v.bytes())
		default:
			panic(fmt.Sprintf("cuda: parameter %d of %s is a %T", i, k.f.Name(), a))
		}
	}
	k.l.Configure(driver.Config{Grid: grid, Block: driver.Dim{X: threads}, Shared: shared, Dependent: dependent && k.dependent, Cooperative: k.together,
		Cluster: driver.Dim{X: k.cluster}})
	return k.l.Run(s)
}

func (k *kernel) free() {
	if k.args != nil {
		k.args.Free()
		k.args = nil
	}
}

// kernelSet are all that the device uses.
type kernelSet struct {
	modules []driver.Module

	packTrits, embedRows, embedFew, checkRows, takeRows, copyWords kernel
	norm12, norm16, normWide                                       kernel
	one1, one2, one4                                               kernel
	oneMost                                                        int // dynamic shared memory that these may have
	short8, short16, two8, two16, four8, four16                    kernel
	few8, few16, pair16, few32, few64, full64, many, wide          kernel
	batch                                                          [len(batchRows)]kernel // without code where exact is false
	batchMost                                                      int                    // shared memory that these may have
	dense                                                          [len(denseRoutes)][len(denseTypes)]kernel
	gateRows                                                       kernel
	placeRows, attendAny                                           kernel
	attn                                                           attentions
	largest                                                        kernel
	screenBuild, acts12, acts32, actsWide                          kernel
	bounds                                                         [len(boundGroups)]kernel
	streams                                                        [mostBits - leastBits + 1][len(boundGroups)]kernel // without code where exact is false
	screenFinish                                                   kernel
	spanned                                                        bool
	exact                                                          bool // the card has the capability that cubins for 9.0 alone are for
}

// denseRoutes are the rows that the kernels of dense.cu work on at a time.
var denseRoutes = [...]int{1, 4, 16}

// boundGroups are the rows that the kernels of screen.cu and screen_stream.cu take at most, in eights.
var boundGroups = [...]int{1, 2, 4, 8}

// streamed are the kernels of screen_stream.cu: how many bits of the codes they read, and their group.
var streamed = [...]struct{ bits, group int }{{6, 0}, {7, 0}, {7, 1}, {8, 0}, {8, 1}, {8, 2}, {8, 3}}

// named lists the kernels by source and name.
func (k *kernelSet) named() map[string]map[string]*kernel {
	all := map[string]map[string]*kernel{
		"pack":        {"pack_trits": &k.packTrits},
		"lookup":      {"embed_rows": &k.embedRows, "embed_few": &k.embedFew, "check_rows": &k.checkRows, "take_rows": &k.takeRows, "copy_words": &k.copyWords},
		"norm":        {"norm12": &k.norm12, "norm16": &k.norm16, "norm_wide": &k.normWide},
		"ternary_one": {"ternary_one1": &k.one1, "ternary_one2": &k.one2, "ternary_one4": &k.one4},
		"ternary_few": {"ternary_short8": &k.short8, "ternary_short16": &k.short16, "ternary_two8": &k.two8, "ternary_two16": &k.two16,
			"ternary_four8": &k.four8, "ternary_four16": &k.four16, "ternary_few8": &k.few8, "ternary_few16": &k.few16, "ternary_pair16": &k.pair16,
			"ternary_few32": &k.few32, "ternary_few64": &k.few64, "ternary_full64": &k.full64},
		"ternary_many":  {"ternary_many": &k.many},
		"dense":         {},
		"gate":          {"gate_rows": &k.gateRows},
		"position":      {"place_rows": &k.placeRows},
		"attention_any": {"attend_any": &k.attendAny},
		"attention":     {},
		"decode":        {},
		"largest":       {"largest": &k.largest},
		"screen_build":  {"screen_build": &k.screenBuild},
		"screen_acts":   {"screen_acts12": &k.acts12, "screen_acts32": &k.acts32, "screen_acts_wide": &k.actsWide},
		"screen":        {},
		"screen_finish": {"screen_finish": &k.screenFinish},
	}
	for i, rows := range denseRoutes {
		for j, typ := range denseTypes {
			all["dense"][fmt.Sprintf("dense_%d_%s", rows, typ)] = &k.dense[i][j]
		}
	}
	for i, groups := range boundGroups {
		all["screen"][fmt.Sprintf("screen_bounds_%d", 8*groups)] = &k.bounds[i]
	}
	k.nameAttention(all)
	if k.exact {
		all["screen_stream"] = map[string]*kernel{}
		for _, kn := range streamed {
			all["screen_stream"][fmt.Sprintf("screen_stream_%d_%d", kn.bits, 8*boundGroups[kn.group])] = &k.streams[kn.bits-leastBits][kn.group]
		}
		all["ternary_batch"] = map[string]*kernel{}
		for i, rows := range batchRows {
			all["ternary_batch"][batchName(rows)] = &k.batch[i]
		}
		all["ternary_wide"] = map[string]*kernel{"ternary_wide": &k.wide}
	}
	return all
}

// norm picks the kernel for rows of so many values, and its threads.
func (k *kernelSet) norm(cols int) (*kernel, int) {
	return byWidth(cols, &k.norm12, &k.norm16, midLanes, &k.normWide)
}

// acts picks the kernel that rounds rows of so many values for screening, and its threads.
func (k *kernelSet) acts(cols int) (*kernel, int) {
	return byWidth(cols, &k.acts12, &k.acts32, normLanes, &k.actsWide)
}

// byWidth picks among kernels for rows of up to 12 values a lane, of up to mostNarrow with so many lanes, and of more.
func byWidth(cols int, upTo12, narrow *kernel, narrowLanes int, wide *kernel) (k *kernel, lanes int) {
	switch {
	case cols <= 12*normLanes:
		return upTo12, normLanes
	case cols <= mostNarrow:
		return narrow, narrowLanes
	}
	return wide, wideLanes
}

// Lanes of kernels/norm.cuh, and the longest rows that the narrow ones and all take.
const (
	normLanes, midLanes, wideLanes = 256, 512, 1024
	mostNarrow, mostNormed         = 32 * normLanes, 32 * wideLanes
)

// waits is the target whose kernels wait for what comes before them (pdl_wait of kernels/common.cuh). Others must not
// begin before that has ended, whatever the card could do.
const waits = "sm_90a"

// loadKernels loads the modules and finds every kernel in them. A driver that knows no cubins of the compiler's
// version gets the kernels of all cards, as PTX.
func loadKernels(c *driver.Context, p *driver.Properties) (*kernelSet, error) {
	exact := p.Capability() == 90
	k, err := loadSet(c, p, exact)
	if exact && notForThis(err) {
		k, err = loadSet(c, p, false)
	}
	return k, err
}

// loadSet loads the modules; exact: with the kernels that are for 9.0 alone.
func loadSet(c *driver.Context, p *driver.Properties, exact bool) (*kernelSet, error) {
	k := &kernelSet{spanned: exact && p.Cooperative, exact: exact}
	k.attn.init()
	for source, list := range k.named() {
		m, target, err := loadModule(c, p, source)
		if err != nil {
			return nil, errors.Join(err, k.unload())
		}
		k.modules = append(k.modules, m)
		for name, kn := range list {
			if kn.f, err = m.Function(name); err != nil {
				return nil, errors.Join(err, k.unload())
			}
			kn.dependent = target == waits
		}
	}
	// A few kilobytes are static.
	k.oneMost = p.SharedOptin - 12<<10
	for _, kn := range []*kernel{&k.one1, &k.one2, &k.one4} {
		if err := kn.f.AllowShared(k.oneMost); err != nil {
			return nil, errors.Join(err, k.unload())
		}
	}
	if k.exact {
		for _, kn := range streamed {
			if err := k.streams[kn.bits-leastBits][kn.group].f.AllowShared(streamRing); err != nil {
				return nil, errors.Join(err, k.unload())
			}
		}
		for _, kn := range []*kernel{&k.short8, &k.short16, &k.two8, &k.two16, &k.four8, &k.four16} {
			if err := kn.f.AllowShared(max(asideOutput, asideInner)); err != nil {
				return nil, errors.Join(err, k.unload())
			}
			kn.spares = true
		}
		k.batchMost = p.SharedOptin - 6<<10
		if err := k.wide.f.AllowShared(k.batchMost); err != nil {
			return nil, errors.Join(err, k.unload())
		}
		for i := range k.batch {
			if err := k.batch[i].f.AllowShared(k.batchMost); err != nil {
				return nil, errors.Join(err, k.unload())
			}
		}
	}
	if err := k.attn.ready(exact); err != nil {
		return nil, errors.Join(err, k.unload())
	}
	return k, nil
}

func (k *kernelSet) unload() error {
	var err error
	for _, list := range k.named() {
		for _, kn := range list {
			kn.free()
		}
	}
	for _, m := range k.modules {
		err = errors.Join(err, m.Unload())
	}
	return err
}
