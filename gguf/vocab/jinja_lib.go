package vocab

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// Filters of the engine that templates may use. Those that can make much out
// of little are expanding.
var (
	plainFilters = []string{
		"abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items",
		"last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "safe",
		"select", "selectattr", "sort", "string", "sum", "title", "trim", "unique", "upper",
	}
	expandingFilters = []string{"indent", "join", "replace"}
)

func (j *jinja) filters() *exec.FilterSet {
	set := map[string]exec.FilterFunction{
		filterCheck: func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
			if in.IsError() {
				return in
			}
			if err := j.check(in); err != nil {
				return exec.AsValue(err)
			}
			return in
		},
		filterPass: func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
			if err := j.spend(in.Integer()); err != nil {
				return exec.AsValue(err)
			}
			return exec.AsValue("")
		},
		"tojson": j.guardFilter(toJSON, false),
	}
	for _, name := range slices.Concat(plainFilters, expandingFilters) {
		f, ok := builtins.Filters.Get(name)
		if !ok {
			panic("vocab: the template engine lacks filter " + name)
		}
		set[name] = j.guardFilter(f, slices.Contains(expandingFilters, name))
	}
	return exec.NewFilterSet(set)
}

func (j *jinja) guardFilter(f exec.FilterFunction, expands bool) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in
		}
		if err := j.admit(in, params, expands); err != nil {
			return exec.AsValue(err)
		}
		out := f(e, in, params)
		if out.IsError() {
			return out
		}
		if err := j.check(out); err != nil {
			return exec.AsValue(err)
		}
		return out
	}
}

// admit pays for a call before it is made. The result of an expanding one is
// at most as long as the receiver times the arguments, numbers counting as
// lengths.
func (j *jinja) admit(in *exec.Value, params *exec.VarArgs, expands bool) error {
	if err := j.check(in); err != nil {
		return err
	}
	if err := j.checkArgs(params); err != nil || !expands {
		return err
	}
	factor := 1
	count := func(v *exec.Value) {
		switch {
		case v.IsString():
			factor += len(v.String())
		case v.IsInteger():
			factor += max(v.Integer(), 0)
		}
	}
	for _, v := range params.Args {
		count(v)
	}
	for _, v := range params.KwArgs {
		count(v)
	}
	n, err := j.weigh(in)
	if err == nil && (factor < 0 || factor > maxWork || n > maxWork/factor) {
		err = fmt.Errorf("a call could make more than %d bytes", maxWork)
	}
	if err != nil && j.err == nil {
		j.err = err
	}
	return err
}

// methods are those of strings and dictionaries; Python's strip, split and
// replace are here because the engine's deviate.
func (j *jinja) methods() exec.Methods {
	str := map[string]exec.Method[string]{
		"strip":   stripMethod(strings.TrimFunc, strings.Trim),
		"lstrip":  stripMethod(strings.TrimLeftFunc, strings.TrimLeft),
		"rstrip":  stripMethod(strings.TrimRightFunc, strings.TrimRight),
		"split":   splitMethod,
		"replace": replaceMethod,
	}
	borrow(str, builtins.Methods.Str, "capitalize", "endswith", "find", "isdigit", "islower", "isspace", "isupper",
		"lower", "removeprefix", "removesuffix", "startswith", "title", "upper")
	dict := map[string]exec.Method[map[string]any]{}
	borrow(dict, builtins.Methods.Dict, "get", "items", "keys", "values")
	return exec.Methods{
		Str:   guardMethods(j, str),
		Dict:  guardMethods(j, dict),
		Bool:  exec.NewMethodSet(map[string]exec.Method[bool]{}),
		Int:   exec.NewMethodSet(map[string]exec.Method[int]{}),
		Float: exec.NewMethodSet(map[string]exec.Method[float64]{}),
		List:  exec.NewMethodSet(map[string]exec.Method[[]any]{}),
	}
}

// borrow takes methods of the engine.
func borrow[T any](to map[string]exec.Method[T], from *exec.MethodSet[T], names ...string) {
	for _, name := range names {
		m, ok := from.Get(name)
		if !ok {
			panic("vocab: the template engine lacks method " + name)
		}
		to[name] = m
	}
}

func guardMethods[T any](j *jinja, set map[string]exec.Method[T]) *exec.MethodSet[T] {
	for name, m := range set {
		set[name] = func(self T, v *exec.Value, params *exec.VarArgs) (any, error) {
			if err := j.admit(v, params, name == "replace"); err != nil {
				return nil, err
			}
			out, err := m(self, v, params)
			if err != nil {
				return nil, err
			}
			return out, j.check(exec.AsValue(out))
		}
	}
	return exec.NewMethodSet(set)
}

