package quantkern

import (
	"encoding/binary"
	"math"
)

var floatCodecs = []*Codec{
	{Name: "F32", BlockValues: 1, BlockBytes: 4, decode: decodeF32, encode: encodeF32},
	{Name: "F16", BlockValues: 1, BlockBytes: 2, decode: decodeF16, encode: encodeHalf(F32ToF16, F16ToF32)},
	{Name: "BF16", BlockValues: 1, BlockBytes: 2, decode: decodeBF16, encode: encodeHalf(f32ToBF16, bf16ToF32)},
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func encodeF32(dst []byte, src []float32) *ValueError {
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
	return nil
}

// decodeF16 and decodeBF16 are written out because a conversion that is passed
// as a function would not be inlined into the loop.
func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = F16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = bf16ToF32(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// encodeHalf keeps infinities and NaNs, but does not make new ones.
func encodeHalf(narrow func(float32) uint16, widen func(uint16) float32) func([]byte, []float32) *ValueError {
	return func(dst []byte, src []float32) *ValueError {
		for i, v := range src {
			h := narrow(v)
			if isInf(widen(h)) && !isInf(v) {
				return &ValueError{Col: i, Value: v, Reason: "larger than the largest number of the type"}
			}
			binary.LittleEndian.PutUint16(dst[2*i:], h)
		}
		return nil
	}
}

func isInf(v float32) bool { return math.Float32bits(v)&0x7fffffff == 0x7f800000 }

func isFinite(v float32) bool { return math.Float32bits(v)&0x7f800000 != 0x7f800000 }

func abs32(v float32) float32 { return math.Float32frombits(math.Float32bits(v) & 0x7fffffff) }
