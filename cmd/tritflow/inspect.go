package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"tritflow/gguf"
	"tritflow/graph"
)

type inspectFlags struct {
	fileFlags
	json    bool
	machine bool
	kernels bool
	find    bool
}

func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:   "inspect [-m FILE | FILE]",
		Short: "Show what is in a model file, how it would be computed here, or what this machine can do",
		Args:  arguments(0, 1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			switch {
			case f.machine && f.kernels:
				return usagef("--machine is about this machine, --kernels about a model on it: give one of them")
			case f.find && (f.machine || f.kernels):
				return usagef("--layout looks for one thing: give it alone")
			}
			if err := f.take(args); err != nil {
				return err
			}
			switch {
			case f.machine && f.path != "":
				return usagef("--machine is about this machine: leave out %q", f.path)
			case f.machine:
				return a.inspectMachine(f.json)
			case f.find:
				return a.inspectLayout(ctx, &f)
			}
			if err := f.settle(ctx, a); err != nil {
				return err
			}
			if f.kernels {
				return a.inspectKernels(&f)
			}
			return a.inspect(&f)
		}),
	}
	fs := cmd.Flags()
	f.addModel(fs)
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.BoolVar(&f.kernels, "kernels", false, "show which kernels would multiply the layers of the file here")
	fs.BoolVar(&f.find, "layout", false, "find out which byte order the file's I2_S tensors have: by their statistics and a short forward pass")
	fs.BoolVar(&f.machine, "machine", false, "show processor, cores, features and kernel tier instead of a file")
	return cmd
}

// fileReport is what inspect tells of a file.
type fileReport struct {
	File       string         `json:"file"`
	Version    uint32         `json:"version"`
	Bytes      uint64         `json:"bytes"`
	Metadata   []keyReport    `json:"metadata"`
	Tensors    []tensorReport `json:"tensors"`
	Parameters uint64         `json:"parameters"`
	Network    *graphReport   `json:"network,omitempty"` // absent when it cannot be bound
	Problem    string         `json:"problem,omitempty"` // why it cannot
}

type keyReport struct {
	Key    string `json:"key"`
	Type   string `json:"type"`
	Length int    `json:"length,omitempty"` // of an array
	Value  string `json:"value"`            // long ones are cut
}

type tensorReport struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Dims   []uint64 `json:"dims"` // the fastest first
	Offset uint64   `json:"offset"`
	Bytes  int      `json:"bytes"`
}

type graphReport struct {
	Arch    string   `json:"arch"`
	Name    string   `json:"name"`
	Context int      `json:"context"`
	Hidden  int      `json:"hidden"`
	Blocks  int      `json:"blocks"`
	Vocab   int      `json:"vocab"`
	Tied    bool     `json:"tied_head"`
	Pooling string   `json:"pooling,omitempty"` // of a model of embeddings: last, mean
	Surplus []string `json:"surplus,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

func (a *app) inspect(f *inspectFlags) error {
	file, err := f.open(a)
	if err != nil {
		return err
	}
	var report fileReport
	err = gguf.Guard(func() error {
		report = newFileReport(file)
		return nil
	})
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return wrapModel(err)
	}
	if f.json {
		return a.out.json(report, true)
	}
	return report.print(a.out)
}

func newFileReport(file *gguf.File) fileReport {
	r := fileReport{File: file.Name(), Version: file.Version(), Bytes: file.Size()}
	md := file.Metadata()
	for _, key := range md.Keys() {
		v, _ := md.Get(key)
		k := keyReport{Key: key, Type: v.Type().String(), Value: v.String()}
		if v.Type() == gguf.ValueArray {
			k.Type, k.Length = v.ElemType().String()+"[]", v.Len()
		}
		r.Metadata = append(r.Metadata, k)
	}
	for _, t := range file.Tensors() {
		r.Tensors = append(r.Tensors, tensorReport{t.Name, t.Type.String(), t.Dims, t.Offset, len(t.Data)})
		r.Parameters += uint64(t.Elements())
	}
	m, err := graph.Bind(file)
	if err != nil {
		r.Problem = err.Error()
		return r
	}
	r.Network = &graphReport{m.Arch, m.Name, m.Context, m.Hidden, len(m.Blocks), m.Vocab, m.Head.Tied, "", m.Surplus, m.Notes}
	if m.Head.Pooling != graph.PoolNone {
		r.Network.Pooling = m.Head.Pooling.String()
	}
	return r
}

func (n *graphReport) head() string {
	switch {
	case n.Pooling != "":
		return "makes embeddings (pooling " + n.Pooling + ")"
	case n.Tied:
		return "tied head"
	default:
		return "own head"
	}
}

// print writes the report as tables.
func (r *fileReport) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s: GGUF v%d, %s, %d tensors, %s parameters\n", r.File, r.Version,
		humanize.IBytes(r.Bytes), len(r.Tensors), humanize.Comma(int64(r.Parameters)))
	if n := r.Network; n != nil {
		fmt.Fprintf(t, "network %s (%s): %d blocks, hidden %d, vocabulary %d, context %d, %s\n",
			n.Arch, n.Name, n.Blocks, n.Hidden, n.Vocab, n.Context, n.head())
		for _, note := range n.Notes {
			fmt.Fprintf(t, "note: %s\n", note)
		}
		if len(n.Surplus) > 0 {
			fmt.Fprintf(t, "not used by the network: %q\n", n.Surplus)
		}
	} else {
		fmt.Fprintf(t, "no network: %s\n", r.Problem)
	}
	fmt.Fprintln(t, "\nkey\ttype\tvalue")
	for _, k := range r.Metadata {
		kind := k.Type
		if k.Length > 0 {
			kind = fmt.Sprintf("%s (%d)", k.Type, k.Length)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", k.Key, kind, k.Value)
	}
	fmt.Fprintln(t, "\ntensor type\ttensors\tbytes")
	for _, s := range r.byType() {
		fmt.Fprintf(t, "%s\t%d\t%s\n", s.name, s.tensors, humanize.Comma(int64(s.bytes)))
	}
	fmt.Fprintln(t, "\ntensor\ttype\tshape\toffset\tbytes")
	for _, x := range r.Tensors {
		fmt.Fprintf(t, "%s\t%s\t%v\t%d\t%d\n", x.Name, x.Type, x.Dims, x.Offset, x.Bytes)
	}
	return t.Flush()
}

type typeSum struct {
	name    string
	tensors int
	bytes   int
}

// byType sums the tensors of each type, the largest sum first.
func (r *fileReport) byType() []typeSum {
	sums := map[string]*typeSum{}
	var out []*typeSum
	for _, t := range r.Tensors {
		s, ok := sums[t.Type]
		if !ok {
			s = &typeSum{name: t.Type}
			sums[t.Type] = s
			out = append(out, s)
		}
		s.tensors++
		s.bytes += t.Bytes
	}
	slices.SortStableFunc(out, func(x, y *typeSum) int { return cmp.Compare(y.bytes, x.bytes) })
	flat := make([]typeSum, len(out))
	for i, s := range out {
		flat[i] = *s
	}
	return flat
}