// stripMethod is one of Python's strip methods: white space, or the characters
// of the argument.
func stripMethod(space func(string, func(rune) bool) string, chars func(string, string) string) exec.Method[string] {
	return func(self string, _ *exec.Value, params *exec.VarArgs) (any, error) {
		if len(params.Args) == 0 {
			return space(self, unicode.IsSpace), nil
		}
		return chars(self, params.Args[0].String()), nil
	}
}

// splitMethod is Python's split(sep, maxsplit).
func splitMethod(self string, _ *exec.Value, params *exec.VarArgs) (any, error) {
	most := -1
	if len(params.Args) > 1 && params.Args[1].Integer() >= 0 {
		most = params.Args[1].Integer() + 1
	}
	if len(params.Args) == 0 || params.Args[0].IsNil() {
		return strings.Fields(self), nil
	}
	sep := params.Args[0].String()
	if sep == "" {
		return nil, errors.New("split: empty separator")
	}
	return strings.SplitN(self, sep, most), nil
}

// replaceMethod is Python's replace(old, new, count).
func replaceMethod(self string, _ *exec.Value, params *exec.VarArgs) (any, error) {
	if len(params.Args) < 2 {
		return nil, errors.New("replace: two arguments are needed")
	}
	n := -1
	if len(params.Args) > 2 {
		n = params.Args[2].Integer()
	}
	return strings.Replace(self, params.Args[0].String(), params.Args[1].String(), n), nil
}

// functions are the global names beside the chat itself.
func (j *jinja) functions() *exec.Context {
	ctx := exec.EmptyContext()
	for _, name := range []string{"namespace", "dict"} {
		f, ok := builtins.GlobalFunctions.Get(name)
		if !ok {
			panic("vocab: the template engine lacks function " + name)
		}
		ctx.Set(name, f)
	}
	ctx.Set("raise_exception", func(_ *exec.Evaluator, params *exec.VarArgs) *exec.Value {
		return exec.AsValue(fmt.Errorf("the template says: %s", params.First().String()))
	})
	ctx.Set("strftime_now", func(_ *exec.Evaluator, params *exec.VarArgs) *exec.Value {
		return exec.AsValue(strftime(params.First().String(), time.Now()))
	})
	ctx.Set("range", func(_ *exec.Evaluator, params *exec.VarArgs) *exec.Value {
		list, err := intRange(params.Args)
		if err != nil {
			return exec.AsValue(err)
		}
		return exec.AsValue(list)
	})
	return ctx
}

// intRange is Python's range([start,] stop[, step]) as a list.
func intRange(args []*exec.Value) ([]int, error) {
	a := [3]int{0, 0, 1}
	for i, v := range args {
		if i >= len(a) || !v.IsInteger() {
			return nil, errors.New("range takes one to three integers")
		}
		a[i] = v.Integer()
	}
	switch {
	case len(args) == 0 || a[2] == 0:
		return nil, errors.New("range takes one to three integers, the last not 0")
	case len(args) == 1:
		a[0], a[1] = 0, a[0]
	}
	list := []int{}
	for i := a[0]; a[2] > 0 && i < a[1] || a[2] < 0 && i > a[1]; i += a[2] {
		if len(list) == maxRange {
			return nil, fmt.Errorf("a range of more than %d elements", maxRange)
		}
		list = append(list, i)
	}
	return list, nil
}

// strftime formats as C does, for the directives that templates use.
func strftime(format string, t time.Time) string {
	layouts := map[byte]string{
		'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'A': "Monday", 'a': "Mon",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'j': "002",
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] == '%' && i+1 < len(format) {
			i++
			if layout, ok := layouts[format[i]]; ok {
				b.WriteString(t.Format(layout))
				continue
			}
			if format[i] != '%' {
				b.WriteByte('%')
			}
		}
		b.WriteByte(format[i])
	}
	return b.String()
}

// toJSON writes JSON without the escapes that are meant for HTML.
func toJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	v := in.ToGoSimpleType(false)
	if err, ok := v.(error); ok {
		return exec.AsValue(err)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if indent, ok := params.KwArgs["indent"]; ok {
		enc.SetIndent("", strings.Repeat(" ", min(max(indent.Integer(), 0), 8)))
	}
	if err := enc.Encode(v); err != nil {
		return exec.AsValue(err)
	}
	return exec.AsValue(strings.TrimSuffix(b.String(), "\n"))
}
