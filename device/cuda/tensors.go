//go:build cuda

package cuda

import (
	"fmt"
	"slices"
	"strings"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/gguf"
	"tritflow/quantkern"
)

// denseTypes are the types that kernels read in the file's own layout, by the number that
// kernels/dense_types.cuh gives them.
var denseTypes = [...]string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"}

// tensorKey names a table that parts share: a tied head is the embedding.
type tensorKey = *gguf.Tensor

// tensor is a dense matrix on the GPU, in the layout of one of denseTypes.
type tensor struct {
	mem        *memory
	key        tensorKey
	kind       int // index into denseTypes
	rows, cols int
	holders    int
}

// holding is what one part took.
type holding struct {
	g      *gpu
	mem    []*memory
	rooms  []room
	shared []*tensor
	turns  []*angles
}

// room is memory from which later takes of its use are cut, one behind the other.
type room struct {
	*memory
	cut int64
}

// reserve takes memory at once that takes of one use will want: each by itself, the driver would
// round them up to 2 MB, which is a tenth of a model.
func (h *holding) reserve(use device.Use, what string, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	m, err := h.g.take(use, what, bytes)
	if err != nil {
		return err
	}
	h.mem, h.rooms = append(h.mem, m), append(h.rooms, room{memory: m})
	return nil
}

func (h *holding) take(use device.Use, what string, bytes int64) (driver.Ptr, error) {
	for i := range h.rooms {
		if r := &h.rooms[i]; r.use == use && r.cut+grains(bytes) <= r.bytes {
			at := r.ptr.Offset(r.cut)
			r.cut += grains(bytes)
			return at, nil
		}
	}
	m, err := h.g.take(use, what, bytes)
	if err != nil {
		return 0, err
	}
	h.mem = append(h.mem, m)
	return m.ptr, nil
}

// put copies values to memory of their own.
func (h *holding) put(what string, data []byte) (driver.Ptr, error) {
	p, err := h.take(device.Weights, what, int64(len(data)))
	if err != nil {
		return 0, err
	}
	return p, h.g.copyIn(what, p, data)
}

// release gives everything back; the stream has been waited for.
func (h *holding) release() {
	for _, m := range h.mem {
		m.give()
	}
	for _, t := range h.shared {
		if t.holders--; t.holders == 0 {
			t.mem.give()
			delete(h.g.shared, t.key)
		}
	}
	for _, a := range h.turns {
		if a.holders--; a.holders == 0 {
			a.drop()
			h.g.angles = slices.DeleteFunc(h.g.angles, func(b *angles) bool { return a == b })
		}
	}
	h.mem, h.rooms, h.shared, h.turns = nil, nil, nil, nil
}

// codec finds the codec of a tensor [cols, rows] and checks that all of its bytes are there.
func (g *gpu) codec(t *gguf.Tensor, rows, cols int) (*quantkern.Codec, error) {
	if t == nil {
		return nil, &device.BatchError{Reason: "a weight of the network is missing from its description"}
	}
	c, err := quantkern.Lookup(t.Codec())
	if err != nil {
		return nil, g.refuse(t, "no codec for this type; convert the file to one of "+strings.Join(quantkern.Names(), ", "))
	}
	if t.Elements() != rows*cols || rows > 1 && t.Cols() != cols {
		return nil, g.refuse(t, fmt.Sprintf("its shape %v is not the [%d %d] that the network needs; the file's metadata and tensors contradict each other", t.Dims, cols, rows))
	}
	if err := c.Check(rows, cols); err != nil {
		return nil, g.refuse(t, fmt.Sprintf("%v; convert the tensor to another type", err))
	}
	if need := c.Size(rows, cols); len(t.Data) < need {
		return nil, g.refuse(t, fmt.Sprintf("%d bytes are there, %d are needed; the file is cut short, fetch it again", len(t.Data), need))
	}
	c, _ = c.FitTiles(t.Data, rows, cols)
	return c, nil
}

func (g *gpu) refuse(t *gguf.Tensor, reason string) error {
	return &device.TensorError{Device: g.info.Name, Tensor: t.Name, Type: t.Type.String(), Reason: reason}
}

// values decodes a tensor of n values on the host.
func (g *gpu) values(t *gguf.Tensor, n int) ([]float32, error) {
	c, err := g.codec(t, 1, n)
	if err != nil {
		return nil, err
	}
	v := make([]float32, n)
	c.Decode(v, t.Data, 1, n, 0)
	return v, nil
}

// vector copies a tensor of n values to the GPU as float32; nil stays 0.
func (h *holding) vector(t *gguf.Tensor, n int) (driver.Ptr, error) {
	if t == nil {
		return 0, nil
	}
	v, err := h.g.values(t, n)
	if err != nil {
		return 0, err
	}
	return h.put(t.Name, bytesOf(v))
}

// dense takes a matrix over: in the file's layout where kernels read that, trits in blocks with scales
// of their own as Q8_0, which has the same values, others decoded to float32. Parts that ask
// for the same tensor share it.
func (h *holding) dense(t *gguf.Tensor, rows, cols int) (*tensor, error) {
	c, err := h.g.codec(t, rows, cols)
	if err != nil {
		return nil, err
	}
	if d := h.g.shared[t]; d != nil {
		d.holders++
		h.shared = append(h.shared, d)
		return d, nil
	}
	d := &tensor{key: t, rows: rows, cols: cols, holders: 1}
	var bytes int64
	d.kind, bytes = denseSize(c, rows, cols)
	data, err := denseData(c, t.Data, rows, cols)
	if err != nil {
		return nil, err
	}
	if d.mem, err = h.g.take(device.Weights, "weights of "+t.Name, bytes); err != nil {
		return nil, err
	}
	if err := h.g.copyIn(t.Name, d.mem.ptr, data); err != nil {
		d.mem.give()
		return nil, err
	}
	h.g.shared[t] = d
	h.shared = append(h.shared, d)
	return d, nil
}

// denseData is a matrix's bytes as they are kept.
func denseData(c *quantkern.Codec, data []byte, rows, cols int) ([]byte, error) {
	switch {
	case kindOf(c) >= 0:
		return data[:c.Size(rows, cols)], nil
	case spreads(c):
		return spread(c, data, rows, cols)
	}
	all := make([]float32, rows*cols)
	err := inPieces(rows, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			c.Decode(all[r*cols:(r+1)*cols], data, rows, cols, r)
		}
	})
	return bytesOf(all), err
}

// denseSize is how a matrix is kept and what it takes. Kernels may read a whole vector at the end of
// the last row.
func denseSize(c *quantkern.Codec, rows, cols int) (kind int, bytes int64) {
	switch kind = kindOf(c); {
	case kind >= 0:
		return kind, int64(c.Size(rows, cols)) + 16
	case spreads(c):
		return slices.Index(denseTypes[:], "Q8_0"), int64(rows*cols/q8Values*q8Bytes) + 16
	}
	return 0, int64(4*rows*cols) + 16
}

// kindOf is the number of a codec among denseTypes, or -1.
func kindOf(c *quantkern.Codec) int {
	for i, name := range denseTypes {
		if name == c.Name {
			return i
		}
	}
	return -1
}
