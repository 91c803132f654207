package bench

import (
	"context"
	"slices"
	"time"

	"tritflow/device"
)

// screening adds up what the devices tell of their screened heads.
func screening(devs []device.Device) (sum device.Screening) {
	for _, d := range devs {
		if s, ok := d.(device.Screener); ok {
			c := s.Screening()
			sum.Bytes += c.Bytes
			sum.Screened += c.Screened
			sum.Rescored += c.Rescored
			sum.Full += c.Full
			sum.Spared += c.Spared
		}
	}
	return sum
}

// settled waits until no device is making a screening copy any more.
func settled(ctx context.Context, devs []device.Device) error {
	const look = 10 * time.Millisecond
	for _, d := range devs {
		s, ok := d.(device.Screener)
		for ok && s.Screening().State == "building" {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(look):
			}
		}
	}
	return nil
}

// withHead are costs whose head does what was counted between two looks: for
// outputs that were screened it reads the copy, or what is needed of it, once a step of
// n answers and the rows computed exactly, and multiplies each answered row with the whole copy; for
// the others it reads the whole head. A product with an activation of more than 8
// bits, as a single output has them, counts as one like any other.
func (c *costs) withHead(before, after device.Screening, n float64) *costs {
	screened := float64(after.Screened - before.Screened)
	all := screened + float64(after.Full-before.Full)
	if screened == 0 {
		return c
	}
	rescored := float64(after.Rescored-before.Rescored) / screened
	copied := float64(after.Bytes) - float64(after.Spared-before.Spared)/screened
	counted := costs{parts: slices.Clone(c.parts)}
	for i := range counted.parts {
		if p := &counted.parts[i]; p.head > 0 {
			share := screened / all
			p.head = share*(copied+n*rescored*p.exact) + (1-share)*p.head
			p.answer = share*p.bounds + (1-share)*p.answer
		}
	}
	return &counted
}
