//go:build race

package stages

// raceEnabled: the race detector makes the network's arithmetic about a
// hundred times slower, so tests of the real network do less of it.
const raceEnabled = true
