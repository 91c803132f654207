package main

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"tritflow/gguf/atomicfile"
)

// filesAndFolders are the flags that name one.
var filesAndFolders = []string{
	"model", "file", "input", "output", "summary", "receipt", "trace", "stats-file", "svg", "write", "repair", "keep", "html",
	"reference", "ref-model", "platform", "baseline", "tolerance", "targets", "validate-targets",
}

// namesNothing refuses a file without a name: a variable of the shell that is not set
// must not pass for a flag that was left out.
func namesNothing(fs *pflag.FlagSet) (err error) {
	fs.Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" && slices.Contains(filesAndFolders, f.Name) && err == nil {
			err = usagef("%s is empty: name a file, or leave it out", flagName(f))
		}
	})
	return err
}

// place is a file and what names it on the command line.
type place struct{ name, path string }

// apart refuses to write over what is read, and two things into one file: what
// was there would be lost without a word. Places without a path do not count.
func apart(read, written []place) error {
	for i, w := range written {
		for _, other := range slices.Concat(read, written[:i]) {
			if onePlace(w.path, other.path) {
				return usagef("%s and %s are one file, %s: what one of them holds would be lost; name another for %s", other.name, w.name, w.path, w.name)
			}
		}
	}
	return nil
}

// onePlace tells whether two paths lead to one file, also where it is yet to be
// made. Pipes and devices take whatever comes.
func onePlace(a, b string) bool {
	if a == "" || b == "" || b == "-" { // which is standard input
		return false
	}
	if info, err := os.Stat(a); err == nil && !info.Mode().IsRegular() {
		return false
	}
	if sameFile(a, b) {
		return true
	}
	x, err := behindLinks(a)
	if err != nil {
		return false // there is no folder for it
	}
	y, err := behindLinks(b)
	return err == nil && absolute(x) == absolute(y)
}

// behindLinks is the path of a file behind all links, also where it is yet to be made.
func behindLinks(path string) (string, error) {
	path = atomicfile.Follow(path)
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

func absolute(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// reserve makes the file that a flag names before the work, so that a place that
// cannot be written is known then; nil where the flag was left out.
func reserve(path string) (*atomicfile.File, error) {
	if path == "" {
		return nil, nil
	}
	return atomicfile.Create(path, atomicfile.Options{Special: true})
}

// abandon removes what was reserved and not committed.
func abandon(file *atomicfile.File) error {
	if file == nil {
		return nil
	}
	return file.Abort()
}
