package quantkern

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sequence is the keys, values and queries of a few positions.
type sequence struct {
	kvHeads, keyDim, valueDim int
	keys, values, queries     [][]float32
}

func randomSequence(seed uint64, positions, kvHeads, keyDim, valueDim int) sequence {
	rng := newRand(seed)
	s := sequence{kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim}
	for range positions {
		s.keys = append(s.keys, floats(rng, kvHeads*keyDim))
		s.values = append(s.values, floats(rng, kvHeads*valueDim))
		s.queries = append(s.queries, floats(rng, keyDim))
	}
	return s
}

// cache stores the sequence in pages whose numbers are out of order.
func (s sequence) cache(t testing.TB, typ string, pageSize int) (*KVPages, []int32) {
	t.Helper()
	used := (len(s.keys) + pageSize - 1) / pageSize
	kv, err := NewKVPages(typ, 2*used+1, pageSize, s.kvHeads, s.keyDim, s.valueDim, nil)
	if err != nil {
		t.Fatal(err)
	}
	table := make([]int32, used)
	for i := range table {
		table[i] = int32((2*i + 3*used/2) % (2*used + 1))
	}
	for pos := range s.keys {
		kv.Put(table, pos, s.keys[pos], s.values[pos])
	}
	return kv, table
}

func (s sequence) attend(kv *KVPages, table []int32, scale float32, scratch *Scratch) []float32 {
	var out []float32
	for pos := range s.keys {
		for h := range s.kvHeads {
			dst := make([]float32, s.valueDim)
			Attend(dst, s.queries[pos], kv, table, h, pos, scale, scratch)
			out = append(out, dst...)
		}
	}
	return out
}

// storedAs is what a cache of a type gives back for a head's row.
func storedAs(typ string, row []float32) []float32 {
	out := slices.Clone(row)
	switch typ {
	case "f16":
		for i, v := range row {
			out[i] = F16ToF32(F32ToF16(v))
		}
	case "q8_0":
		for b := 0; b < len(row); b += 32 {
			var top float32
			for _, v := range row[b : b+32] {
				top = max(top, v, -v)
			}
			for i, v := range row[b : b+32] {
				q := float32(math.Round(float64(v * (1 / (top / 127)))))
				out[b+i] = q * F16ToF32(F32ToF16(top/127))
			}
		}
	case "q4_0":
		for b := 0; b < len(row); b += 32 {
			var peak float32
			for _, v := range row[b : b+32] {
				if max(v, -v) > max(peak, -peak) {
					peak = v
				}
			}
			for i, v := range row[b : b+32] {
				q := min(15, float32(math.Floor(float64(float32(v*(1/(peak/-8)))+8.5))))
				out[b+i] = (q - 8) * F16ToF32(F32ToF16(peak/-8))
			}
		}
	}
	return out
}

// definition is Attend written down from its description.
func (s sequence) definition(typ string, scale float32) []float32 {
	keys, values := make([][]float32, len(s.keys)), make([][]float32, len(s.keys))
	for j := range s.keys {
		keys[j], values[j] = storedAs(typ, s.keys[j]), storedAs(typ, s.values[j])
	}
	var out []float32
	for pos := range s.keys {
		query := s.queries[pos]
		if typ == "f16" {
			query = storedAs(typ, query)
		}
		for h := range s.kvHeads {
			scores := make([]float32, pos+1)
			for j := range scores {
				products := make([]float32, s.keyDim)
				for d := range products {
					products[d] = float32(query[d] * keys[j][h*s.keyDim+d])
				}
				scores[j] = laneRule32(products) * scale
			}
			Softmax(scores)
			for d := range s.valueDim {
				var sum float32
				for j, p := range scores {
					sum += float32(p * values[j][h*s.valueDim+d])
				}
				out = append(out, sum)
			}
		}
	}
	return out
}

