package check

import (
	"fmt"
	"strings"

	"tritflow/cmd/tritflow/internal/layout/i2slayout"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// byteOrders compares the I2_S layouts by the weights alone.
func (r *Report) byteOrders(m *graph.Model) {
	const most = 8 // blocks to look at; one is enough in a trained model
	v := i2slayout.Detect(i2slayout.FromModel(m, most))
	label := ""
	for i := range m.Blocks {
		if t := m.Blocks[i].Down.Weight.Type; t.ID() == gguf.TypeI2_S.ID() {
			label = t.String()
			break
		}
	}
	if !v.Known || label == "" || v.Layout == label {
		return
	}
	p := r.wrong("values", "i2s-layout", "", "the I2_S weights are stored in layout %s, and are read as %s: columns agree with norms and with the rows that feed them only in layout %s (by %.0f nats)",
		i2slayout.Letter(v.Layout), i2slayout.Letter(label), i2slayout.Letter(v.Layout), v.Odds)
	p.Message += ". " + map[string]string{
		"I2_S":   "It is the usual one; leave --i2s-layout out",
		"I2_S_B": "ARM builds of bitnet.cpp since November 2025 write it; --i2s-layout B runs the file as it is",
		"I2_S_C": "builds of bitnet.cpp without ACT_PARALLEL write it; --i2s-layout C runs the file as it is",
	}[v.Layout]
	p.Sure = v.Sure()
	p.Fix = fixLayout(v.Layout)
}

// fixLayout stores every I2_S tensor in layout A.
func fixLayout(from string) *Fix {
	return &Fix{Name: "i2s-layout", What: "store them in layout A, which every program reads", Lossless: true, apply: func(d *draft) error {
		d.drop("tritflow.i2_s.layout") // where a file of ours says another one
		for _, t := range d.tensors {
			if !strings.HasPrefix(t.typ.String(), "I2_S") {
				continue
			}
			cols, rows := int(t.dims[0]), 1
			for _, n := range t.dims[1:] {
				rows *= int(n)
			}
			t.then(func(b []byte) ([]byte, error) { return relayout(b, from, rows, cols) })
			t.typ = gguf.TypeI2_S
		}
		return nil
	}}
}

// relayout stores a matrix in layout A, codes without a meaning included.
func relayout(b []byte, from string, rows, cols int) ([]byte, error) {
	if from == "I2_S" {
		return b, nil
	}
	c, err := quantkern.Lookup(from)
	if err != nil {
		return nil, err
	}
	w, err := quantkern.NewTernary(c, b, rows, cols)
	if err != nil {
		return nil, err
	}
	if cols%128 != 0 {
		return nil, fmt.Errorf("check: %d columns do not fit layout A, which has groups of 128", cols)
	}
	out := make([]byte, len(b))
	copy(out[rows*cols/4:], b[rows*cols/4:])
	trits := make([]int8, cols)
	for row := range rows {
		w.Trits(trits, row)
		for i, t := range trits {
			at := row*cols + i
			out[at/128*32+at%32] |= byte(t+1) << (6 - 2*(at%128/32))
		}
	}
	return out, nil
}
