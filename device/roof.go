package device

import "context"

// Roof is what hardware can do at most, as it was measured.
type Roof struct {
	Read float64 // bytes a second that are read from its memory
	Int8 float64 // int8 operations a second, a product and its addition being two
}

// Roofed is a Device whose speed has limits of its own: it can measure its hardware and
// tell how much of its memory a step reads. Ask a Device for it by a type assertion.
type Roofed interface {
	// Hardware names what the device runs on, alike for devices that share it.
	Hardware() string
	// Roof measures for about half a second, between the Forward calls of the device. It
	// takes memory for that time. Errors are the cause of ctx and those of Forward and of
	// loading.
	Roof(ctx context.Context) (Roof, error)
	// ReadBytes is how many bytes a product with a layer's matrix reads, in the form in which
	// the device keeps it, scales of blocks included. Errors are those of loading the layer.
	ReadBytes(l Layer) (uint64, error)
}
