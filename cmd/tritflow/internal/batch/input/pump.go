package input

import "io"

// Pump reads a pipe or a terminal and can be told to give up: closing it ends a
// Read that waits. The read beneath cannot be called back; its goroutine stays
// until that returns.
func Pump(r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err) // nil is the end of the input
	}()
	return out
}
