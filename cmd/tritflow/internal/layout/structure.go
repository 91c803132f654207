package layout

import (
	"fmt"
	"math"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// mostBlocks is how many blocks structure looks at, spread over the network.
const mostBlocks = 6

// structure is how far the zeros of the matrices are from lying anywhere: of
// rows and columns alone, and of the channels that columns read and rows or
// norms make, which A and B arrange differently.
func structure(path, layout string) (z float64, err error) {
	f, err := gguf.Open(path, gguf.Options{I2SLayout: layout})
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	err = gguf.Guard(func() error {
		m, err := graph.Bind(f)
		if err != nil {
			return err
		}
		n := min(len(m.Blocks), mostBlocks)
		sum, terms := 0.0, 0
		for i := range n {
			b := &m.Blocks[i*len(m.Blocks)/n]
			zs, err := blockStructure(b)
			if err != nil {
				return err
			}
			for _, z := range zs {
				sum, terms = sum+z, terms+1
			}
		}
		// The terms of blocks are independent where there is no structure.
		z = sum / math.Sqrt(float64(max(terms, 1)))
		return nil
	})
	return z, err
}

// profile is the number of trits that are not 0 of every row and every column.
type profile struct{ rows, cols []float64 }

func blockStructure(b *graph.Block) ([]float64, error) {
	p := map[*graph.Linear]*profile{}
	var zs []float64
	for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
		c, err := quantkern.Lookup(l.Weight.Codec())
		if err != nil {
			return nil, err
		}
		if !c.Ternary {
			continue
		}
		w, err := quantkern.NewTernary(c, l.Weight.Data, l.Out, l.In)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		x := &profile{make([]float64, l.Out), make([]float64, l.In)}
		zs = append(zs, quantkern.Unevenness(l.Out, l.In, func(dst []int8, r int) {
			w.Trits(dst, r)
			for i, t := range dst {
				if t != 0 {
					x.rows[r]++
					x.cols[i]++
				}
			}
		}))
		p[l] = x
	}
	pair := func(a, b []float64) {
		if a != nil && len(a) == len(b) && len(a) > 8 {
			r := correlation(a, b)
			zs = append(zs, math.Abs(math.Atanh(max(-0.999999, min(0.999999, r))))*math.Sqrt(float64(len(a)-3)))
		}
	}
	cols := func(ls ...*graph.Linear) (sum []float64) {
		for _, l := range ls {
			if p[l] == nil {
				return nil
			}
			if sum == nil {
				sum = make([]float64, l.In)
			}
			for i, v := range p[l].cols {
				sum[i] += v
			}
		}
		return sum
	}
	pair(cols(&b.Q, &b.K, &b.V), weightsOf(&b.AttnNorm))
	pair(cols(&b.Gate, &b.Up), weightsOf(&b.FFNNorm))
	pair(cols(&b.O), weightsOf(b.AttnSubNorm))
	pair(cols(&b.Down), weightsOf(b.FFNSubNorm))
	if p[&b.Up] != nil && p[&b.Down] != nil {
		pair(p[&b.Down].cols, p[&b.Up].rows)
	}
	if p[&b.O] != nil && p[&b.Down] != nil {
		pair(cols(&b.Q, &b.K, &b.V), p[&b.O].rows)
		pair(cols(&b.Gate, &b.Up), p[&b.Down].rows)
	}
	return zs, nil
}

// weightsOf are the magnitudes of a norm's weights.
func weightsOf(n *graph.Norm) []float64 {
	if n == nil || n.Weight == nil {
		return nil
	}
	c, err := quantkern.Lookup(n.Weight.Codec())
	if err != nil {
		return nil
	}
	v := make([]float32, n.Weight.Elements())
	c.Decode(v, n.Weight.Data, 1, len(v), 0)
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Abs(float64(x))
	}
	return out
}

func correlation(a, b []float64) float64 {
	ma, mb := mean(a), mean(b)
	var ab, aa, bb float64
	for i := range a {
		x, y := a[i]-ma, b[i]-mb
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}
