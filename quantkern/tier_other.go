//go:build !(amd64 || arm64) || noasm

package quantkern

// available is empty: only the plain-Go reference is built here.
func available() []*tier { return nil }
