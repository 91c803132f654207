package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

// kernelReport is what inspect --kernels tells: how each device of this machine
// would compute each layer of a model.
type kernelReport struct {
	File    string         `json:"file"`
	Devices []kernelDevice `json:"devices"`
	Layers  []layerReport  `json:"layers"`
}

type kernelDevice struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Tier string `json:"tier"`
}

// layerReport stands for all layers of the same kind, type and shape.
type layerReport struct {
	Kind  string      `json:"kind"`
	Type  string      `json:"type"`
	Shape string      `json:"shape"`
	Count int         `json:"count"`
	Uses  []kernelUse `json:"uses"`
}

// kernelUse is what one device does with batches of certain sizes.
type kernelUse struct {
	Device  string   `json:"device"`
	Rows    string   `json:"rows"`
	Kernels []string `json:"kernels"`
	Access  string   `json:"access"`
	Problem string   `json:"problem,omitempty"` // why it cannot
}

// batchSizes are what kernels differ by: one row, a few, those of a batch, many.
var batchSizes = []struct {
	name     string
	from, to int
}{{"1", 1, 1}, {"2-8", 2, 8}, {"9-64", 9, 64}, {"many", 512, 512}}

func (a *app) inspectKernels(f *inspectFlags) error {
	file, err := f.open(a)
	if err != nil {
		return err
	}
	var r *kernelReport
	err = gguf.Guard(func() error {
		r, err = newKernelReport(file)
		return err
	})
	if cerr := file.Close(); err == nil {
		err = wrapModel(cerr)
	}
	if err != nil {
		return err
	}
	if f.json {
		return a.out.json(r, true)
	}
	return r.print(a.out)
}

func newKernelReport(file *gguf.File) (r *kernelReport, err error) {
	m, err := graph.Bind(file)
	if err != nil {
		return nil, wrapModel(err)
	}
	devs, err := openMachine()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, d := range devs {
			if cerr := d.Close(); cerr != nil && err == nil {
				err = fmt.Errorf("closing a device: %w", cerr)
			}
		}
	}()
	r = &kernelReport{File: file.Name()}
	var kvTypes []string
	for _, d := range devs {
		i := d.Info()
		r.Devices = append(r.Devices, kernelDevice{i.Name, i.Kind, i.Tier})
		kvTypes = append(kvTypes, i.KVTypes...)
	}
	slices.Sort(kvTypes)
	for _, l := range device.Layers(m, slices.Compact(kvTypes)...) {
		r.add(l, devs)
	}
	return r, nil
}

// add reports a layer, or counts it with those that are the same.
func (r *kernelReport) add(l device.Layer, devs []device.Device) {
	report := layerReport{Kind: l.Kind, Type: l.Type(), Shape: l.Shape(), Count: 1}
	for _, d := range devs {
		s, ok := d.(device.Strategist)
		if !ok {
			continue
		}
		for _, size := range batchSizes {
			use := kernelUse{Device: d.Info().Name, Rows: size.name}
			if err := use.ask(s, l, size.from, size.to); err != nil {
				use.Problem = err.Error()
			}
			report.Uses = append(report.Uses, use)
		}
	}
	for i := range r.Layers {
		if same := &r.Layers[i]; same.equal(&report) {
			same.Count++
			return
		}
	}
	r.Layers = append(r.Layers, report)
}

// asked is how many numbers of rows are asked for one after the other: tiles of few rows
// share these out, so that kernels come and go.
const asked = 8

// ask collects what is done with from to to rows.
func (u *kernelUse) ask(s device.Strategist, l device.Layer, from, to int) error {
	var way device.Strategy
	near := min(to, from+asked-1)
	for rows := from; rows <= near; rows++ {
		var err error
		if way, err = s.Strategy(l, rows); err != nil {
			return err
		}
		u.note(way)
	}
	last, err := s.Strategy(l, to)
	if err != nil {
		return err
	}
	err = u.between(s, l, near, to, way, last)
	u.note(last)
	return err
}

// between asks inside of a range whose ends are known. With that many rows a device goes
// over to the next way at some number and not back, so it is asked only where the ends differ.
func (u *kernelUse) between(s device.Strategist, l device.Layer, from, to int, first, last device.Strategy) error {
	if first == last || to-from < 2 {
		return nil
	}
	middle := (from + to) / 2
	way, err := s.Strategy(l, middle)
	if err != nil {
		return err
	}
	if err := u.between(s, l, from, middle, first, way); err != nil {
		return err
	}
	u.note(way)
	return u.between(s, l, middle, to, way, last)
}

func (u *kernelUse) note(s device.Strategy) {
	u.Access = s.Access
	if !slices.Contains(u.Kernels, s.Kernel) {
		u.Kernels = append(u.Kernels, s.Kernel)
	}
}

func (l *layerReport) equal(o *layerReport) bool {
	return l.Kind == o.Kind && l.Type == o.Type && l.Shape == o.Shape &&
		slices.EqualFunc(l.Uses, o.Uses, func(x, y kernelUse) bool { return x.Rows == y.Rows && x.cell() == y.cell() })
}

// cell is the use in a table.
func (u *kernelUse) cell() string {
	if u.Problem != "" {
		return "cannot: " + u.Problem
	}
	kernels := u.Kernels[0]
	if last := u.Kernels[len(u.Kernels)-1]; last != kernels {
		_, name, _ := strings.Cut(last, ".")
		kernels += " … " + name
	}
	return kernels + ", " + u.Access
}

// noGPU stands in the table for the devices that this program or machine lacks.
const noGPU = "gpu (none)"

// print writes a table with a column for each device; what is the same for all
// sizes of a batch is one line.
func (r *kernelReport) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n\nlayer\ttype\tshape\tlayers\trows", r.File)
	gpu := false
	for _, d := range r.Devices {
		fmt.Fprintf(t, "\t%s %s", d.Name, d.Tier)
		gpu = gpu || d.Kind != "cpu"
	}
	if !gpu {
		fmt.Fprintf(t, "\t%s", noGPU)
	}
	fmt.Fprintln(t)
	for _, l := range r.Layers {
		head := fmt.Sprintf("%s\t%s\t%s\t%d", l.Kind, l.Type, l.Shape, l.Count)
		for _, line := range l.lines(r.Devices) {
			fmt.Fprintf(t, "%s\t%s", head, line)
			if !gpu {
				fmt.Fprint(t, "\t-")
			}
			fmt.Fprintln(t)
			head = "\t\t\t"
		}
	}
	return t.Flush()
}

// lines are the last cells of a layer's lines: size of the batch and what each
// device does.
func (l *layerReport) lines(devs []kernelDevice) []string {
	var lines []string
	for _, size := range batchSizes {
		line := ""
		for _, d := range devs {
			cell := "-"
			for i := range l.Uses {
				if u := &l.Uses[i]; u.Device == d.Name && u.Rows == size.name {
					cell = u.cell()
				}
			}
			line += "\t" + cell
		}
		lines = append(lines, line)
	}
	if len(slices.Compact(slices.Clone(lines))) == 1 {
		return []string{"any" + lines[0]}
	}
	for i, size := range batchSizes {
		lines[i] = size.name + lines[i]
	}
	return lines
}