func TestAttendPagingIndependence(t *testing.T) {
	for _, dims := range [][3]int{{2, 64, 64}, {2, 32, 96}, {1, 24, 40}, {3, 40, 7}} {
		s := randomSequence(10, 66, dims[0], dims[1], dims[2])
		for _, typ := range KVTypes() {
			if typ[0] == 'q' && (dims[1]%32 != 0 || dims[2]%32 != 0) {
				continue
			}
			want := s.definition(typ, 0.01)
			for _, pageSize := range []int{1, 3, 16, 64} {
				kv, table := s.cache(t, typ, pageSize)
				got := s.attend(kv, table, 0.01, new(Scratch))
				if !cmp.Equal(want, got, sameBits) {
					t.Errorf("%v, %s, pages of %d: Attend differs from its definition", dims, typ, pageSize)
				}
			}
		}
	}
}

// A page that served another sequence must not show through.
func TestAttendReusedPage(t *testing.T) {
	for _, typ := range KVTypes() {
		old, s := randomSequence(11, 8, 2, 32, 32), randomSequence(12, 5, 2, 32, 32)
		kv, table := old.cache(t, typ, 8)
		for pos := range s.keys {
			kv.Put(table, pos, s.keys[pos], s.values[pos])
		}
		if diff := cmp.Diff(s.definition(typ, 0.1), s.attend(kv, table, 0.1, new(Scratch)), sameBits); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
	}
}

// A value that cannot be stored must come out as no number, in its own head only.
func TestAttendNonFinite(t *testing.T) {
	for _, typ := range KVTypes() {
		for what, v := range map[string]float32{"NaN": float32(math.NaN()), "infinity": float32(math.Inf(1))} {
			s := randomSequence(15, 4, 2, 32, 32)
			s.values[1][32+5] = v
			kv, table := s.cache(t, typ, 3)
			dst := make([]float32, 32)
			for head := range 2 {
				Attend(dst, s.queries[3], kv, table, head, 3, 0.1, new(Scratch))
				if bad := FirstNonFinite(dst) >= 0; bad != (head == 1) {
					t.Errorf("%s, %s among the values of head 1: head %d is %v", typ, what, head, dst)
				}
			}
		}
	}
}

func TestKVPagesMemory(t *testing.T) {
	s := randomSequence(13, 9, 2, 64, 32)
	for typ, size := range map[string]int{"f32": 4 * 32, "f16": 2 * 32, "q8_0": 34, "q4_0": 18} {
		var calls, bytes int64
		kv, err := NewKVPages(typ, 10, 4, 2, 64, 32, func(n int64) { calls++; bytes += n })
		if err != nil {
			t.Fatal(err)
		}
		if got, want := kv.PageBytes(), 4*2*(64+32)/32*size; got != want {
			t.Errorf("%s: a page has %d bytes, want %d", typ, got, want)
		}
		for pos, pages := range []int64{1, 1, 1, 1, 2, 2, 2, 2, 3} {
			kv.Put([]int32{9, 0, 4}, pos, s.keys[pos], s.values[pos])
			if calls != pages || bytes != pages*int64(kv.PageBytes()) {
				t.Errorf("%s: after position %d %d pages and %d bytes were taken, want %d pages", typ, pos, calls, bytes, pages)
			}
		}
		kv.Put([]int32{4}, 0, s.keys[0], s.values[0])
		if calls != 3 {
			t.Errorf("%s: writing a page again took memory", typ)
		}
	}
}

func TestKVPagesConcurrent(t *testing.T) {
	const positions, pageSize = 48, 16
	s := randomSequence(14, positions, 2, 32, 32)
	serial, table := s.cache(t, "f16", pageSize)
	want := s.attend(serial, table, 0.05, new(Scratch))

	var bytes atomic.Int64
	kv, err := NewKVPages("f16", 7, pageSize, 2, 32, 32, func(n int64) { bytes.Add(n) })
	if err != nil {
		t.Fatal(err)
	}
	var puts sync.WaitGroup
	for pos := range positions {
		puts.Go(func() { kv.Put(table, pos, s.keys[pos], s.values[pos]) })
	}
	puts.Wait()
	if got := bytes.Load(); got != int64(3*kv.PageBytes()) {
		t.Errorf("%d bytes were taken, want three pages of %d", got, kv.PageBytes())
	}
	got := make([]float32, len(want))
	var workers sync.WaitGroup
	for pos := range positions {
		workers.Go(func() {
			var scratch Scratch
			for h := range 2 {
				at := (pos*2 + h) * 32
				Attend(got[at:at+32], s.queries[pos], kv, table, h, pos, 0.05, &scratch)
			}
		})
	}
	workers.Wait()
	if diff := cmp.Diff(want, got, sameBits); diff != "" {
		t.Error(diff)
	}
}

