package cpu

import (
	"fmt"
	"runtime"
	"strconv"

	"github.com/klauspost/cpuid/v2"

	"tritflow/device"
	"tritflow/device/cpu/memory"
	"tritflow/device/cpu/topology"
	"tritflow/quantkern"
)

// maxWorkers bounds "cpu:N": far more than any machine's cores, few enough to start.
const maxWorkers = 1024

func init() { device.Register("cpu", Open) }

// Open opens a CPU device. The argument of the spec is the number of workers,
// 1 to 1024; more than the machine has cores is allowed (it is slower, and
// changes no bit). Without one there is a worker for each physical core that
// the process may use. TRITFLOW_SCREEN=off keeps the device from making
// screening copies of heads (see device.Screener). A bad argument or variable is
// a *device.SpecError.
func Open(s device.Spec, index int) (device.Device, error) {
	workers := defaultWorkers()
	if s.Arg != "" {
		n, err := strconv.Atoi(s.Arg)
		if err != nil || n < 1 || n > maxWorkers {
			return nil, &device.SpecError{
				Spec:   s.Text,
				Reason: fmt.Sprintf("after the colon stands the number of workers, 1 to %d", maxWorkers),
			}
		}
		workers = n
	}
	tier, err := quantkern.Tier()
	if err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	screening, err := screenMode()
	if err != nil {
		return nil, err
	}
	return newDevice(fmt.Sprintf("cpu:%d", index), tier, screening, workers), nil
}

// defaultWorkers is the number of physical cores, as far as affinity, cgroup
// quota and GOMAXPROCS (which by default follows both) let the process use them;
// see package topology. Where the system does not tell, cpuid does; it counts
// the cores of one socket, so the number of processors corrects it upwards.
func defaultWorkers() int {
	cores := topology.Read().Cores
	if cores == 0 {
		cores = max(cpuid.CPU.PhysicalCores, runtime.NumCPU()/max(cpuid.CPU.ThreadsPerCore, 1))
	}
	return max(1, min(cores, runtime.GOMAXPROCS(0), maxWorkers))
}

// features are the instruction sets that kernels of some tier can use.
var features = []cpuid.FeatureID{
	cpuid.AVX2, cpuid.F16C, cpuid.AVXVNNI, cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512VBMI, cpuid.AVX512VNNI, cpuid.AMXTILE, cpuid.AMXINT8,
	cpuid.ASIMD, cpuid.ASIMDDP, cpuid.SVE,
}

func describe(name, tier string, workers int) device.Info {
	info := device.Info{
		Name:       name,
		Kind:       "cpu",
		Model:      cpuid.CPU.BrandName,
		Tier:       tier,
		Workers:    workers,
		BlockCost:  256 << 10, // about 10 µs: norms, attention and hand-overs at a short context
		HostMemory: true,
		Pool:       device.HostPool,
		KVTypes:    quantkern.KVTypes(),
		Memory:     memory.Total(),
	}
	if info.Model == "" {
		info.Model = runtime.GOARCH
	}
	for _, f := range features {
		if cpuid.CPU.Supports(f) {
			info.Features = append(info.Features, f.String())
		}
	}
	return info
}
