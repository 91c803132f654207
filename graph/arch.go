package graph

import (
	"fmt"
	"slices"
)

// architecture is a family of files as data. Its tensor lists are in the
// order in which files are written; binding does not depend on it.
type architecture struct {
	names      []string   // values of general.architecture
	rope       RopeKind   // which elements rotate together
	wholeHead  bool       // RoPE must turn the whole head
	activation Activation // unless <arch>.hidden_activation says otherwise
	widen      bool       // the embedding is multiplied by the square root of its width
	first      []slot     // tensors before the blocks
	block      []slot     // tensors of each block
	last       []slot     // tensors after the blocks; without output the head is always the embedding
}

// known maps every name of every architecture.
var known = map[string]*architecture{}

// register makes an architecture known; each arch_*.go calls it from init.
func register(a *architecture) {
	for _, name := range a.names {
		if known[name] != nil {
			panic(fmt.Sprintf("graph: architecture %q registered twice", name))
		}
		known[name] = a
	}
}

// Architectures lists the values of general.architecture that Bind knows, sorted.
func Architectures() []string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
