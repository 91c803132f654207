package check

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"tritflow/gguf"
	"tritflow/gguf/atomicfile"
)

// workbench is where the rounds of a repair lay what they make, beside the file that is to
// be, so that this appears when all of them are done.
type workbench struct {
	out   string
	files []string
}

// writable refuses a place that cannot be written before anything is examined.
func writable(out string) error {
	w, err := gguf.Create(out)
	if err != nil {
		return err
	}
	return w.Abort()
}

// next names the file of the next round and removes what no round needs any more.
func (b *workbench) next() string {
	if n := len(b.files); n > 1 {
		_ = os.Remove(b.files[n-2])
	}
	dir := filepath.Dir(atomicfile.Follow(b.out))
	b.files = append(b.files, filepath.Join(dir, fmt.Sprintf(".tritflow-%016x.gguf", rand.Uint64())))
	return b.files[len(b.files)-1]
}

// name is what reports call a file: what lies here is to be the one that was asked for.
func (b *workbench) name(path string) string {
	if len(b.files) > 1 {
		return b.out
	}
	return path
}

// deliver gives the last file its name, behind links and with the permissions of the one
// that it replaces.
func (b *workbench) deliver(last string) error {
	target := atomicfile.Follow(b.out)
	if info, err := os.Stat(target); err == nil {
		_ = os.Chmod(last, info.Mode().Perm()) // not every file system has them
	}
	if err := os.Rename(last, target); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}

// clear removes what is left of the rounds.
func (b *workbench) clear() {
	for _, f := range b.files {
		_ = os.Remove(f)
	}
}
