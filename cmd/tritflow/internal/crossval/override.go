package crossval

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tritflow/graph"
)

// OverrideError: an override cannot be applied.
type OverrideError struct {
	Override string
	Reason   string
}

func (e *OverrideError) Error() string {
	return fmt.Sprintf("crossval: override %q: %s", e.Override, e.Reason)
}

// override changes one thing of every block.
type override struct {
	key   string
	want  string // what the value may be
	apply func(b *graph.Block, value string) bool
}

// overrides are the mistakes that files and converters make.
var overrides = []override{
	{"rope.freq_base", "a number above 0", func(b *graph.Block, v string) bool { return number(&b.Rope.Base, v) }},
	{"rope.scale", "a number above 0", func(b *graph.Block, v string) bool { return number(&b.Rope.Scale, v) }},
	{"rope.kind", "neox, normal or none", func(b *graph.Block, v string) bool {
		for _, k := range []graph.RopeKind{graph.RopeNone, graph.RopeNeoX, graph.RopeNormal} {
			if k.String() == v {
				b.Rope.Kind = k
				return true
			}
		}
		return false
	}},
	{"norm.eps", "a number above 0", func(b *graph.Block, v string) bool {
		ok := true
		for _, n := range []*graph.Norm{&b.AttnNorm, &b.FFNNorm, b.AttnSubNorm, b.FFNSubNorm, b.QNorm, b.KNorm} {
			ok = ok && (n == nil || number(&n.Eps, v))
		}
		return ok
	}},
	{"activation", "silu or relu2", func(b *graph.Block, v string) bool {
		for _, a := range []graph.Activation{graph.SiLU, graph.ReLU2} {
			if a.String() == v {
				b.Activation = a
				return true
			}
		}
		return false
	}},
	{"attn_sub_norm", "off", func(b *graph.Block, v string) bool { b.AttnSubNorm = nil; return v == "off" }},
	{"ffn_sub_norm", "off", func(b *graph.Block, v string) bool { b.FFNSubNorm = nil; return v == "off" }},
	{"swap", "gate,up or q,k (of equal shape)", func(b *graph.Block, v string) bool {
		switch v {
		case "gate,up":
			return swap(&b.Gate, &b.Up)
		case "q,k":
			return swap(&b.Q, &b.K)
		}
		return false
	}},
}

// Overrides names what Override takes.
func Overrides() []string {
	var names []string
	for _, o := range overrides {
		names = append(names, o.key+"="+o.want)
	}
	return names
}

// Override makes a function that changes a network as "KEY=VALUE" says, in every
// block, or, as "N:KEY=VALUE", in block N alone.
func Override(list []string) func(*graph.Model) error {
	if len(list) == 0 {
		return nil
	}
	return func(m *graph.Model) error {
		for _, text := range list {
			if err := apply(m, text); err != nil {
				return err
			}
		}
		return nil
	}
}

func apply(m *graph.Model, text string) error {
	key, value, found := strings.Cut(text, "=")
	blocks := m.Blocks
	if at, rest, one := strings.Cut(key, ":"); one {
		n, err := strconv.Atoi(at)
		if err != nil || n < 0 || n >= len(blocks) {
			return &OverrideError{text, fmt.Sprintf("there are blocks 0 to %d", len(blocks)-1)}
		}
		key, blocks = rest, blocks[n:n+1]
	}
	i := slices.IndexFunc(overrides, func(o override) bool { return o.key == key })
	if !found || i < 0 {
		return &OverrideError{text, "write KEY=VALUE with one of " + strings.Join(Overrides(), "; ")}
	}
	for b := range blocks {
		if !overrides[i].apply(&blocks[b], value) {
			return &OverrideError{text, "the value must be " + overrides[i].want}
		}
	}
	return nil
}

func number(to *float32, text string) bool {
	x, err := strconv.ParseFloat(text, 32)
	if err != nil || !(x > 0) || math.IsInf(x, 0) {
		return false
	}
	*to = float32(x)
	return true
}

func swap(a, b *graph.Linear) bool {
	if a.In != b.In || a.Out != b.Out {
		return false
	}
	*a, *b = *b, *a
	return true
}
