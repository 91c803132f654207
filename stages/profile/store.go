package profile

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"tritflow/device"
	"tritflow/gguf/atomicfile"
	"tritflow/graph"
)

// version changes with what is measured and how.
const version = 3

// Store keeps Sets in a directory, a file each. What is found there and cannot
// be used is measured again.
type Store struct {
	Dir  string
	Kept bool // engines take what is kept here and measure nothing
}

// UserStore is in the user's cache directory.
func UserStore() (Store, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return Store{}, fmt.Errorf("profile: %w", err)
	}
	return Store{Dir: filepath.Join(dir, "tritflow", "profiles")}, nil
}

// Get returns the Set of these devices and this model: the stored one, or one
// that it measures and stores. A directory that cannot be written only costs
// the measurement each time: the Set is good, and the error, a *StoreError,
// says why it was not kept.
func (s Store) Get(ctx context.Context, m *graph.Model, devs []device.Device, kvType string) (*Set, error) {
	path := filepath.Join(s.Dir, key(m, devs, kvType)+".json")
	if set := read(path, len(devs)); set != nil {
		return set, nil
	}
	set, err := Measure(ctx, m, devs, kvType)
	if err != nil {
		return nil, err
	}
	if err := write(path, set); err != nil {
		return set, &StoreError{path, err}
	}
	return set, nil
}

// Has says whether Get has nothing to measure.
func (s Store) Has(m *graph.Model, devs []device.Device, kvType string) bool {
	return read(filepath.Join(s.Dir, key(m, devs, kvType)+".json"), len(devs)) != nil
}

// StoreError says that a Set could not be kept.
type StoreError struct {
	Path string
	Err  error
}

func (e *StoreError) Error() string {
	return fmt.Sprintf("profile: %s cannot be written, so speeds will be measured again next time: %v", e.Path, e.Err)
}

// Unwrap gives the cause.
func (e *StoreError) Unwrap() error { return e.Err }

// key names what a Set depends on: the program's way of measuring, the machine
// and its devices, shapes and types of the model, the type of the cache.
func key(m *graph.Model, devs []device.Device, kvType string) string {
	h := sha256.New()
	fmt.Fprintln(h, version, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), kvType, os.Getenv("TRITFLOW_SCREEN"))
	for _, d := range devs {
		i := d.Info()
		fmt.Fprintln(h, i.Kind, i.Model, i.Tier, i.Workers, i.Memory, i.Features, i.FuseBlocks)
	}
	for _, l := range device.Layers(m) {
		fmt.Fprintln(h, l.Kind, l.Type(), l.In, l.Out)
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		fmt.Fprintln(h, b.Heads, b.KVHeads, b.KeyDim, b.ValueDim, b.Activation, b.WeightBytes())
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

func read(path string, devices int) *Set {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var s Set
	if json.Unmarshal(data, &s) != nil || len(s.Alone) != devices || len(s.Together) != devices {
		return nil
	}
	for _, p := range append(s.Alone[:devices:devices], s.Together...) {
		if !p.Block.valid() || !p.Head.valid() || len(p.Screened.Rows) > 0 && !p.Screened.valid() {
			return nil
		}
	}
	return &s
}

// valid says whether a curve can be used.
func (c Curve) valid() bool {
	if len(c.Rows) == 0 || len(c.Rows) != len(c.Seconds) {
		return false
	}
	for i := range c.Rows {
		if i > 0 && c.Rows[i] <= c.Rows[i-1] || !(c.Seconds[i] > 0 && c.Seconds[i] < 1e6) {
			return false
		}
	}
	return true
}

func write(path string, s *Set) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := atomicfile.Create(path, atomicfile.Options{})
	if err != nil {
		return err
	}
	if _, err := f.Write(append(data, '\n')); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}
