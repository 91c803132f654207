package device

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

// Spec is one entry of a device list: "cpu:4" is Kind "cpu", Arg "4".
type Spec struct {
	Text string
	Kind string
	Arg  string
}

// Opener opens a device of one kind. index numbers the devices of a list.
type Opener func(s Spec, index int) (Device, error)

var (
	kindsMu sync.RWMutex
	kinds   = map[string]Opener{}
)

// Register makes a kind of device known by name; packages that implement one
// call it from init.
func Register(kind string, open Opener) {
	kindsMu.Lock()
	defer kindsMu.Unlock()
	kinds[kind] = open
}

// Kinds lists what is registered.
func Kinds() []string {
	kindsMu.RLock()
	defer kindsMu.RUnlock()
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	sort.Strings(names)
	return names
}

// SpecError says that a device list names something that is not there.
type SpecError struct {
	Spec   string // the entry, or the whole list where it has an empty entry
	Reason string // what is wrong and what to write instead
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("device: %q: %s", e.Spec, e.Reason)
}

// ParseList splits a comma-separated list of devices; "" and "auto" mean "cpu" here,
// which is the last of what Auto lists.
func ParseList(list string) ([]Spec, error) {
	if list == "" || list == "auto" {
		list = "cpu"
	}
	var specs []Spec
	for _, text := range strings.Split(list, ",") {
		text = strings.TrimSpace(text)
		kind, arg, _ := strings.Cut(text, ":")
		if kind == "" {
			return nil, &SpecError{list, "an entry is empty; write for example cpu, cpu:4 or cpu:1,cpu:1"}
		}
		specs = append(specs, Spec{Text: text, Kind: kind, Arg: arg})
	}
	return specs, nil
}

// OpenList opens every device of a list; on failure those already open are closed.
// For "" and "auto" it is the first list of Auto whose devices can be opened.
func OpenList(list string) ([]Device, error) {
	if list == "" || list == "auto" {
		lists, _ := Auto()
		for _, l := range lists[:len(lists)-1] {
			if devs, err := openList(l); err == nil || !Elsewhere(err) {
				return devs, err
			}
		}
	}
	return openList(list)
}

func openList(list string) ([]Device, error) {
	specs, err := ParseList(list)
	if err != nil {
		return nil, err
	}
	var devs []Device
	for i, s := range specs {
		kindsMu.RLock()
		open, ok := kinds[s.Kind]
		kindsMu.RUnlock()
		var d Device
		if ok {
			d, err = open(s, i)
		} else {
			err = &SpecError{s.Text, unknownKind(s.Kind)}
		}
		if err != nil {
			for _, open := range devs {
				err = joinClose(err, open)
			}
			return nil, err
		}
		devs = append(devs, d)
	}
	return devs, nil
}

// unknownKind says what a list can name instead, and how a program gets kinds that
// depend on how it was built.
func unknownKind(kind string) string {
	reason := "unknown kind of device; this program has: " + strings.Join(Kinds(), ", ")
	if kind == "cuda" {
		reason += "; `just cuda` builds one with CUDA"
	}
	return reason
}

func joinClose(err error, d Device) error {
	if cerr := d.Close(); cerr != nil {
		return fmt.Errorf("%w (and closing %s: %v)", err, d.Info().Name, cerr)
	}
	return err
}
