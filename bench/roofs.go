package bench

import (
	"context"
	"fmt"
	"slices"

	"tritflow/device"
)

// roofs measures the hardware of devices that has not been measured yet. What cannot be
// measured is named, and has no limit.
func (b *bencher) roofs(ctx context.Context, devs []device.Device) error {
	m := &b.report.Machine
	for _, d := range devs {
		r, ok := d.(device.Roofed)
		if !ok {
			continue
		}
		name := r.Hardware()
		if slices.ContainsFunc(m.Devices, func(k DeviceRoof) bool { return k.Name == name }) {
			continue
		}
		roof, err := r.Roof(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.report.Skipped = append(b.report.Skipped, fmt.Sprintf("limits of %s: %v", name, err))
		}
		m.Devices = append(m.Devices, DeviceRoof{
			Name: name, Model: d.Info().Model, ReadGBps: roof.Read / 1e9, Int8TOPS: roof.Int8 / 1e12,
		})
	}
	return nil
}
