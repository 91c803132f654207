package crossval

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tritflow/cmd/tritflow/internal/crossval/remote"
)

// IndexName is the index of a dump's folder.
const IndexName = "reference.json"

// Dump is what a reference computed. Logits lie in files beside the index:
// float32, little-endian, row-major [position, vocabulary].
type Dump struct {
	Engine string            `json:"engine"`
	Note   string            `json:"note,omitempty"`
	Notes  []string          `json:"notes,omitempty"`  // for the report
	Models map[string]string `json:"models,omitempty"` // file name: SHA-256
	Items  []*Item           `json:"items"`

	dir string
}

// Item is one prompt.
type Item struct {
	File      string  `json:"file"`
	Model     string  `json:"model,omitempty"`
	Mode      string  `json:"mode,omitempty"` // "batch", or "step": one token a call
	Tokens    []int32 `json:"tokens"`
	Shape     []int   `json:"shape"`
	DType     string  `json:"dtype,omitempty"`
	Argmax    []int32 `json:"argmax,omitempty"`
	Prompt    string  `json:"prompt,omitempty"`
	Given     int     `json:"given,omitempty"`     // of Tokens, the prompt; the reference generated the rest greedily. 0 = all
	Tensors   string  `json:"tensors,omitempty"`   // folder with an index of the network's tensors
	Tokenized []int32 `json:"tokenized,omitempty"` // the prompt's tokens by the reference's own tokenizer
	PrefillTS float64 `json:"prefill_tok_s,omitempty"`
	DecodeTS  float64 `json:"decode_tok_s,omitempty"`

	// Top has the likeliest tokens of some positions, by ascending position, where
	// the reference tells no more: there is no file of logits then, and no shape.
	Top []remote.Row `json:"top,omitempty"`
}

// DumpError: a dump cannot be used.
type DumpError struct {
	Path   string
	Reason string
	Err    error
}

