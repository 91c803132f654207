package quantkern_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"tritflow/gguf"
	. "tritflow/quantkern"
)

// The tensors that bitnet.cpp recorded while it evaluated eight tokens in one
// batch: each kernel gets the recorded inputs of an operation and must
// reproduce its recorded output. Lookups, norms, ternary products, gates and
// sums do so bit for bit; where the order of a float sum or a library function
// differs (RoPE, attention, head), a few last places remain.

const (
	recordedDir = "testdata/tiny1-eight-tensors"
	tinyModel   = "../graph/testdata/tiny-i2_s-seed1.gguf"

	blocks, heads, kvHeads, headDim = 3, 4, 2, 64
)

var promptTokens = []int{3, 17, 255, 400, 511, 80, 80, 9}

// recorded is one tensor as rows of ne[0] values.
type recorded struct {
	data []float32
	cols int
}

func (r recorded) rows() int           { return len(r.data) / r.cols }
func (r recorded) row(i int) []float32 { return r.data[i*r.cols : (i+1)*r.cols] }

type recording map[string]recorded

func readRecording(t *testing.T) recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordedDir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index []struct {
		File string
		Ne   []int
	}
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	all := recording{}
	for _, e := range index {
		raw, err := os.ReadFile(filepath.Join(recordedDir, e.File))
		if err != nil {
			t.Fatal(err)
		}
		r := recorded{make([]float32, len(raw)/4), e.Ne[0]}
		for i := range r.data {
			r.data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		name := e.File[len("0-") : len(e.File)-len(".f32")]
		all[name] = r
	}
	return all
}

func (all recording) get(t *testing.T, format string, args ...any) recorded {
	t.Helper()
	name := fmt.Sprintf(format, args...)
	r, ok := all[name]
	if !ok {
		t.Fatalf("no recorded tensor %q", name)
	}
	return r
}

// check compares got with the recorded tensor. The measure is the largest
// difference within a row, relative to the row's largest recorded magnitude.
func (all recording) check(t *testing.T, got []float32, bound float64, format string, args ...any) {
	t.Helper()
	want := all.get(t, format, args...)
	if len(got) != len(want.data) {
		t.Fatalf("%s: %d values, recorded %d", fmt.Sprintf(format, args...), len(got), len(want.data))
	}
	worst, same := 0.0, 0
	for i := range want.rows() {
		var diff, largest float64
		for j, w := range want.row(i) {
			g := got[i*want.cols+j]
			if g == w {
				same++
			}
			if g != g {
				diff = math.Inf(1)
			}
			diff = max(diff, math.Abs(float64(g)-float64(w)))
			largest = max(largest, math.Abs(float64(w)))
		}
		worst = max(worst, diff/max(largest, 1e-30))
	}
	name := fmt.Sprintf(format, args...)
	t.Logf("%-20s %6d values, %6d bit-equal, error %.1e of the row's largest", name, len(got), same, worst)
	if !(worst <= bound) {
		t.Errorf("%s: error %.3g of the row's largest magnitude, above %g", name, worst, bound)
	}
}

// tiny is the model that the recording was made with.
type tiny struct{ file *gguf.File }

