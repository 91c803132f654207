package bench

import (
	"context"
	"runtime/debug"
	"time"

	"tritflow/device"
	"tritflow/device/cpu/memory"
)

// SurveyCPU describes the machine's processor as a device. Where within is above 0 it is
// measured for about that time with as many threads as the device has workers; the
// bandwidth is that of reading.
func SurveyCPU(ctx context.Context, within time.Duration) (device.Found, error) {
	return surveyCPU(ctx, within, probeBytes)
}

func surveyCPU(ctx context.Context, within time.Duration, size int) (device.Found, error) {
	devs, err := device.OpenList("cpu")
	if err != nil {
		return device.Found{}, err
	}
	info := devs[0].Info()
	if err := devs[0].Close(); err != nil {
		return device.Found{}, err
	}
	f := device.Found{
		Name: "cpu", Kind: info.Kind, Model: info.Model, Memory: info.Memory, Free: memory.Free(),
		Units: info.Workers, Capability: info.Tier,
	}
	if within <= 0 {
		return f, nil
	}
	read, int8s, err := probe(ctx, info.Workers, size, within)
	if err != nil {
		return f, err
	}
	debug.FreeOSMemory() // the probe's buffer
	// The most may be reached before all threads work.
	for i := range read {
		f.Read, f.Int8 = max(f.Read, read[i]*1e9), max(f.Int8, int8s[i]*1e12)
	}
	return f, nil
}
