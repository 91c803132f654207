//go:build cuda

package cuda

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

const kind = "cuda"

// minCapability is the oldest compute capability that the kernels are built for.
const minCapability = 80

func init() {
	device.Register(kind, Open)
	device.RegisterFinder(kind, find)
	device.RegisterSurveyor(kind, survey)
}

// Open opens a GPU. The argument of the spec is the driver's number of it, 0 where
// there is none. The same GPU may be opened several times. A number that is not there is a
// *device.SpecError; a GPU or driver that cannot be used a *device.UnavailableError.
func Open(s device.Spec, index int) (device.Device, error) {
	if err := driver.Available(); err != nil {
		return nil, unavailable(s.Text, err)
	}
	n, err := driver.Count()
	if err != nil {
		return nil, unavailable(s.Text, err)
	}
	ordinal := 0
	if s.Arg != "" {
		if ordinal, err = strconv.Atoi(s.Arg); err != nil || ordinal < 0 || ordinal >= n {
			return nil, &device.SpecError{Spec: s.Text, Reason: fmt.Sprintf("after the colon stands the number of a GPU, 0 to %d here", n-1)}
		}
	}
	p, err := describe(ordinal)
	if err != nil {
		return nil, err
	}
	return NewDevice(deviceName(ordinal, index), p)
}

// deviceName is unique in a device list: the same GPU can stand in it twice.
func deviceName(ordinal, index int) string {
	if ordinal == index {
		return fmt.Sprintf("cuda:%d", ordinal)
	}
	return fmt.Sprintf("cuda:%d/%d", ordinal, index)
}

// describe asks about a GPU and refuses one that the kernels cannot run on.
func describe(ordinal int) (*driver.Properties, error) {
	name := fmt.Sprintf("cuda:%d", ordinal)
	p, err := driver.Describe(ordinal)
	if err != nil {
		return nil, unavailable(name, err)
	}
	switch {
	case p.Capability() < minCapability:
		return p, &device.UnavailableError{Device: name, Reason: fmt.Sprintf("%s has compute capability %d.%d, at least %d.%d is needed",
			p.Name, p.Major, p.Minor, minCapability/10, minCapability%10)}
	case p.Prohibited:
		return p, &device.UnavailableError{Device: name, Reason: p.Name + " is in compute mode \"prohibited\"; change it with nvidia-smi -c 0"}
	}
	return p, nil
}

// find lists the GPUs that can be used, the one with most memory first.
func find() ([]string, error) {
	if err := driver.Available(); err != nil {
		return nil, unavailable(kind, err)
	}
	n, err := driver.Count()
	if err != nil {
		return nil, unavailable(kind, err)
	}
	var usable []*driver.Properties
	var problems []string
	for i := range n {
		p, err := describe(i)
		if err != nil {
			problems = append(problems, strings.TrimPrefix(err.Error(), "device: "))
			continue
		}
		usable = append(usable, p)
	}
	if len(usable) == 0 {
		return nil, &device.UnavailableError{Device: kind, Reason: strings.Join(problems, "; ")}
	}
	slices.SortStableFunc(usable, func(a, b *driver.Properties) int { return cmp.Compare(b.Memory, a.Memory) })
	names := make([]string, len(usable))
	for i, p := range usable {
		names[i] = fmt.Sprintf("cuda:%d", p.Ordinal)
	}
	return names, nil
}