func openTiny(t *testing.T) tiny {
	t.Helper()
	f, err := gguf.Open(tinyModel, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return tiny{f}
}

func (m tiny) number(t *testing.T, key string) float32 {
	t.Helper()
	v, err := m.file.Metadata().Float("bitnet-b1.58." + key)
	if err != nil {
		t.Fatal(err)
	}
	return float32(v)
}

func (m tiny) tensor(t *testing.T, format string, args ...any) (*gguf.Tensor, *Codec) {
	t.Helper()
	name := fmt.Sprintf(format, args...) + ".weight"
	w, ok := m.file.Tensor(name)
	if !ok {
		t.Fatalf("the model has no tensor %q", name)
	}
	c, err := Lookup(w.Type.String())
	if err != nil {
		t.Fatal(err)
	}
	return w, c
}

func (m tiny) vector(t *testing.T, format string, args ...any) []float32 {
	t.Helper()
	w, c := m.tensor(t, format, args...)
	v := make([]float32, w.Cols())
	c.Decode(v, w.Data, 1, len(v), 0)
	return v
}

// norm applies RMSNorm with weights w to every row.
func norm(x recorded, w []float32, eps float32) []float32 {
	out := make([]float32, len(x.data))
	for i := range x.rows() {
		RMSNorm(out[i*x.cols:(i+1)*x.cols], x.row(i), w, eps)
	}
	return out
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// ternary multiplies every row of x with a ternary matrix and checks that the
// integers behind the recorded products are exactly ours.
func (m tiny) ternary(t *testing.T, x, want recorded, format string, args ...any) []float32 {
	t.Helper()
	tensor, c := m.tensor(t, format, args...)
	w, err := NewTernary(c, tensor.Data, tensor.Rows(), tensor.Cols())
	if err != nil {
		t.Fatal(err)
	}
	n := x.rows()
	q, s := make([]int8, n*w.Cols), make([]float32, n)
	var acts Acts
	acts.Reset(n, w.Cols)
	for i := range n {
		s[i] = QuantizeRow(q[i*w.Cols:(i+1)*w.Cols], x.row(i))
		acts.Quantize(i, x.row(i))
	}
	var scratch Scratch
	out := make([]float32, n*w.Rows)
	MulTernary(out, w.Rows, w, 0, w.Rows, &acts, &scratch)
	trits := make([]int8, w.Cols)
	for r := range w.Rows {
		w.Trits(trits, r)
		for i := range n {
			var dot int64
			for k, v := range trits {
				dot += int64(v) * int64(q[i*w.Cols+k])
			}
			behind := float64(want.row(i)[r]) / float64(w.Scale) * float64(s[i])
			if math.Abs(behind-float64(dot)) > 0.01 {
				t.Fatalf("%s: row %d of token %d: integer %d, recorded %.4f", tensor.Name, r, i, dot, behind)
			}
		}
	}
	return out
}

// rotated applies RoPE to every head of every token.
func rotated(t *testing.T, m tiny, x recorded) []float32 {
	t.Helper()
	out := append([]float32(nil), x.data...)
	cos, sin := make([]float32, headDim/2), make([]float32, headDim/2)
	for pos := range x.rows() {
		RopeAngles(cos, sin, int32(pos), headDim, m.number(t, "rope.freq_base"), 1, nil)
		for h := 0; h < x.cols; h += headDim {
			Rope(out[pos*x.cols+h:pos*x.cols+h+headDim], cos, sin, true)
		}
	}
	return out
}

func halfRounded(x []float32) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = F16ToF32(F32ToF16(v))
	}
	return out
}

func TestRecordedEmbedding(t *testing.T) {
	all, m := readRecording(t), openTiny(t)
	w, c := m.tensor(t, "token_embd")
	out := make([]float32, len(promptTokens)*w.Cols())
	for i, token := range promptTokens {
		c.Decode(out[i*w.Cols():(i+1)*w.Cols()], w.Data, w.Rows(), w.Cols(), token)
	}
	all.check(t, out, 0, "inp_embd")
}

func TestRecordedHead(t *testing.T) {
	all, m := readRecording(t), openTiny(t)
	eps := m.number(t, "attention.layer_norm_rms_epsilon")
	x := all.get(t, "l_out-%d", blocks-1)
	all.check(t, norm(x, ones(x.cols), eps), 0, "norm")
	all.check(t, norm(x, m.vector(t, "output_norm"), eps), 0, "result_norm")

	w, c := m.tensor(t, "token_embd")
	h := all.get(t, "result_norm")
	out := make([]float32, h.rows()*w.Rows())
	var scratch Scratch
	MulDense(out, w.Rows(), c, w.Data, w.Rows(), w.Cols(), 0, w.Rows(), h.data, h.rows(), &scratch)
	all.check(t, out, 1e-6, "result_output")
}

