package devtest

import (
	"context"
	"testing"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/quantkern"
)

// oneToken compares the network below the head closely with bitnet.cpp on
// prompts of one token: the head is computed here, from the device's residual
// stream, with the rounding of the final hidden state to half precision that
// bitnet.cpp applies to single tokens only.
func (s *suite) oneToken(t *testing.T) {
	const bound = 2e-4
	r := s.rig(t, Ternary, pagesOf("f16"))
	norm := decode(t, r.model.Head.Norm.Weight)[0]
	head := decode(t, r.model.Head.Out.Weight)
	found := false
	for _, ref := range ternaryReferences(t) {
		if len(ref.tokens) != 1 {
			continue
		}
		found = true
		b := NewBatch(device.Output{Full: true}, Chunk{Pages: r.table(0), Tokens: ref.tokens})
		h, _, err := ForwardHidden(context.Background(), r.parts, b)
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, r.model.Hidden)
		err = h.Host(x)
		h.Release()
		if err != nil {
			t.Fatal(err)
		}
		quantkern.RMSNorm(x, x, norm, r.model.Head.Norm.Eps)
		for i, v := range x {
			x[i] = quantkern.F16ToF32(quantkern.F32ToF16(v))
		}
		got := make([]float32, len(head))
		for i, row := range head {
			got[i] = quantkern.Dot(row, x)
		}
		d := compare(t, ref, [][]float32{got})
		t.Logf("%s: max |diff| %.2g", ref.name, d.max)
		if limit := max(bound, float64(s.bound)); d.max > limit || d.argmax != 1 {
			t.Errorf("%s: max |diff| %g above %g, or the winner differs", ref.name, d.max, limit)
		}
	}
	if !found {
		t.Fatal("devtest: reference.json lists no prompt of one token")
	}
}

// decode unpacks a matrix.
func decode(t testing.TB, w *gguf.Tensor) [][]float32 {
	t.Helper()
	c, err := quantkern.Lookup(w.Type.String())
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]float32, w.Rows())
	for i := range rows {
		rows[i] = make([]float32, w.Cols())
		c.Decode(rows[i], w.Data, w.Rows(), w.Cols(), i)
	}
	return rows
}
