package cpu

import (
	"fmt"
	"strings"
	"sync"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/quantkern"
)

// weights counts the tensors that the parts of a device read in place. A
// tensor that two parts share (the embedding that is also the head) counts once.
type weights struct {
	device string
	ledger *device.Ledger
	mapped map[*gguf.Tensor]int // parts that hold it
	fitted sync.Mutex
	fits   map[fitKey]*quantkern.Codec // under fitted

	// each runs fn over pieces of [0, n), by all workers; nil: by one.
	each func(n int, fn func(lo, hi int)) error
}

// fitKey is what has the same tiles in all of a file.
type fitKey struct {
	file       string
	typ        gguf.Type
	rows, cols int
}

// fit finds the tiles of a TL1 or TL2 tensor that the file does not tell, once
// for each shape.
func (w *weights) fit(c *quantkern.Codec, t *gguf.Tensor, rows, cols int) *quantkern.Codec {
	if !c.Tiled() || t.Tile != "" {
		return c
	}
	w.fitted.Lock()
	defer w.fitted.Unlock()
	key := fitKey{t.File, t.Type, rows, cols}
	if found, ok := w.fits[key]; ok {
		return found
	}
	if w.fits == nil {
		w.fits = map[fitKey]*quantkern.Codec{}
	}
	w.fits[key], _ = c.FitTiles(t.Data, rows, cols)
	return w.fits[key]
}

// holding is what one part took of the weights.
type holding struct {
	all     *weights
	mapped  []*gguf.Tensor
	decoded int64 // bytes of copies
}

// matrix is a tensor whose rows the kernels read in the file's own layout, or
// a copy in another one.
type matrix struct {
	codec      *quantkern.Codec
	data       []byte
	rows, cols int
	ternary    *quantkern.Ternary // nil unless the codec is ternary
}

// matrix takes a tensor [cols, rows] over in place.
func (h *holding) matrix(t *gguf.Tensor, rows, cols int) (*matrix, error) {
	m, err := h.view(t, rows, cols)
	if err == nil {
		h.hold(t)
	}
	return m, err
}

// repacked takes a tensor [cols, rows] over in the layout that its products
// are fastest in: in place unless its trits have to be copied.
func (h *holding) repacked(t *gguf.Tensor, rows, cols int) (*matrix, error) {
	m, err := h.view(t, rows, cols)
	if err != nil {
		return nil, err
	}
	if m.ternary != nil {
		w, bytes, err := m.ternary.Repack(h.all.each)
		if err != nil {
			return nil, fmt.Errorf("repacking %s: %w", t.Name, err)
		}
		if bytes > 0 {
			h.decoded += int64(bytes)
			h.all.ledger.Add(device.Weights, int64(bytes))
			return &matrix{codec: w.Codec, data: w.Data, rows: rows, cols: cols, ternary: w}, nil
		}
	}
	h.hold(t)
	return m, nil
}

// view finds the codec of a tensor [cols, rows] and checks that all of its
// bytes are there.
func (h *holding) view(t *gguf.Tensor, rows, cols int) (*matrix, error) {
	c, err := h.codec(t, rows, cols)
	if err != nil {
		return nil, err
	}
	m := &matrix{codec: c, data: t.Data, rows: rows, cols: cols}
	if c.Ternary {
		if m.ternary, err = quantkern.NewTernary(c, t.Data, rows, cols); err != nil {
			return nil, h.fault(t, fmt.Sprintf("the ternary layout cannot be read: %v", err))
		}
	}
	return m, nil
}

// hold counts a tensor that is read in place.
func (h *holding) hold(t *gguf.Tensor) {
	if h.all.mapped[t]++; h.all.mapped[t] == 1 {
		h.all.ledger.Add(device.Mapped, int64(len(t.Data)))
	}
	h.mapped = append(h.mapped, t)
}

// vector decodes a tensor of n values to float32.
func (h *holding) vector(t *gguf.Tensor, n int) ([]float32, error) {
	c, err := h.codec(t, 1, n)
	if err != nil {
		return nil, err
	}
	v := make([]float32, n)
	c.Decode(v, t.Data, 1, n, 0)
	h.decoded += bytesOf[float32](n)
	h.all.ledger.Add(device.Weights, bytesOf[float32](n))
	return v, nil
}

func (h *holding) codec(t *gguf.Tensor, rows, cols int) (*quantkern.Codec, error) {
	if t == nil {
		return nil, &device.BatchError{Reason: "a weight of the network is missing from its description"}
	}
	c, err := quantkern.Lookup(t.Codec())
	if err != nil {
		return nil, h.fault(t, "the CPU device has no codec for this type; convert the file to one of "+strings.Join(quantkern.Names(), ", "))
	}
	if t.Elements() != rows*cols || rows > 1 && t.Cols() != cols {
		return nil, h.fault(t, fmt.Sprintf("its shape %v is not the [%d %d] that the network needs; the file's metadata and tensors contradict each other", t.Dims, cols, rows))
	}
	if err := c.Check(rows, cols); err != nil {
		return nil, h.fault(t, fmt.Sprintf("%v; convert the tensor to another type", err))
	}
	if need := c.Size(rows, cols); len(t.Data) < need {
		return nil, h.fault(t, fmt.Sprintf("%d bytes are there, %d are needed; the file is cut short, fetch it again", len(t.Data), need))
	}
	return h.all.fit(c, t, rows, cols), nil
}

func (h *holding) fault(t *gguf.Tensor, reason string) error {
	return &device.TensorError{Device: h.all.device, Tensor: t.Name, Type: t.Type.String(), Reason: reason}
}

// release gives everything back.
func (h *holding) release() {
	for _, t := range h.mapped {
		if h.all.mapped[t]--; h.all.mapped[t] == 0 {
			delete(h.all.mapped, t)
			h.all.ledger.Add(device.Mapped, -int64(len(t.Data)))
		}
	}
	h.all.ledger.Add(device.Weights, -h.decoded)
	h.mapped, h.decoded = nil, 0
}
