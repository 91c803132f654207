package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Folder is an open model folder.
type Folder struct {
	Path    string
	Config  *Config
	tensors map[string]*Tensor
	names   []string
	files   []*os.File
}

const (
	single = "model.safetensors"
	index  = "model.safetensors.index.json"
)

// Open reads config.json and the headers of the weights: those of
// model.safetensors, or of the files that model.safetensors.index.json lists.
func Open(path string) (_ *Folder, err error) {
	switch st, err := os.Stat(path); {
	case err != nil:
		return nil, &Error{File: path, Err: err}
	case !st.IsDir():
		return nil, &Error{File: path, Reason: "it is a file: give the folder that holds config.json and the weights"}
	}
	f := &Folder{Path: path, tensors: map[string]*Tensor{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if f.Config, err = readConfig(filepath.Join(path, "config.json")); err != nil {
		return nil, err
	}
	listed, err := f.listed()
	if err != nil {
		return nil, err
	}
	for _, name := range listed {
		if err := f.add(filepath.Join(path, name)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// listed are the names of the weight files.
func (f *Folder) listed() ([]string, error) {
	path := filepath.Join(f.Path, index)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(f.Path, single)); err != nil {
			return nil, &Error{File: f.Path, Reason: "there is neither " + single + " nor " + index + "; weights in other forms (pytorch_model.bin) have to be saved as safetensors first"}
		}
		return []string{single}, nil
	}
	if err != nil {
		return nil, &Error{File: path, Err: err}
	}
	var list struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, &Error{File: path, Reason: "it cannot be read", Err: err}
	}
	var names []string
	for _, name := range list.Map {
		if !filepath.IsLocal(name) {
			return nil, &Error{File: path, Field: "weight_map", Reason: fmt.Sprintf("%q lies outside the folder", name)}
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, &Error{File: path, Field: "weight_map", Reason: "it lists no files"}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (f *Folder) add(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return &Error{File: path, Reason: "a file of weights is missing", Err: err}
	}
	f.files = append(f.files, file)
	tensors, err := readHeader(file)
	if err != nil {
		return err
	}
	for _, t := range tensors {
		if other := f.tensors[t.Name]; other != nil {
			return &Error{File: path, Tensor: t.Name, Reason: "it is in " + other.File() + " too; only one can be right"}
		}
		f.tensors[t.Name] = t
		f.names = append(f.names, t.Name)
	}
	return nil
}

// Tensor finds a tensor by name; nil when there is none.
func (f *Folder) Tensor(name string) *Tensor { return f.tensors[name] }

// Names lists all tensors in the order of the files.
func (f *Folder) Names() []string { return slices.Clone(f.names) }

// Close closes the files; tensors cannot be read afterwards.
func (f *Folder) Close() error {
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	f.files = nil
	return errors.Join(errs...)
}
