package vocab

import (
	"fmt"
	"reflect"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
)

// Names of the filters that the guards put into a template; no template can
// write them.
const (
	filterCheck = "\x00check" // pays for the value that passes through
	filterPass  = "\x00pass"  // pays for a pass through static text, prints nothing
)

// weigh is a value's size in bytes, counting 16 for every element; it stops
// where the limit is passed or the nesting is too deep (a value that contains
// itself).
func (j *jinja) weigh(v *exec.Value) (int, error) {
	left := j.limit
	var walk func(v reflect.Value, depth int) error
	walk = func(v reflect.Value, depth int) error {
		if left -= 16; left < 0 {
			return fmt.Errorf("a value of more than %d bytes", j.limit)
		}
		if depth > 4*maxNesting { // an element is wrapped up to four times
			return fmt.Errorf("values nested more than %d deep", maxNesting)
		}
		if !v.IsValid() {
			return nil
		}
		if v.Type() == reflect.TypeFor[*exec.Value]() && !v.IsNil() && v.CanInterface() {
			return walk(v.Interface().(*exec.Value).Val, depth+1)
		}
		switch v.Kind() {
		case reflect.String:
			left -= v.Len()
		case reflect.Interface, reflect.Pointer:
			return walk(v.Elem(), depth+1)
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				if err := walk(v.Index(i), depth+1); err != nil {
					return err
				}
			}
		case reflect.Map:
			for it := v.MapRange(); it.Next(); {
				if err := walk(it.Key(), depth+1); err != nil {
					return err
				}
				if err := walk(it.Value(), depth+1); err != nil {
					return err
				}
			}
		case reflect.Struct:
			if t := v.Type(); t == reflect.TypeFor[exec.Dict]() || t == reflect.TypeFor[exec.Pair]() {
				for i := range v.NumField() {
					if err := walk(v.Field(i), depth+1); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	if v == nil {
		return 0, nil
	}
	err := walk(v.Val, 0)
	return j.limit - left, err
}

// check pays for values.
func (j *jinja) check(vs ...*exec.Value) error {
	for _, v := range vs {
		n, err := j.weigh(v)
		if err != nil && j.err == nil {
			j.err = err
		}
		if err := j.spend(n); err != nil {
			return err
		}
	}
	return nil
}

// checkArgs pays for the arguments of a call.
func (j *jinja) checkArgs(params *exec.VarArgs) error {
	if err := j.check(params.Args...); err != nil {
		return err
	}
	for _, v := range params.KwArgs {
		if err := j.check(v); err != nil {
			return err
		}
	}
	return nil
}

// guard has the value of an expression checked whenever it is computed.
func guard(e nodes.Expression) nodes.Expression {
	if e == nil {
		return nil
	}
	return &nodes.FilteredExpression{Expression: e, Filters: []*nodes.FilterCall{{Name: filterCheck}}}
}

// guardNodes guards the outputs among nodes and pays for each pass through
// them.
func (j *jinja) guardNodes(list []nodes.Node) []nodes.Node {
	static := 0
	for _, n := range list {
		switch n := n.(type) {
		case *nodes.Output:
			n.Expression, n.Condition, n.Alternative = guard(n.Expression), guard(n.Condition), guard(n.Alternative)
		case *nodes.Data:
			static += len(n.Data.Val)
		}
	}
	if len(list) == 0 {
		return list
	}
	at := list[0].Position()
	pass := &nodes.Output{Start: at, Expression: &nodes.FilteredExpression{
		Expression: &nodes.Integer{Location: at, Val: static},
		Filters:    []*nodes.FilterCall{{Name: filterPass}},
	}}
	return append([]nodes.Node{pass}, list...)
}

func (j *jinja) guardWrapper(w *nodes.Wrapper) {
	if w != nil {
		w.Nodes = j.guardNodes(w.Nodes)
	}
}
