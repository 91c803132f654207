package devtest

import (
	"errors"
	"math"
	"testing"

	"tritflow/device"
	"tritflow/gguf"
)

// isolated runs three sequences of which the middle one is to fail, for two
// steps, and checks that the others do not notice. It returns the error.
func (r *rig) isolated(t *testing.T, bad Chunk) error {
	t.Helper()
	good := [2]Chunk{
		{ID: 1, Pages: r.table(0), Tokens: tokens(30, 8)},
		{ID: 3, Pages: r.table(2), Tokens: tokens(31, 5)},
	}
	var want [2][][]float32
	for i, c := range good {
		want[i] = r.run(t, c)
	}
	rows, errs := r.answers(t, NewBatch(device.Output{Full: true}, good[0], bad, good[1]))
	last := len(rows) - len(want[1])
	same(t, "before a failed sequence", want[0], rows[:len(want[0])], 0)
	same(t, "after a failed sequence", want[1], rows[last:], 0)
	var failed error
	for _, err := range errs[len(want[0]):last] {
		if err == nil {
			t.Fatal("a row of a sequence that must fail was answered")
		}
		failed = err
	}
	// A sequence that comes in failed is left alone.
	b := NewBatch(device.Output{Full: true}, good[0], bad, good[1])
	sentinel := errors.New("failed before")
	b.Fail(1, sentinel)
	b.Fail(1, errors.New("a second failure must not replace the first"))
	rows, errs = r.answers(t, b)
	same(t, "before a sequence that had failed", want[0], rows[:len(want[0])], 0)
	same(t, "after a sequence that had failed", want[1], rows[last:], 0)
	for _, err := range errs[len(want[0]):last] {
		if !errors.Is(err, sentinel) {
			t.Fatalf("a sequence that had failed answers %v", err)
		}
	}
	return failed
}

// badToken: an id outside the vocabulary.
func (s *suite) badToken(t *testing.T) {
	r := s.rig(t, Ternary, pagesOf("f16"))
	for _, id := range []int32{-1, int32(r.model.Vocab), math.MaxInt32, math.MinInt32} {
		err := r.isolated(t, Chunk{ID: 2, Pages: r.table(1), Pos: 0, Tokens: []int32{7, id, 9}})
		e, ok := errors.AsType[*device.TokenError](err)
		if !ok || e.Token != id || e.Sequence != 2 || e.Pos != 1 || e.Vocab != r.model.Vocab {
			t.Errorf("token %d: error %v", id, err)
		}
	}
}

// badPages: a table that is too short, or names pages that are not there.
func (s *suite) badPages(t *testing.T) {
	r := s.rig(t, Ternary, pagesOf("f16"))
	for _, pages := range [][]int32{nil, r.table(1)[:1], {16, -1}, {16, int32(r.kv.Pages)}} {
		err := r.isolated(t, Chunk{ID: 2, Pages: pages, Tokens: tokens(32, r.kv.PageSize+1)})
		if e, ok := errors.AsType[*device.PageError](err); !ok || e.Sequence != 2 || int(e.Pos) != r.kv.PageSize {
			t.Errorf("pages %v: error %v", pages, err)
		}
	}
}

// nanEmbedding: a damaged row of the embedding hurts those who use the token.
// The head of this model is a tensor of its own.
func (s *suite) nanEmbedding(t *testing.T) {
	const token, feature = 444, 3
	for kind, v := range map[string]float32{"NaN": float32(math.NaN()), "Inf": float32(math.Inf(-1))} {
		m := openModel(t, Llama, func(f *gguf.File, data []byte) {
			ten, ok := f.Tensor("token_embd.weight")
			if !ok {
				t.Fatal("devtest: no embedding")
			}
			setFloat(t, f, data, ten.Name, token*ten.Cols()+feature, v)
		})
		r := load(t, m, pagesOf("f32"), s.device(t))
		err := r.isolated(t, Chunk{ID: 2, Pages: r.table(1), Tokens: []int32{5, 6, token, 8}})
		e, ok := errors.AsType[*device.NumericError](err)
		if !ok || e.Stage != "embed" || e.Kind != kind || e.Sequence != 2 || e.Pos != 2 {
			t.Errorf("%s in the embedding: error %v", kind, err)
		}
	}
}

