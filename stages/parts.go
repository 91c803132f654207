package stages

import (
	"context"
	"fmt"
	"strconv"

	"tritflow/device"
	"tritflow/graph"
)

// loader brings the parts of a planned model to their devices.
type loader struct {
	model   *graph.Model
	plan    *graph.Plan
	devices []device.Device
	kv      device.KV
	held    *closers // gets every part that was loaded
}

// unit is what is loaded as one part and becomes one stage: a placement, or
// consecutive blocks of a device that fuses them.
type unit struct {
	kind        graph.StageKind
	first, last int // blocks
	dev         device.Device
}

func (u unit) name() string {
	switch {
	case u.kind != graph.StageBlock:
		return u.kind.String()
	case u.first == u.last:
		return "block " + strconv.Itoa(u.first)
	default:
		return fmt.Sprintf("blocks %d-%d", u.first, u.last)
	}
}

// units lists the stages of the plan.
func (l *loader) units() []unit {
	var all []unit
	for _, p := range l.plan.Stages {
		d := l.devices[p.Device]
		if n := len(all) - 1; n >= 0 && p.Kind == graph.StageBlock && all[n].kind == graph.StageBlock &&
			all[n].dev == d && d.Info().FuseBlocks {
			all[n].last = p.Block
			continue
		}
		all = append(all, unit{p.Kind, p.Block, p.Block, d})
	}
	return all
}

// load loads all parts in order. progress (may be nil) hears of each.
func (l *loader) load(ctx context.Context, progress func(done, total int)) ([]spec, error) {
	units := l.units()
	specs := make([]spec, 0, len(units))
	var here span
	for i, u := range units {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("stages: loading broken off after %d of %d parts: %w", i, len(units), context.Cause(ctx))
		}
		w, err := l.part(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("stages: loading %s on %s: %w", u.name(), u.dev.Info().Name, err)
		}
		sp := spec{name: u.name(), device: u.dev.Info().Name, work: w}
		if i == 0 || units[i-1].dev != u.dev {
			here = make(span, 1)
			sp.enter = here
		}
		if i == len(units)-1 || units[i+1].dev != u.dev {
			sp.leave = here
		}
		specs = append(specs, sp)
		if progress != nil {
			progress(i+1, len(units))
		}
	}
	return specs, nil
}

// part loads one part and says how a stage uses it.
func (l *loader) part(ctx context.Context, u unit) (work, error) {
	switch u.kind {
	case graph.StageEmbed:
		p, err := u.dev.LoadEmbed(ctx, &l.model.Embed)
		if err != nil {
			return nil, err
		}
		l.held.add(p)
		return embedWork(p), nil
	case graph.StageHead:
		p, err := u.dev.LoadHead(ctx, &l.model.Head)
		if err != nil {
			return nil, err
		}
		l.held.add(p)
		return headWork(u.dev, p), nil
	default:
		p, err := u.dev.LoadBlocks(ctx, l.model.Blocks[u.first:u.last+1], l.kv)
		if err != nil {
			return nil, err
		}
		l.held.add(p)
		return blocksWork(u.dev, p), nil
	}
}
