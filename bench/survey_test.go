package bench

import (
	"runtime"
	"testing"
	"time"
)

func TestSurveyCPU(t *testing.T) {
	plain, err := surveyCPU(t.Context(), 0, readPiece)
	if err != nil || plain.Name != "cpu" || plain.Units < 1 || plain.Capability == "" || plain.Read != 0 || plain.Int8 != 0 {
		t.Errorf("not measured: %+v, error %v", plain, err)
	}
	if runtime.GOOS == "linux" && (plain.Free == 0 || plain.Free > plain.Memory) {
		t.Errorf("%d of %d bytes free", plain.Free, plain.Memory)
	}
	measured, err := surveyCPU(t.Context(), time.Millisecond, readPiece)
	if err != nil || measured.Read < 1e6 || measured.Int8 < 1e6 {
		t.Errorf("measured: %+v, error %v", measured, err)
	}
}
