package main

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// function is a prototype of the driver API; all return CUresult.
type function struct {
	name   string
	params []param
}

type param struct{ typ, name string }

var (
	prototype = regexp.MustCompile(`(?s)^(?:__attribute__\s*\(\(.*?\)\)\s*)?(?:extern\s+)?CUresult\s+(cu[A-Z]\w*)\s*\((.*)\)$`)
	parameter = regexp.MustCompile(`(?s)^(.*[\s*])(\w+)$`)
	space     = regexp.MustCompile(`\s+`)
)

// parse reads the preprocessed header. Entry points of the other kind of default
// stream (_ptds, _ptsz) are left out: nobody here asks for it.
func parse(header string) ([]function, error) {
	seen := map[string]bool{}
	var all []function
	for _, statement := range strings.Split(header, ";") {
		text := strings.TrimSpace(statement)
		// A statement may follow the end of a body or a line that is not one.
		if at := strings.LastIndexAny(text, "}"); at >= 0 {
			text = strings.TrimSpace(text[at+1:])
		}
		m := prototype.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		f := function{name: m[1]}
		if seen[f.name] || strings.HasSuffix(f.name, "_ptds") || strings.HasSuffix(f.name, "_ptsz") {
			continue
		}
		seen[f.name] = true
		list := strings.TrimSpace(m[2])
		if list != "void" && list != "" {
			for _, p := range strings.Split(list, ",") {
				split := parameter.FindStringSubmatch(strings.TrimSpace(p))
				if split == nil || strings.ContainsAny(p, "()[") {
					return nil, fmt.Errorf("forward: %s: cannot read parameter %q", f.name, p)
				}
				typ := strings.TrimSpace(space.ReplaceAllString(split[1], " "))
				f.params = append(f.params, param{typ, split[2]})
			}
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("forward: the header declares no function of the driver API")
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

func (f *function) types() string {
	types := make([]string, len(f.params))
	for i, p := range f.params {
		types[i] = p.typ
	}
	if len(types) == 0 {
		return "void"
	}
	return strings.Join(types, ", ")
}
