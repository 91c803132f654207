package device

import (
	"context"
	"sync"
)

// Found is a device of this machine, whether it can be used or not.
type Found struct {
	Name       string `json:"name"` // as a device list calls it: "cuda:0"
	Kind       string `json:"kind"`
	Model      string `json:"model"`
	Memory     uint64 `json:"memory"` // bytes, 0 = not known
	Free       uint64 `json:"free"`   // bytes nobody uses now, 0 = not known
	Units      int    `json:"units"`  // cores, multiprocessors
	Capability string `json:"capability,omitempty"`
	Driver     string `json:"driver,omitempty"`
	Bus        string `json:"bus,omitempty"` // where it is plugged in

	// Measured; 0 = not measured. Bandwidths in bytes a second, Int8 in operations a
	// second, a product and its addition being two.
	Read float64 `json:"read_bytes_s"`
	Copy float64 `json:"copy_bytes_s"` // bytes read and written together
	Int8 float64 `json:"int8_ops_s"`

	// Nominal is the bandwidth that clocks and widths of the memory make; 0 = not known.
	Nominal float64 `json:"nominal_bytes_s"`

	Problem string `json:"problem,omitempty"` // why it cannot be used, or was not measured
}

// Surveyor lists the devices of a kind and measures them where asked to. An error says why
// there is none at all.
type Surveyor func(ctx context.Context, measure bool) ([]Found, error)

var (
	surveyorsMu sync.RWMutex
	surveyors   = map[string]Surveyor{}
)

// RegisterSurveyor makes the devices of a kind known to Survey.
func RegisterSurveyor(kind string, s Surveyor) {
	surveyorsMu.Lock()
	defer surveyorsMu.Unlock()
	surveyors[kind] = s
}

// Survey asks every kind that has a surveyor, in the order of Kinds. problems says why a
// kind has no devices, by its name.
func Survey(ctx context.Context, measure bool) (found []Found, problems map[string]error) {
	problems = map[string]error{}
	for _, kind := range Kinds() {
		surveyorsMu.RLock()
		survey := surveyors[kind]
		surveyorsMu.RUnlock()
		if survey == nil {
			continue
		}
		list, err := survey(ctx, measure)
		if err != nil {
			problems[kind] = err
		}
		found = append(found, list...)
	}
	return found, problems
}