func (e *DumpError) Error() string {
	s := fmt.Sprintf("crossval: reference %s: %s", e.Path, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *DumpError) Unwrap() error { return e.Err }

// OpenDump reads an index, or that of a folder, and picks the items of one
// model, by the name of its file, "" = the one inside the program. When the index has items of a single
// model, they are taken whatever its name is. Items of mode "step" are left out
// unless steps is set: they repeat the others, with other rounding in some engines.
func OpenDump(path, model string, steps bool) (*Dump, error) {
	fail := func(reason string, err error) (*Dump, error) { return nil, &DumpError{path, reason, err} }
	if info, err := os.Stat(path); err != nil {
		return fail("cannot be read", err)
	} else if info.IsDir() {
		name := filepath.Join(path, IndexName)
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			name = filepath.Join(path, "index.json")
		}
		path = name
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fail("cannot be read", err)
	}
	wanted := "the model inside the program"
	if model != "" {
		model = filepath.Base(model)
		wanted = "model " + model
	}
	var raw struct {
		Dump
		// The other form: one prompt, logits of several models.
		Tokens []int32                          `json:"tokens"`
		Files  map[string]struct{ Shape []int } `json:"files"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return fail("is no index of a dump", err)
	}
	d := raw.Dump
	d.dir = filepath.Dir(path)
	if len(raw.Files) > 0 {
		file := strings.TrimSuffix(model, filepath.Ext(model)) + ".logits.f32"
		for _, f := range raw.Files {
			d.Items = []*Item{{File: file, Model: model, Tokens: raw.Tokens, Shape: f.Shape}}
			break
		}
	}
	if i := slices.Index(d.Items, nil); i >= 0 {
		return fail(fmt.Sprintf("item %d is null", i), nil)
	}
	d.Items = pick(d.Items, model, steps)
	if len(d.Items) == 0 {
		return fail("has nothing of "+wanted, nil)
	}
	for _, it := range d.Items {
		if err := d.check(it); err != nil {
			return fail(it.File, err)
		}
	}
	return &d, nil
}

// pick chooses a model's items.
func pick(items []*Item, model string, steps bool) []*Item {
	var names []string
	for _, it := range items {
		if !slices.Contains(names, it.Model) {
			names = append(names, it.Model)
		}
	}
	return slices.DeleteFunc(items, func(it *Item) bool {
		return len(names) > 1 && it.Model != model || it.Mode == "step" && !steps
	})
}

// check refuses what contradicts itself, and finds tensors beside the logits.
func (d *Dump) check(it *Item) error {
	if len(it.Tokens) == 0 {
		return errors.New("has no tokens")
	}
	if it.Top != nil {
		return it.checkTop()
	}
	const most = 1 << 24 // tokens that a vocabulary may have
	if len(it.Shape) != 2 || it.Shape[0] != len(it.Tokens) || it.Shape[1] < 1 || it.Shape[1] > most {
		return fmt.Errorf("the shape %v is not [%d tokens, vocabulary]", it.Shape, len(it.Tokens))
	}
	if err := it.checkGiven(); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(d.dir, it.File))
	if err != nil {
		return err
	}
	if want := 4 * int64(it.Shape[0]) * int64(it.Shape[1]); info.Size() != want {
		return fmt.Errorf("has %d bytes, %v float32 values are %d", info.Size(), it.Shape, want)
	}
	if it.Tensors == "" {
		stem := strings.TrimSuffix(it.File, filepath.Ext(it.File))
		if it.Mode == "batch" {
			folder := strings.TrimSuffix(stem, "-batch") + "-tensors"
			if _, err := os.Stat(filepath.Join(d.dir, folder, "index.json")); err == nil {
				it.Tensors = folder
			}
		}
	}
	return nil
}

func (it *Item) checkGiven() error {
	if it.Given < 0 || it.Given > len(it.Tokens) {
		return fmt.Errorf("%d tokens of %d cannot be the prompt", it.Given, len(it.Tokens))
	}
	if it.Given == 0 {
		it.Given = len(it.Tokens)
	}
	return nil
}

// checkTop refuses lists that contradict themselves.
func (it *Item) checkTop() error {
	at := -1
	for i := range it.Top {
		r := &it.Top[i]
		if r.Position <= at || r.Position >= len(it.Tokens) {
			return fmt.Errorf("list %d is of position %d, after %d and among %d tokens", i, r.Position, at, len(it.Tokens))
		}
		at = r.Position
		if len(r.IDs) == 0 {
			return fmt.Errorf("position %d has an empty list", at)
		}
		if err := r.Check(); err != nil {
			return fmt.Errorf("position %d: %w", at, err)
		}
	}
	return it.checkGiven()
}

// logits reads rows of an item, one after the other.
type logits struct {
	file *os.File
	buf  []byte
	row  []float32
}

func (d *Dump) open(it *Item) (*logits, error) {
	f, err := os.Open(filepath.Join(d.dir, it.File))
	if err != nil {
		return nil, &DumpError{it.File, "cannot be read", err}
	}
	return &logits{f, make([]byte, 4*it.Shape[1]), make([]float32, it.Shape[1])}, nil
}

// next reads a row, valid until the following one.
func (l *logits) next() ([]float32, error) {
	if _, err := io.ReadFull(l.file, l.buf); err != nil {
		return nil, &DumpError{l.file.Name(), "cannot be read", err}
	}
	floats(l.row, l.buf)
	return l.row, nil
}

func (l *logits) close() error { return l.file.Close() }

func floats(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// tensor is an entry of an index of tensors.
type tensor struct {
	File string `json:"file"`
	Name string `json:"name"`
	Step int    `json:"step"`
	NE   []int  `json:"ne"` // fastest dimension first
}

// tensors reads the index of an item's tensors, by the walk's name of the point.
func (d *Dump) tensors(it *Item) (map[string]*tensor, error) {
	path := filepath.Join(d.dir, it.Tensors, "index.json")
	data, err := os.ReadFile(path)
	var list []*tensor
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return nil, &DumpError{path, "the index of tensors cannot be read", err}
	}
	all, turns := map[string]*tensor{}, map[string]int{}
	for i, t := range list {
		if t == nil {
			return nil, &DumpError{path, fmt.Sprintf("tensor %d is null", i), nil}
		}
		if t.Step != 0 {
			continue // the prompt in one call is what the walk computes
		}
		key := t.Name
		if n := turns[t.Name]; n > 0 {
			key = fmt.Sprintf("%s#%d", t.Name, n)
		}
		turns[t.Name]++
		all[key] = t
	}
	return all, nil
}

// values reads a tensor of rows × width values.
func (d *Dump) values(it *Item, t *tensor, n int) ([]float32, error) {
	path := filepath.Join(d.dir, it.Tensors, t.File)
	data, err := os.ReadFile(path)
	if err == nil && len(data) != 4*n {
		err = fmt.Errorf("%d bytes, the network has %d values there", len(data), n)
	}
	if err != nil {
		return nil, &DumpError{path, "tensor " + t.Name, err}
	}
	v := make([]float32, n)
	floats(v, data)
	return v, nil
}
