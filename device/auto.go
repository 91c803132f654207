package device

import (
	"errors"
	"strings"
)

// Finder lists the devices of a kind that can be used, best first, as entries
// of a device list ("cuda:0"). An error says why there is none.
type Finder func() ([]string, error)

var finders = map[string]Finder{} // guarded by kindsMu

// RegisterFinder lets "auto" take devices of a kind before the CPU; packages
// that implement accelerators call it from init.
func RegisterFinder(kind string, find Finder) {
	kindsMu.Lock()
	defer kindsMu.Unlock()
	finders[kind] = find
}

// Auto says what "auto" means: device lists to be tried one after the other,
// until one can be opened and holds the model. The best accelerator comes
// first, alone, because one device needs no hand-overs; then all of its kind
// together; the CPU last. missing says, for each kind of accelerator that the
// program has, why there is none.
func Auto() (lists []string, missing []error) {
	for _, kind := range Kinds() {
		kindsMu.RLock()
		find := finders[kind]
		kindsMu.RUnlock()
		if find == nil {
			continue
		}
		found, err := find()
		if err != nil {
			missing = append(missing, err)
			continue
		}
		if len(found) > 0 {
			lists = append(lists, found[0])
		}
		if len(found) > 1 {
			lists = append(lists, strings.Join(found, ","))
		}
	}
	return append(lists, "cpu"), missing
}

// Elsewhere tells whether an error of opening devices or loading a model onto
// them is about these devices, so that others may do: one is missing or broken,
// its memory is too small, or it lacks a kernel.
func Elsewhere(err error) bool {
	return is[*UnavailableError](err) || is[*MemoryError](err) || is[*LostError](err) ||
		is[*TensorError](err) || is[*KVError](err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
