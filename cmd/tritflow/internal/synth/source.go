package synth

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"tritflow/graph"
)

// chunkValues is about how many values are made at a time where the type allows it.
const chunkValues = 1 << 18

// source is the byte stream of one tensor, made as it is read.
type source struct {
	ctx    context.Context
	t      tensor
	rng    *rand.Rand
	scale  float32 // of the trits
	row    int     // rows made so far
	values []float32
	packed []byte
	rest   []byte // of packed, not yet read
}

// newSource gives tensor number index of a file its own generator, so that a
// tensor does not depend on those before it.
func newSource(ctx context.Context, t tensor, seed, index uint64) *source {
	s := &source{ctx: ctx, t: t, rng: rand.New(rand.NewPCG(seed, index))}
	// About unit variance for inputs of unit variance, give or take a half.
	s.scale = float32((0.5 + s.rng.Float64()) / math.Sqrt(0.6*float64(t.cols)))
	rows := t.rows // types without blocks are packed as a whole
	if t.codec.BlockBytes > 0 {
		rows = min(rows, max(1, chunkValues/t.cols))
	}
	s.values = make([]float32, rows*t.cols)
	s.packed = make([]byte, t.codec.Size(rows, t.cols))
	return s
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.row == s.t.rows {
			return 0, io.EOF
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// fill makes and packs the next rows.
func (s *source) fill() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	rows := min(len(s.values)/s.t.cols, s.t.rows-s.row)
	values := s.values[:rows*s.t.cols]
	switch s.t.Role {
	case graph.RoleMatrix:
		s.trits(values)
	case graph.RoleNorm, graph.RoleFactors:
		s.normal(values, 1, 0.2)
	default:
		s.normal(values, 0, 0.05)
	}
	s.rest = s.packed[:s.t.codec.Size(rows, s.t.cols)]
	if err := s.t.codec.Encode(s.rest, values, rows, s.t.cols); err != nil {
		return fmt.Errorf("packing %q: %w", s.t.Name, err)
	}
	s.row += rows
	return nil
}

// trits draws 0 with probability 0.4 and ±scale with 0.3 each, three values
// from one 64-bit number. Comparing by sign bits keeps the processor from
// guessing branches that are random.
func (s *source) trits(dst []float32) {
	const (
		bits = 21
		mask = 1<<bits - 1
		low  = mask * 3 / 10 // below: −1
		high = mask * 7 / 10 // from here on: +1
	)
	values := [4]float32{-s.scale, 0, s.scale}
	for i := 0; i < len(dst); i += 3 {
		r := s.rng.Uint64()
		for j := i; j < min(i+3, len(dst)); j++ {
			v := r & mask
			dst[j] = values[((low-1-v)>>63+(high-1-v)>>63)&3]
			r >>= bits
		}
	}
}

// normal draws from a normal distribution.
func (s *source) normal(dst []float32, mean, deviation float64) {
	for i := range dst {
		dst[i] = float32(mean + float64(deviation*s.rng.NormFloat64()))
	}
}
