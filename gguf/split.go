package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
)

// Keys and names of llama.cpp's split files: every part is a whole GGUF file
// with its number (from 0) and the number of parts; the first has the
// metadata. Names count from 1.
const (
	splitNoKey    = "split.no"
	splitCountKey = "split.count"
	splitTotalKey = "split.tensors.count"
)

var splitName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// splitCount is the number of parts that p says there are; 0 for a whole file.
func (p *part) splitCount() (uint64, error) {
	n, err := p.meta.Uint(splitCountKey)
	if errors.Is(err, ErrNoKey) {
		return 0, nil
	}
	if err != nil {
		return 0, p.bad(ErrSplit, splitCountKey, hintDamaged, "%v", err)
	}
	return n, nil
}

// openParts opens path and, when it is one part of several, the others.
func openParts(path string) (parts []*part, err error) {
	p, err := openPart(path)
	if err != nil {
		return nil, err
	}
	parts = []*part{p}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeParts(parts))
			parts = nil
		}
	}()
	count, err := p.splitCount()
	if err != nil || count <= 1 {
		return parts, err
	}
	dir, base := filepath.Split(path)
	m := splitName.FindStringSubmatch(base)
	if m == nil {
		return parts, p.bad(ErrSplit, splitCountKey, "give the parts their names back", "it is one part of %d, but not named like NAME-00001-of-%05d.gguf", count, count)
	}
	own, err := strconv.Atoi(m[2])
	if err != nil || own < 1 || uint64(own) > count || m[3] != fmt.Sprintf("%05d", count) {
		return parts, p.bad(ErrSplit, splitCountKey, "give the parts their names back", "the file says %d parts, its name says %s of %s", count, m[2], m[3])
	}
	parts = parts[:0]
	for i := 1; i <= int(count); i++ {
		q := p
		if i != own {
			sister := fmt.Sprintf("%s%s-%05d-of-%05d.gguf", dir, m[1], i, count)
			if q, err = openPart(sister); err != nil {
				return append(parts, p), missing(sister, i, count, err)
			}
		}
		parts = append(parts, q)
	}
	return parts, checkParts(parts, count)
}

// missing explains a part that cannot be opened; errors about its content
// explain themselves.
func missing(path string, i int, count uint64, err error) error {
	if e := (*FormatError)(nil); errors.As(err, &e) {
		return err
	}
	return &FormatError{File: path, Kind: ErrSplit, Err: err, Reason: fmt.Sprintf("part %d of %d cannot be opened: %v", i, count, err),
		Hint: "put all parts into one folder"}
}

// checkParts compares what the parts say of themselves with where they stand.
func checkParts(parts []*part, count uint64) error {
	for i, p := range parts {
		n, err := p.splitCount()
		if err != nil {
			return err
		}
		if n != count {
			return p.bad(ErrSplit, splitCountKey, "the parts are of different models; download all of them again", "it says %d parts, others say %d", n, count)
		}
		no, err := p.meta.Uint(splitNoKey)
		if err != nil {
			return p.bad(ErrSplit, splitNoKey, hintDamaged, "%v", err)
		}
		if no != uint64(i) {
			return p.bad(ErrSplit, splitNoKey, "the parts were renamed or mixed up; give them their names back", "it says number %d (from 0), its name says %d", no, i)
		}
	}
	return nil
}

// checkSplitTotal compares the number of tensors with what the parts promise.
func checkSplitTotal(parts []*part, tensors int) error {
	if len(parts) == 1 {
		return nil
	}
	for _, p := range parts {
		n, err := p.meta.Uint(splitTotalKey)
		if errors.Is(err, ErrNoKey) {
			continue
		}
		if err != nil {
			return p.bad(ErrSplit, splitTotalKey, hintDamaged, "%v", err)
		}
		if n != uint64(tensors) {
			return p.bad(ErrSplit, splitTotalKey, "the parts are of different models; download all of them again", "it promises %d tensors, the parts have %d", n, tensors)
		}
	}
	return nil
}

// mergeMetadata is the union of the parts' keys. The number of a part and its
// alignment are its own affair; everything else must not differ.
func mergeMetadata(parts []*part) (*Metadata, error) {
	all := parts[0].meta
	for _, p := range parts[1:] {
		for i, key := range p.meta.keys {
			if key == splitNoKey || key == alignKey {
				continue
			}
			v := p.meta.vals[i]
			first, known := all.Get(key)
			if !known {
				all.add(key, v)
				continue
			}
			if first.typ != v.typ || first.elem != v.elem || first.n != v.n || !bytes.Equal(first.raw, v.raw) {
				return nil, p.bad(ErrSplit, key, "the parts are of different models; download all of them again",
					"its value %v differs from %v in %s", v, first, parts[0].path)
			}
		}
	}
	return all, nil
}
