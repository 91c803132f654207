// Package tolerance reads the limits that --tolerance names.
//
//	"default", "strict" ─▶ limits of the package that judges
//	a file ─▶ JSON, over what "default" says
package tolerance

import (
	"encoding/json"
	"fmt"
	"os"

	"tritflow/cmd/tritflow/internal/strictjson"
)

// Named gives the limits "default" ("" is the same), "strict", or those of a JSON
// file, which parse puts over the first.
func Named[T any](name string, standard, strict T, parse func(data []byte, into *T) error) (T, error) {
	switch name {
	case "", "default":
		return standard, nil
	case "strict":
		return strict, nil
	}
	var none T
	data, err := os.ReadFile(name)
	if err != nil {
		return none, fmt.Errorf("tolerance %s is neither default nor strict nor a file: %w", name, err)
	}
	if err := parse(data, &standard); err != nil {
		return none, fmt.Errorf("tolerance file %s: %w", name, err)
	}
	return standard, nil
}

// Decode reads one JSON object over what is in v. Fields that mean nothing are
// refused, because a misspelt limit is no limit, and so are negative numbers,
// which would be none.
func Decode(data []byte, v any) error {
	if err := strictjson.Decode(data, v); err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	for name, raw := range fields {
		var limit float64
		if json.Unmarshal(raw, &limit) == nil && limit < 0 {
			return fmt.Errorf("%s is %g, which would be no limit: write 0 for none", name, limit)
		}
	}
	return nil
}