func TestKVPagesErrors(t *testing.T) {
	var typeErr *KVTypeError
	if _, err := NewKVPages("q9_0", 1, 1, 1, 1, 1, nil); !errors.As(err, &typeErr) || !strings.Contains(err.Error(), `"q9_0"; use one of f32, f16, q8_0, q4_0`) {
		t.Errorf("type q9_0: %v", err)
	}
	for _, dims := range [][2]int{{40, 64}, {64, 40}, {16, 16}} {
		var shapeErr *KVShapeError
		_, err := NewKVPages("q8_0", 1, 1, 1, dims[0], dims[1], nil)
		if !errors.As(err, &shapeErr) || shapeErr.Value%32 == 0 || !strings.Contains(err.Error(), "multiple of 32") {
			t.Errorf("q8_0 with keys and values of %v: %v", dims, err)
		}
	}
	for i := range 5 {
		dims := [5]int{1, 1, 1, 1, 1}
		dims[i] = -i
		var shapeErr *KVShapeError
		_, err := NewKVPages("f16", dims[0], dims[1], dims[2], dims[3], dims[4], nil)
		if !errors.As(err, &shapeErr) || shapeErr.Value != -i || !strings.Contains(err.Error(), shapeErr.Field) {
			t.Errorf("dimensions %v: %v", dims, err)
		}
	}
	kv, err := NewKVPages("f32", 2, 4, 1, 8, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	eight := make([]float32, 8)
	wantPanic(t, "short keys", func() { kv.Put([]int32{0}, 0, eight[:7], eight) })
	wantPanic(t, "page that was never written", func() {
		Attend(make([]float32, 8), eight, kv, []int32{1}, 0, 0, 1, new(Scratch))
	})
	wantPanic(t, "short query", func() {
		Attend(make([]float32, 8), eight[:4], kv, []int32{1}, 0, 0, 1, new(Scratch))
	})
}

// TestAttendRows: rows that share the work have the bits of Attend on the
// plain-Go tier, in every cut, for every type, group of heads and page size.
func TestAttendRows(t *testing.T) {
	const positions, keyDim = 53, 32
	for _, typ := range KVTypes() {
		for _, heads := range []int{1, 3, 4, 5, 8} {
			for _, pageSize := range []int{4, 6, 32} {
				for _, width := range []int{40, 64} {
					if (typ == "q8_0" || typ == "q4_0") && width%32 != 0 {
						continue
					}
					rng := newRand(uint64(heads*1000 + pageSize))
					s := randomSequence(uint64(heads), positions, 2, keyDim, width)
					q := floats(rng, positions*2*heads*keyDim)
					var want []float32
					run := func(cut int) []float32 {
						kv, table := s.cache(t, typ, pageSize)
						dst := make([]float32, positions*2*heads*width)
						var scratch Scratch
						for pos := 0; pos < positions; pos += cut {
							n := min(cut, positions-pos)
							for h := range 2 {
								AttendRows(dst[(pos*2+h)*heads*width:], 2*heads*width, q[(pos*2+h)*heads*keyDim:], 2*heads*keyDim,
									n, heads, kv, table, h, pos, 0.2, &scratch)
							}
						}
						return dst
					}
					withTier(t, "generic", func() { want = run(1) })
					for _, tier := range Tiers() {
						withTier(t, tier, func() {
							for _, cut := range []int{2, 8, 19, positions} {
								if got := run(cut); !equalBits(want, got) {
									t.Errorf("%s, %s, %d heads of %d, pages of %d, %d rows together: other bits", tier, typ, heads, width, pageSize, cut)
								}
							}
						})
					}
				}
			}
		}
	}
}
