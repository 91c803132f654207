package gguf_test

import (
	"errors"
	"testing"

	"tritflow/gguf"
)

// tiled is a file with two TL1 tensors, an I2_S tensor and some keys.
func tiled(t *testing.T, keys map[string]any) []byte {
	return written(t, keys,
		gguf.TensorInfo{Name: "a", Type: gguf.TypeTL1, Dims: []uint64{64, 32}},
		gguf.TensorInfo{Name: "b", Type: gguf.TypeTL1, Dims: []uint64{128, 32}},
		gguf.TensorInfo{Name: "c", Type: gguf.TypeI2_S, Dims: []uint64{128, 4}})
}

// TestLayoutsTold: what files and callers say of tiles and byte orders, the
// caller first.
func TestLayoutsTold(t *testing.T) {
	told := map[string]any{
		gguf.TilesKey:     []uint32{32, 64, 32, 64, 32, 32, 128, 32, 128, 32},
		gguf.I2SLayoutKey: "C",
	}
	for name, c := range map[string]struct {
		keys map[string]any
		opt  gguf.Options
		want [3]string
	}{
		"nobody":        {nil, gguf.Options{}, [3]string{"TL1", "TL1", "I2_S"}},
		"the file":      {told, gguf.Options{}, [3]string{"TL1:32/64/32", "TL1:32/128/32", "I2_S_C"}},
		"the caller":    {told, gguf.Options{Tiles: "64/32/32", I2SLayout: "b"}, [3]string{"TL1:64/32/32", "TL1:64/32/32", "I2_S_B"}},
		"for one shape": {nil, gguf.Options{Tiles: "32x128=32/64/32"}, [3]string{"TL1", "TL1:32/64/32", "I2_S"}},
		"for two":       {nil, gguf.Options{Tiles: "32x128=32/64/32, 32x64=32/8/32"}, [3]string{"TL1:32/8/32", "TL1:32/64/32", "I2_S"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := gguf.Parse("tiled", tiled(t, c.keys), c.opt)
			if err != nil {
				t.Fatal(err)
			}
			for i, n := range []string{"a", "b", "c"} {
				if x, _ := f.Tensor(n); x.Codec() != c.want[i] {
					t.Errorf("%s is %s, want %s", n, x.Codec(), c.want[i])
				}
			}
		})
	}
}

func TestLayoutsToldWrongly(t *testing.T) {
	for name, keys := range map[string]map[string]any{
		"four numbers": {gguf.TilesKey: []uint32{32, 64, 32, 64}},
		"a string":     {gguf.TilesKey: "32/64/32"},
		"layout D":     {gguf.I2SLayoutKey: "D"},
	} {
		var fe *gguf.FormatError
		if _, err := gguf.Parse("tiled", tiled(t, keys), gguf.Options{}); !errors.As(err, &fe) || fe.Key == "" || !errors.Is(err, gguf.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
		// The caller's word makes the file's unnecessary.
		if _, err := gguf.Parse("tiled", tiled(t, keys), gguf.Options{Tiles: "32/64/32", I2SLayout: "A"}); err != nil {
			t.Errorf("%s, overruled: %v", name, err)
		}
	}
	for _, s := range []string{",", "32", "32/64", "32/64/x", "0/64/32", "32x64", "ax64=32/64/32", "32x=32/64/32", "0x0=1/2/3", "1/2/3/4", "99999999/1/1"} {
		if _, err := gguf.Parse("tiled", tiled(t, nil), gguf.Options{Tiles: s}); !errors.Is(err, gguf.ErrOption) {
			t.Errorf("option %q: %v", s, err)
		}
	}
}

// TestWriterCheck: the last look at a file decides whether it appears.
func TestWriterCheck(t *testing.T) {
	refuse := errors.New("not what it should be")
	for _, want := range []error{nil, refuse} {
		path := t.TempDir() + "/out.gguf"
		w, err := gguf.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Set("general.name", "x"); err != nil {
			t.Fatal(err)
		}
		looked := false
		w.Check(func(temp string) error {
			f, err := gguf.Open(temp, gguf.Options{})
			if err != nil {
				return err
			}
			name, _ := f.Metadata().Str("general.name")
			looked = name == "x" && temp != path
			return errors.Join(want, f.Close())
		})
		if err := w.Close(); !looked || !errors.Is(err, want) {
			t.Errorf("looked %v, error %v, want %v", looked, err, want)
		}
		if _, err := gguf.Open(path, gguf.Options{}); (err == nil) != (want == nil) {
			t.Errorf("with %v: %v", want, err)
		}
	}
}
