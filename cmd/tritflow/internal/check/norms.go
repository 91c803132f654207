package check

import (
	"strings"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// norms looks at the weights of norms: nothing, astronomic, or around zero.
func (r *Report) norms(tensors []readable) {
	all, centred := 0, 0
	for _, t := range tensors {
		if !strings.HasSuffix(t.Name, "norm.weight") || t.codec.Ternary || t.Elements() > 1<<20 || t.Elements() < 8 {
			continue
		}
		m := momentsOf(decoded(t))
		if m.bad > 0 {
			continue // told already
		}
		all++
		switch {
		case m.zeros == m.n:
			r.wrong("values", "norm-zero", t.Name, "all weights of norm %q are 0: nothing passes it", t.Name).Fix = advice(downloadAgain + ", or " + convertAgain)
		case !m.sane() || max(m.most, -m.least) > 1e6:
			p := r.wrong("values", "norm-range", t.Name, "the weights of norm %q lie between %.3g and %.3g (root mean square %.3g), which no trained norm has", t.Name, m.least, m.most, m.rms)
			p.Sure = 0.98
			p.Fix = advice(downloadAgain + ", or " + convertAgain)
			r.turned(t, p)
		case m.mean < 0.3*m.rms && m.mean > -0.3*m.rms:
			centred++
		}
	}
	if all >= 3 && centred*10 > all*9 {
		p := r.wrong("values", "norm-around-zero", "", "the weights of %d of %d norms lie around 0: the converter left out the 1 that models like Gemma add to them", centred, all)
		p.Sure = 0.8
		p.Fix = advice(convertAgain)
	}
}

// turned recognises a norm whose numbers have their bytes the wrong way round.
func (r *Report) turned(t readable, p *Problem) {
	edit, ok := byteOrder(t.Type)
	if !ok || t.Type == gguf.TypeI2_S {
		return
	}
	swapped, err := edit(append([]byte(nil), t.Data...))
	if err != nil {
		return
	}
	x := t
	tensor := *t.Tensor
	tensor.Data = swapped
	x.Tensor = &tensor
	if m := momentsOf(decoded(x)); !m.sane() || m.mean < 0.3*m.rms && m.mean > -0.3*m.rms {
		return
	}
	p.Cause = "norm-byte-order"
	p.Message += "; with its bytes turned round it would be an ordinary one"
	p.Fix = &Fix{Name: p.Cause, What: "turn the bytes of its numbers round", Lossless: true, apply: func(d *draft) error {
		d.tensor(t.Name).then(edit)
		return nil
	}}
}

func decoded(t readable) []float32 {
	rows, cols := t.Rows(), t.Cols()
	out := make([]float32, rows*cols)
	for row := range rows {
		t.codec.Decode(out[row*cols:][:cols], t.Data, rows, cols, row)
	}
	return out
}

// halves tells F16 from BF16 in tables that carry the other's label: both are
// two bytes wide, so nothing but the values shows it.
func (r *Report) halves(tensors []readable) {
	for _, t := range tensors {
		if t.Type != gguf.TypeF16 && t.Type != gguf.TypeBF16 || t.Elements() < 4096 {
			continue
		}
		other := gguf.TypeBF16
		if t.Type == gguf.TypeBF16 {
			other = gguf.TypeF16
		}
		oc, err := quantkern.Lookup(other.String())
		if err != nil {
			continue
		}
		as, would := sampleRows(t), sampleRows(readable{t.Tensor, oc})
		// Weights are spread like a bell: the square of their mean magnitude is about
		// 0.64 of the mean square. BF16 read as F16 has all magnitudes in one octave or
		// two, F16 read as BF16 has them spread over a dozen decades around 1e-16.
		if !bell(would) || bell(as) || would.rms < 1e-4 || would.rms > 30 {
			continue
		}
		p := r.wrong("type", "mislabelled-type", t.Name, "tensor %q is labelled %v, but its values are spread like weights only if they are read as %v (root mean square %.3g instead of %.3g)",
			t.Name, t.Type, other, would.rms, as.rms)
		p.Sure = 0.97
		name := t.Name
		p.Fix = &Fix{Name: p.Cause, What: "call it " + other.String(), Lossless: true, apply: func(d *draft) error {
			d.tensor(name).typ = other
			return nil
		}}
	}
}

func bell(m moments) bool {
	if m.bad > 0 || m.rms < 1e-7 || m.rms > 1e4 {
		return false
	}
	shape := m.absmean * m.absmean / (m.rms * m.rms)
	return shape > 0.15 && shape < 0.80
}

// sampleRows decodes up to 64 rows of a tensor, spread over it.
func sampleRows(t readable) moments {
	rows, cols := t.Rows(), t.Cols()
	step := max(rows/64, 1)
	var all []float32
	row := make([]float32, cols)
	for i := 0; i < rows && len(all) < 1<<18; i += step {
		t.codec.Decode(row, t.Data, rows, cols, i)
		all = append(all, row...)
	}
	return momentsOf(all)
}
