//go:build cuda

package cuda

import (
	"fmt"
	"slices"
	"strings"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/gguf"
	"tritflow/graph"
)

var _ device.Strategist = (*gpu)(nil)

// Forms in which weights are read.
const (
	inPlace  = "in place"
	inTiles  = "repacked in tiles"
	asFloats = "decoded to float32 at load"
	asQ8     = "trits and scales as Q8_0"
	onHost   = "decoded on the host"
	screened = "%d bits of a copy, then exact rows"
)

// Strategy asks the functions that Forward decides by. Rows of attention are taken for those
// of as many sequences up to the largest step that is kept as a graph, beyond it for a prompt's.
// Where one row or a few go through all blocks in one kernel (blocks.span), which only blocks
// together can tell, that is named beside the kernel of the layer.
func (g *gpu) Strategy(l device.Layer, rows int) (s device.Strategy, err error) {
	err = gguf.Guard(func() error {
		k, access, err := g.strategy(l, max(rows, 1))
		if err != nil {
			return err
		}
		s = device.Strategy{Kernel: "cuda." + k, Access: access}
		if g.kern.spanned && l.Kind != "output" && l.Kind != device.EmbedKind && access == inTiles {
			switch {
			case rows <= 1:
				s.Kernel += " or span_one"
			case rows <= fewSpanMost:
				s.Kernel += " or span_few"
			}
		}
		return nil
	})
	return s, err
}

func (g *gpu) strategy(l device.Layer, rows int) (kernel, access string, err error) {
	if l.Weight == nil {
		return g.attentionKernel(l, rows)
	}
	c, err := g.codec(l.Weight, l.Out, l.In)
	if err != nil {
		return "", "", err
	}
	kind, _ := denseSize(c, l.Out, l.In)
	access = inPlace
	if kindOf(c) < 0 {
		access = asFloats
		if spreads(c) {
			access = asQ8
		}
	}
	switch {
	case l.Kind == device.EmbedKind && (access != inPlace || kind >= floatKinds):
		return "check_rows", onHost, nil
	case l.Kind == device.EmbedKind:
		return "embed_rows", inPlace, nil
	}
	w, err := g.uniform(&graph.Linear{Weight: l.Weight, Out: l.Out, In: l.In})
	switch {
	case err != nil:
		return "", "", err
	case w != nil:
		t := &ternary{tiles: tilesOf(max(l.Together, l.Out)), chunks: ceilDiv(l.In, chunkCols)}
		if one := (oneInput{x: driver.Ptr(1), cols: l.In}); rows == 1 && g.fitsOne(t, one) {
			k, _ := g.oneKernel(t, one)
			return k.f.Name(), inTiles, nil
		}
		return g.way(t, rows).k.f.Name(), inTiles, nil
	case l.Kind == "output" && g.screenable(&layer{groups: []group{{d: &tensor{rows: l.Out, cols: l.In}}}}) == "":
		group, bits := boundGroup(min(rows, screenRows)), fewestBits(rows, 1)
		if g.kern.exact {
			return g.kern.streams[bits-leastBits][group].f.Name(), fmt.Sprintf(screened, bits), nil
		}
		return g.kern.bounds[group].f.Name(), fmt.Sprintf(screened, mostBits), nil
	}
	return g.kern.dense[denseRoute(rows)][kind].f.Name(), access, nil
}

// tilesOf is how many tiles so many outputs take.
func tilesOf(outputs int) int { return ceilDiv(outputs, tileRows*tileEven) * tileEven }

func (g *gpu) attentionKernel(l device.Layer, rows int) (kernel, access string, err error) {
	if !slices.Contains(g.info.KVTypes, l.KV) {
		return "", "", &device.KVError{Device: g.info.Name, Type: l.KV, Reason: "unknown type; this GPU has " + strings.Join(g.info.KVTypes, ", ")}
	}
	kept, _, _, err := g.keeps(l.Block, device.KV{Type: l.KV, PageSize: usualPage})
	if err != nil {
		return "", "", err
	}
	k := g.kern.attention(l.In, kept)
	switch {
	case !tensorKept(kept):
		return "attend_any", inPlace, nil
	case rows > fewMost:
		return k.rows.f.Name(), inPlace, nil
	case !plain(l.Block):
		return k.chunks.f.Name(), inPlace, nil
	case g.clustered(l.Block, kept, rows):
		return g.clusterOf(l.Block, kept, rows, usualChunks).f.Name(), inPlace, nil
	case g.enough(l.Block, rows):
		return k.each.f.Name(), inPlace, nil
	}
	return k.decode.f.Name(), inPlace, nil
}

// usualPage stands for pages of any multiple of 16 positions, as an engine makes them, usualChunks for contexts
// of any length.
const usualPage, usualChunks = 32, 512 / positionsOfChunk
