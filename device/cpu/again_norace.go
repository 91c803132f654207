//go:build !race

package cpu

// mayDoAgain allows that a piece is done by two workers at a time.
const mayDoAgain = true
