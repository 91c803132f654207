package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/klauspost/cpuid/v2"

	"tritflow/device"
	"tritflow/device/cpu/topology"
)

// machineReport is what inspect --machine tells.
type machineReport struct {
	OS       string          `json:"os"`
	Arch     string          `json:"arch"`
	CPU      string          `json:"cpu"`
	Physical int             `json:"physical_cores"` // 0: not known
	Logical  int             `json:"logical_cores"`
	Usable   usableReport    `json:"usable"`
	Nodes    []topology.Node `json:"nodes"` // of memory; empty: not known
	Features []string        `json:"features"`
	Devices  []machineDevice `json:"devices"`
}

type machineDevice struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Model   string   `json:"model"`
	Tier    string   `json:"tier"`
	Workers int      `json:"workers"`
	Memory  uint64   `json:"memory"`
	KVTypes []string `json:"kv_types"`
}

// usableReport is what affinity and quotas leave to this process.
type usableReport struct {
	CPUs  int `json:"cpus"`     // logical; 0: not known
	Cores int `json:"cores"`    // physical cores among them; 0: not known
	Procs int `json:"max_busy"` // how many may be busy at a time: GOMAXPROCS, which follows the quota
}

func (a *app) inspectMachine(asJSON bool) error {
	top := topology.Read()
	r := machineReport{
		OS:       runtime.GOOS,
		Arch:     runtime.GOARCH,
		CPU:      cpuid.CPU.BrandName,
		Physical: cpuid.CPU.PhysicalCores,
		Logical:  runtime.NumCPU(),
		Usable:   usableReport{top.CPUs, top.Cores, runtime.GOMAXPROCS(0)},
		Nodes:    top.Nodes,
		Features: cpuid.CPU.FeatureSet(),
	}
	devs, err := openMachine()
	if err != nil {
		return err
	}
	for _, d := range devs {
		i := d.Info()
		r.Devices = append(r.Devices, machineDevice{i.Name, i.Kind, i.Model, i.Tier, i.Workers, i.Memory, i.KVTypes})
		if cerr := d.Close(); cerr != nil {
			err = cerr
		}
	}
	if err != nil {
		return fmt.Errorf("closing a device: %w", err)
	}
	if asJSON {
		return a.out.json(r, true)
	}
	return r.print(a.out)
}

// openMachine opens the CPU and the accelerator that auto would take, if there is one.
func openMachine() ([]device.Device, error) {
	devs, err := device.OpenList("cpu")
	if err != nil {
		return nil, err
	}
	lists, _ := device.Auto() // why there is none, the command devices tells
	if lists[0] == "cpu" {
		return devs, nil
	}
	others, err := device.OpenList(lists[0])
	if err != nil && !device.Elsewhere(err) {
		for _, d := range devs {
			err = errors.Join(err, d.Close())
		}
		return nil, err
	}
	return append(devs, others...), nil
}

func (r *machineReport) print(out *output) error {
	var b strings.Builder
	fmt.Fprintf(&b, "system          %s/%s\n", r.OS, r.Arch)
	fmt.Fprintf(&b, "processor       %s\n", r.CPU)
	fmt.Fprintf(&b, "physical cores  %d\n", r.Physical)
	fmt.Fprintf(&b, "logical cores   %d\n", r.Logical)
	fmt.Fprintf(&b, "usable          %d CPUs on %d cores, %d at a time\n", r.Usable.CPUs, r.Usable.Cores, r.Usable.Procs)
	for _, n := range r.Nodes {
		fmt.Fprintf(&b, "memory node %-3d CPUs %s (%d usable), %s\n", n.ID, n.CPUs, n.Usable, humanize.IBytes(n.Memory))
	}
	fmt.Fprintf(&b, "features        %s\n", strings.Join(r.Features, " "))
	for _, d := range r.Devices {
		fmt.Fprintf(&b, "device          %s: tier %s, %d workers, KV %s\n", d.Name, d.Tier, d.Workers, strings.Join(d.KVTypes, " "))
	}
	return out.print(b.String())
}
