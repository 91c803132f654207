package graph

import (
	"bufio"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
)

// WriteDot draws the plan for Graphviz: a cluster a device, a node a run of
// stages, bold edges where activations change the device, and the edge that
// closes the ring with the next tokens.
func (p *Plan) WriteDot(w io.Writer) error {
	d := &dotWriter{Writer: bufio.NewWriter(w)}
	d.line("digraph plan {")
	d.line("  rankdir=LR;")
	d.line("  node [shape=box];")
	for _, part := range p.Parts() {
		if part.Idle() {
			continue
		}
		d.line("  subgraph cluster_%d {", part.Device)
		d.line("    label=%q;", fmt.Sprintf("%s: %s weights, %s KV",
			part.Name, humanize.IBytes(part.WeightBytes), humanize.IBytes(part.KVBytes)))
		if part.Embed {
			d.node(part.Device, "embed", "embed")
		}
		if part.Hi > part.Lo {
			d.node(part.Device, fmt.Sprintf("blocks_%d", part.Lo), Part{Lo: part.Lo, Hi: part.Hi}.Stages())
		}
		if part.Head {
			d.node(part.Device, "head", "head")
		}
		d.line("  }")
	}
	for i := 1; i < len(d.nodes); i++ {
		style := ""
		if d.devices[i] != d.devices[i-1] {
			style = " [style=bold]"
		}
		d.line("  %s -> %s%s;", d.nodes[i-1], d.nodes[i], style)
	}
	d.line("  head -> embed [style=dashed, label=%q];", "next tokens")
	d.line("}")
	if err := d.Flush(); err != nil {
		return fmt.Errorf("graph: write dot: %w", err)
	}
	return nil
}

// dotWriter remembers the nodes in the order of the pipeline. Its writer keeps
// the first error for Flush.
type dotWriter struct {
	*bufio.Writer
	nodes   []string
	devices []int
}

func (d *dotWriter) line(format string, args ...any) {
	_, _ = fmt.Fprintf(d, format+"\n", args...)
}

func (d *dotWriter) node(device int, id, label string) {
	d.line("    %s [label=%q];", id, label)
	d.nodes, d.devices = append(d.nodes, id), append(d.devices, device)
}
