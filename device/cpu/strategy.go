package cpu

import (
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/quantkern"
)

var _ device.Strategist = (*cpuDevice)(nil)

// Strategy loads the layer as the parts do, without counting it, and asks the
// kernels.
func (d *cpuDevice) Strategy(l device.Layer, rows int) (s device.Strategy, err error) {
	err = gguf.Guard(func() error {
		k, err := d.strategy(l, max(rows, 1))
		s = device.Strategy{Kernel: k.Kernel, Access: string(k.Access)}
		return err
	})
	return s, err
}

func (d *cpuDevice) strategy(l device.Layer, rows int) (quantkern.Strategy, error) {
	if l.Weight == nil {
		kv, err := quantkern.NewKVPages(l.KV, 1, 1, 1, l.In, l.In, nil)
		if err != nil {
			return quantkern.Strategy{}, &device.KVError{Device: d.info.Name, Type: l.KV, Reason: err.Error(), Err: err}
		}
		return kv.Strategy(), nil
	}
	var unused device.Ledger
	h := holding{all: &weights{device: d.info.Name, ledger: &unused, mapped: map[*gguf.Tensor]int{}}}
	m, err := h.matrix(l.Weight, l.Out, l.In)
	switch {
	case err != nil:
		return quantkern.Strategy{}, err
	case l.Kind == device.EmbedKind:
		return m.codec.Strategy(), nil
	case m.ternary != nil:
		return m.ternary.LoadedStrategy(rows), nil
	default:
		return quantkern.DenseStrategy(m.codec, m.data, m.rows, m.cols, rows), nil
	}
}
