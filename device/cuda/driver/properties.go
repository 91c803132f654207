//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"fmt"

	"gorgonia.org/cu"
)

// Properties describe a device. Clocks are the highest that it is built for, in Hz.
type Properties struct {
	Ordinal      int
	Name         string
	UUID         string
	PCI          string // domain:bus:device.function
	Major, Minor int    // compute capability
	Memory       int64  // bytes in all

	SMs            int
	ThreadsPerSM   int
	BlocksPerSM    int
	RegistersPerSM int
	SharedPerSM    int // bytes
	SharedOptin    int // bytes a block may have, with Function.AllowShared
	L2             int // bytes
	Clock          float64
	MemoryClock    float64 // 0 where the driver does not tell
	BusWidth       int     // bits
	CopyEngines    int

	ECC         bool
	Integrated  bool // shares the host's memory
	Cooperative bool // launches
	Shared      bool // kernels of several processes may run at once (MPS); true where the driver does not say
	Pools       bool // AllocAsync works
	Exclusive   bool // one process at a time
	Prohibited  bool // no process may use it
}

// Capability is the compute capability as a number: 90 for 9.0.
func (p *Properties) Capability() int { return 10*p.Major + p.Minor }

// Bandwidth is what the memory's clock and width make, in bytes a second: two transfers
// a clock. 0 where the driver tells no clock.
func (p *Properties) Bandwidth() float64 { return 2 * p.MemoryClock * float64(p.BusWidth) / 8 }

// Describe asks the driver about a device; it needs no context.
func Describe(ordinal int) (*Properties, error) {
	d, err := cu.GetDevice(ordinal)
	if err != nil {
		return nil, wrapped(ordinal, "cuDeviceGet", err)
	}
	p := &Properties{Ordinal: ordinal}
	if p.Name, err = d.Name(); err != nil {
		return nil, wrapped(ordinal, "cuDeviceGetName", err)
	}
	id, err := d.UUID()
	if err != nil {
		return nil, wrapped(ordinal, "cuDeviceGetUuid_v2", err)
	}
	p.UUID = id.String()
	if p.Memory, err = d.TotalMem(); err != nil {
		return nil, wrapped(ordinal, "cuDeviceTotalMem_v2", err)
	}
	var bus [32]C.char
	if err := failed(ordinal, "cuDeviceGetPCIBusId", C.cuDeviceGetPCIBusId(&bus[0], C.int(len(bus)), C.CUdevice(d))); err != nil {
		return nil, err
	}
	p.PCI = C.GoString(&bus[0])
	return p, p.attributes(d)
}

// mpsEnabled is CU_DEVICE_ATTRIBUTE_MPS_ENABLED, which headers before CUDA 12.2 do not name.
const mpsEnabled = cu.DeviceAttribute(133)

func surelyZero(v int, err error) bool { return err == nil && v == 0 }

func (p *Properties) attributes(d cu.Device) error {
	var clock, memory, ecc, integrated, cooperative, pools, mode int
	for _, a := range []struct {
		to   *int
		attr cu.DeviceAttribute
	}{
		{&p.Major, C.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR},
		{&p.Minor, C.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR},
		{&p.SMs, C.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT},
		{&p.ThreadsPerSM, C.CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR},
		{&p.BlocksPerSM, C.CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR},
		{&p.RegistersPerSM, C.CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR},
		{&p.SharedPerSM, C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR},
		{&p.SharedOptin, C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN},
		{&p.L2, C.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE},
		{&clock, C.CU_DEVICE_ATTRIBUTE_CLOCK_RATE},
		{&memory, C.CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE},
		{&p.BusWidth, C.CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH},
		{&p.CopyEngines, C.CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT},
		{&ecc, C.CU_DEVICE_ATTRIBUTE_ECC_ENABLED},
		{&integrated, C.CU_DEVICE_ATTRIBUTE_INTEGRATED},
		{&cooperative, C.CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH},
		{&pools, C.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED},
		{&mode, C.CU_DEVICE_ATTRIBUTE_COMPUTE_MODE},
	} {
		v, err := d.Attribute(a.attr)
		if err != nil {
			return wrapped(p.Ordinal, fmt.Sprintf("cuDeviceGetAttribute(%d)", int(a.attr)), err)
		}
		*a.to = v
	}
	p.Clock, p.MemoryClock = float64(clock)*1e3, float64(memory)*1e3
	p.ECC, p.Integrated, p.Cooperative, p.Pools = ecc != 0, integrated != 0, cooperative != 0, pools != 0
	p.Shared = !surelyZero(d.Attribute(mpsEnabled))
	p.Exclusive = mode == C.CU_COMPUTEMODE_EXCLUSIVE_PROCESS
	p.Prohibited = mode == C.CU_COMPUTEMODE_PROHIBITED
	return nil
}
