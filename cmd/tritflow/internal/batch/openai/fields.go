package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// fields reads the members of a JSON object, each once. The first fault stays.
type fields struct {
	prefix string // of names in messages
	all    map[string]json.RawMessage
	known  []string
	fault  *Fault
}

func newFields(raw json.RawMessage) (*fields, bool) {
	f := &fields{}
	return f, json.Unmarshal(raw, &f.all) == nil && f.all != nil
}

// take gives a member; ok is false when it is absent or null.
func (f *fields) take(name string) (raw json.RawMessage, ok bool) {
	f.known = append(f.known, name)
	raw, ok = f.all[name]
	return raw, ok && !bytes.Equal(raw, []byte("null"))
}

func (f *fields) bad(name, want string, raw json.RawMessage) {
	if f.fault == nil {
		f.fault = refuse("invalid_type", f.prefix+name, "Invalid type for '%s': expected %s, but got %s instead.", f.prefix+name, want, kindOf(raw))
	}
}

func (f *fields) wrong(name, format string, args ...any) {
	if f.fault == nil {
		f.fault = refuse("invalid_value", f.prefix+name, "Invalid value for '%s': %s.", f.prefix+name, fmt.Sprintf(format, args...))
	}
}

func (f *fields) missing(name string) {
	if f.fault == nil {
		f.fault = refuse("missing_required_parameter", f.prefix+name, "Missing required parameter: '%s'.", f.prefix+name)
	}
}

// kindOf names the type of a JSON value.
func kindOf(raw json.RawMessage) string {
	switch c := raw[0]; {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == 't' || c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	default:
		return "a number"
	}
}

func (f *fields) text(name string) (s string, ok bool) {
	raw, ok := f.take(name)
	if !ok {
		return "", false
	}
	if json.Unmarshal(raw, &s) != nil {
		f.bad(name, "a string", raw)
		return "", false
	}
	return s, true
}

func (f *fields) flag(name string) (b, ok bool) {
	raw, ok := f.take(name)
	if !ok {
		return false, false
	}
	if json.Unmarshal(raw, &b) != nil {
		f.bad(name, "a boolean", raw)
		return false, false
	}
	return b, true
}

// integer accepts 3 and 3.0, within bounds.
func (f *fields) integer(name string, least, most int64) (n int64, ok bool) {
	raw, ok := f.take(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		const exact = 1 << 53
		x, ferr := strconv.ParseFloat(string(raw), 64)
		switch {
		case kindOf(raw) != "a number":
			f.bad(name, "an integer", raw)
			return 0, false
		case ferr != nil || x != math.Trunc(x) || math.Abs(x) > exact:
			f.wrong(name, "%s is not an integer of at most 64 bits", raw)
			return 0, false
		}
		n = int64(x)
	}
	if n < least || n > most {
		switch {
		case n < least && (most == math.MaxInt64 || most == math.MaxInt32):
			f.wrong(name, "%d is less than %d", n, least)
		default:
			f.wrong(name, "%d is not between %d and %d", n, least, most)
		}
		return 0, false
	}
	return n, true
}

func (f *fields) number(name string) (x float64, ok bool) {
	raw, ok := f.take(name)
	if !ok {
		return 0, false
	}
	if json.Unmarshal(raw, &x) != nil {
		if kindOf(raw) == "a number" {
			f.wrong(name, "%s is out of range", raw)
		} else {
			f.bad(name, "a number", raw)
		}
		return 0, false
	}
	return x, true
}

// idle takes members that change nothing here unless they ask for something:
// absent, null and the listed values are accepted.
func (f *fields) idle(name string, harmless ...string) {
	raw, ok := f.take(name)
	if !ok {
		return
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err == nil && slices.Contains(harmless, b.String()) {
		return
	}
	if f.fault == nil {
		f.fault = refuse("unsupported_parameter", f.prefix+name, "Unsupported parameter: '%s' is not supported with this value.", f.prefix+name)
	}
}

// rest complains about members that nobody took, the first by name.
func (f *fields) rest() {
	var unknown []string
	for name := range f.all {
		if !slices.Contains(f.known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 && f.fault == nil {
		name := slices.Min(unknown)
		f.fault = refuse("unknown_parameter", f.prefix+name, "Unknown parameter: '%s'.", f.prefix+name)
	}
}