// nanBlock: damaged weights of one block fail everybody there, and the block
// is named although later ones would see the values too.
func (s *suite) nanBlock(t *testing.T) {
	for _, c := range []struct {
		model, tensor, stage string
		value                float64
	}{
		{Ternary, "blk.1.attn_sub_norm.weight", "blk.1", math.NaN()},
		{Ternary, "blk.1.attn_norm.weight", "blk.1", math.Inf(1)},
		{Ternary, "blk.2.ffn_sub_norm.weight", "blk.2", math.NaN()},
		{Llama, "blk.0.attn_k.weight", "blk.0", math.NaN()},
		{Llama, "blk.1.attn_v.weight", "blk.1", math.NaN()},
		{Bitnet, "blk.0.ffn_down.weight", "blk.0", math.Inf(-1)},
	} {
		m := openModel(t, c.model, func(f *gguf.File, data []byte) {
			setFloat(t, f, data, c.tensor, 1, float32(c.value))
		})
		r := load(t, m, pagesOf("f32"), s.device(t))
		_, errs := r.answers(t, NewBatch(device.Output{TopK: 1},
			Chunk{ID: 7, Pages: r.table(0), Tokens: tokens(33, 5)},
			Chunk{ID: 8, Pages: r.table(1), Tokens: tokens(34, 3)}))
		for i, err := range errs {
			e, ok := errors.AsType[*device.NumericError](err)
			if !ok || e.Stage != c.stage {
				t.Errorf("%v in %s: row %d: error %v", c.value, c.tensor, i, err)
			}
		}
	}
}

// nanHead: the last stage checks its own results.
func (s *suite) nanHead(t *testing.T) {
	const token = 17
	m := openModel(t, Llama, func(f *gguf.File, data []byte) {
		ten, ok := f.Tensor("output.weight")
		if !ok {
			t.Fatal("devtest: no head")
		}
		setFloat(t, f, data, ten.Name, token*ten.Cols(), float32(math.NaN()))
	})
	r := load(t, m, pagesOf("f32"), s.device(t))
	_, errs := r.answers(t, NewBatch(device.Output{TopK: 1}, Chunk{ID: 7, Pages: r.table(0), Tokens: tokens(35, 2)}))
	for _, err := range errs {
		e, ok := errors.AsType[*device.NumericError](err)
		if !ok || e.Stage != "head" || e.Index != token || e.Kind != "NaN" {
			t.Errorf("NaN in the head: error %v", err)
		}
	}
}

// nanPosition: the rotation of a damaged file overflows from position 5 on, so
// that of two sequences in the same block only the longer one fails.
func (s *suite) nanPosition(t *testing.T) {
	const overflow = 5 // times 1/factor
	m := openModel(t, Llama, func(f *gguf.File, data []byte) {
		setFloat(t, f, data, "rope_freqs.weight", 0, 1.2e-38)
	})
	r := load(t, m, pagesOf("f32"), s.device(t))
	short := Chunk{ID: 1, Pages: r.table(0), Tokens: tokens(36, overflow)}
	long := Chunk{ID: 2, Pages: r.table(1), Tokens: tokens(37, overflow+3)}
	want := r.run(t, short)
	rows, errs := r.answers(t, NewBatch(device.Output{Full: true}, long, short))
	same(t, "beside a sequence that failed", want, rows[len(long.Tokens):], 0)
	for _, err := range errs[:len(long.Tokens)] {
		e, ok := errors.AsType[*device.NumericError](err)
		if !ok || e.Stage != "blk.0" || e.Sequence != 2 || e.Pos != overflow || e.Row != overflow || e.Kind != "NaN" {
			t.Errorf("rotation by infinity: error %v", err)
		}
	}
}