func TestRecordedBlocks(t *testing.T) {
	all, m := readRecording(t), openTiny(t)
	eps := m.number(t, "attention.layer_norm_rms_epsilon")
	for b := range blocks {
		t.Run(fmt.Sprintf("block%d", b), func(t *testing.T) {
			norms := func(in recorded, plain, weighted, weight string) {
				t.Helper()
				all.check(t, norm(in, ones(in.cols), eps), 0, plain, b)
				all.check(t, norm(in, m.vector(t, "blk.%d.%s", b, weight), eps), 0, weighted, b)
			}
			product := func(in, out, weight string) {
				t.Helper()
				y := m.ternary(t, all.get(t, in, b), all.get(t, out, b), "blk.%d.%s", b, weight)
				all.check(t, y, 0, out, b)
			}
			sum := func(x, y recorded, out string) {
				t.Helper()
				s := append([]float32(nil), x.data...)
				Add(s, y.data)
				all.check(t, s, 0, out, b)
			}

			x := all.get(t, "inp_embd")
			if b > 0 {
				x = all.get(t, "l_out-%d", b-1)
			}
			norms(x, "norm-%d", "attn_norm-%d", "attn_norm")
			product("attn_norm-%d", "Qcur-%d", "attn_q")
			product("attn_norm-%d", "Kcur-%d", "attn_k")
			product("attn_norm-%d", "Vcur-%d", "attn_v")
			all.check(t, rotated(t, m, all.get(t, "Qcur-%d", b)), 1e-6, "Qcur-%d#1", b)
			all.check(t, rotated(t, m, all.get(t, "Kcur-%d", b)), 1e-6, "Kcur-%d#1", b)
			checkAttention(t, all, b)

			norms(all.get(t, "kqv_out-%d", b), "norm-%d#1", "attn_sub_norm-%d", "attn_sub_norm")
			product("attn_sub_norm-%d", "attn_o_out-%d", "attn_output")
			sum(all.get(t, "attn_o_out-%d", b), x, "ffn_inp-%d")

			norms(all.get(t, "ffn_inp-%d", b), "norm-%d#2", "ffn_norm-%d", "ffn_norm")
			product("ffn_norm-%d", "ffn_gate-%d", "ffn_gate")
			product("ffn_norm-%d", "ffn_up-%d", "ffn_up")
			gate, relu, up := all.get(t, "ffn_gate-%d", b), all.get(t, "ffn_relu-%d", b), all.get(t, "ffn_up-%d", b)
			h := make([]float32, len(up.data))
			ReLU2Mul(h, gate.data, ones(len(h)))
			all.check(t, h, 0, "ffn_sqr(relu)-%d", b)
			ReLU2Mul(h, relu.data, up.data)
			all.check(t, h, 0, "ffn_out-%d", b)
			ReLU2Mul(h, gate.data, up.data)
			all.check(t, h, 0, "ffn_out-%d", b)

			norms(all.get(t, "ffn_out-%d", b), "norm-%d#3", "ffn_sub_norm-%d", "ffn_sub_norm")
			product("ffn_sub_norm-%d", "ffn_down-%d", "ffn_down")
			sum(all.get(t, "ffn_down-%d", b), all.get(t, "ffn_inp-%d", b), "l_out-%d")
		})
	}
}

// checkAttention reproduces scores, probabilities and outputs of a block from
// its recorded rotated queries and keys and its values.
func checkAttention(t *testing.T, all recording, b int) {
	t.Helper()
	q, k, v := all.get(t, "Qcur-%d#1", b), all.get(t, "Kcur-%d#1", b), all.get(t, "Vcur-%d", b)
	raw := all.get(t, "kq-%d", b) // [head][token] rows of 32 positions
	n := len(promptTokens)
	scale := float32(1 / math.Sqrt(headDim))
	scores := make([]float32, len(raw.data))
	probs := make([]float32, len(raw.data))
	kv, err := NewKVPages("f16", 4, 3, kvHeads, headDim, headDim, nil)
	if err != nil {
		t.Fatal(err)
	}
	table := []int32{2, 0, 3}
	for pos := range n {
		kv.Put(table, pos, k.data[pos*kvHeads*headDim:(pos+1)*kvHeads*headDim], v.row(pos))
	}
	var scratch Scratch
	byHead := make([]float32, heads*n*headDim)
	byToken := make([]float32, heads*n*headDim)
	for h := range heads {
		kvHead := h / (heads / kvHeads)
		for pos := range n {
			query := q.row(pos*heads + h)
			at := (h*n + pos) * raw.cols
			for j := range n {
				scores[at+j] = Dot(halfRounded(query), halfRounded(k.row(j*kvHeads+kvHead)))
			}
			for j := range pos + 1 {
				probs[at+j] = raw.data[at+j] * scale
			}
			Softmax(probs[at : at+pos+1])
			out := byHead[(h*n+pos)*headDim : (h*n+pos+1)*headDim]
			Attend(out, query, kv, table, kvHead, pos, scale, &scratch)
			copy(byToken[(pos*heads+h)*headDim:], out)
		}
	}
	all.check(t, scores, 1e-6, "kq-%d", b)
	all.check(t, probs, 1e-6, "kq_soft_max_ext-%d", b)
	all.check(t, byHead, 1e-6, "kqv-%d", b)
	all.check(t, byToken, 1e-6, "kqv_out-%d", b)
}
