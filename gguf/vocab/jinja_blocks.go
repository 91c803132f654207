package vocab

import (
	"errors"
	"fmt"
	"strings"

	structures "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// blocks are the {% %} statements that chat templates use. Those that read
// files or call back (include, import, extends, call …) are left out.
func (j *jinja) blocks() *exec.ControlStructureSet {
	set := map[string]parser.ControlStructureParser{
		"set":        j.parseSet,
		"generation": j.parseGeneration,
	}
	for _, name := range []string{"for", "if", "macro", "raw", "break", "continue"} {
		parse, ok := structures.All.Get(name)
		if !ok {
			panic("vocab: the template engine lacks " + name)
		}
		set[name] = func(p, args *parser.Parser) (nodes.ControlStructure, error) {
			cs, err := parse(p, args)
			if err != nil {
				return nil, err
			}
			return j.guardBlock(cs)
		}
	}
	return exec.NewControlStructureSet(set)
}

// guardBlock puts guards into the parts of a statement.
func (j *jinja) guardBlock(cs nodes.ControlStructure) (nodes.ControlStructure, error) {
	switch s := cs.(type) {
	case *structures.ForControlStructure:
		if s.Recursive {
			return nil, errors.New("recursive loops are not supported")
		}
		s.ObjectEvaluator, s.IfCondition = guard(s.ObjectEvaluator), guard(s.IfCondition)
		j.guardWrapper(s.BodyWrapper)
		j.guardWrapper(s.EmptyWrapper)
	case *structures.IfControlStructure:
		for i := range s.Conditions {
			s.Conditions[i] = guard(s.Conditions[i])
		}
		for _, w := range s.Wrappers {
			j.guardWrapper(w)
		}
	case *structures.MacroControlStructure:
		for _, p := range s.Kwargs {
			p.Value = guard(p.Value)
		}
		j.guardWrapper(s.Wrapper)
		return &macroBlock{s, j}, nil
	}
	return cs, nil
}

// macroBlock defines a macro whose calls are counted.
type macroBlock struct {
	*structures.MacroControlStructure
	j *jinja
}

func (m *macroBlock) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	macro, err := exec.MacroNodeToFunc(m.Macro, r)
	if err != nil {
		return err
	}
	r.Environment.Context.Set(m.Name, exec.Macro(func(params *exec.VarArgs) *exec.Value {
		m.j.calls++
		defer func() { m.j.calls-- }()
		if m.j.calls > maxCalls && m.j.err == nil {
			m.j.err = fmt.Errorf("macros nested more than %d deep", maxCalls)
		}
		if err := m.j.checkArgs(params); err != nil {
			return exec.AsValue(err)
		}
		out := macro(params)
		if err := m.j.check(out); err != nil {
			return exec.AsValue(err)
		}
		return out
	}))
	return nil
}

// setBlock is {% set x = value %}, {% set ns.x = value %} or
// {% set x %}…{% endset %}. The engine's own cannot be guarded.
type setBlock struct {
	at                       *tokens.Token
	target                   nodes.Expression
	value, cond, alternative nodes.Expression
	body                     *nodes.Wrapper
	j                        *jinja
}

func (s *setBlock) Position() *tokens.Token { return s.at }
func (s *setBlock) String() string          { return "set" }

func (j *jinja) parseSet(p, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &setBlock{at: p.Current(), j: j}
	target, err := args.ParseVariableOrLiteral()
	if err != nil {
		return nil, err
	}
	switch target.(type) {
	case *nodes.Name, *nodes.GetAttribute:
		s.target = target
	default:
		return nil, args.Error("set needs a name or an attribute", args.Current())
	}
	if args.Match(tokens.Assign) == nil {
		w, end, err := p.WrapUntil("endset")
		if err != nil {
			return nil, err
		}
		if !args.End() || !end.End() {
			return nil, args.Error("set needs a value", args.Current())
		}
		j.guardWrapper(w)
		s.body = w
		return s, nil
	}
	value, err := args.ParseExpression()
	if err != nil {
		return nil, err
	}
	cond, alternative, err := args.ParseCondition()
	if err != nil {
		return nil, err
	}
	if !args.End() {
		return nil, args.Error("set is followed by something else", args.Current())
	}
	s.value, s.cond, s.alternative = guard(value), guard(cond), guard(alternative)
	return s, nil
}

// Execute assigns.
func (s *setBlock) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	value, err := s.evaluate(r)
	if err != nil {
		return err
	}
	switch t := s.target.(type) {
	case *nodes.Name:
		r.Environment.Context.Set(t.Name.Val, value.Interface())
	case *nodes.GetAttribute:
		owner := r.Eval(t.Node)
		if owner.IsError() {
			return owner
		}
		if err := owner.Set(exec.AsValue(t.Attribute), value.Interface()); err != nil {
			return err
		}
		return s.j.check(owner) // it may contain itself now
	}
	return nil
}

func (s *setBlock) evaluate(r *exec.Renderer) (*exec.Value, error) {
	if s.body != nil {
		var out strings.Builder
		sub := r.Inherit()
		sub.Output = &out
		if err := sub.ExecuteWrapper(s.body); err != nil {
			return nil, err
		}
		return exec.AsValue(out.String()), nil
	}
	expr := s.value
	if s.cond != nil {
		c := r.Eval(s.cond)
		switch {
		case c.IsError():
			return nil, c
		case !c.IsTrue() && s.alternative == nil:
			return exec.AsValue(nil), nil
		case !c.IsTrue():
			expr = s.alternative
		}
	}
	v := r.Eval(expr)
	if v.IsError() {
		return nil, v
	}
	return v, nil
}

// generationBlock is {% generation %}…{% endgeneration %}, which marks what
// was trained on and prints its body.
type generationBlock struct{ body *nodes.Wrapper }

func (g *generationBlock) Position() *tokens.Token { return g.body.Position() }
func (g *generationBlock) String() string          { return "generation" }

func (g *generationBlock) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteIfWrapper(g.body)
}

func (j *jinja) parseGeneration(p, _ *parser.Parser) (nodes.ControlStructure, error) {
	w, _, err := p.WrapUntil("endgeneration")
	if err != nil {
		return nil, err
	}
	j.guardWrapper(w)
	return &generationBlock{w}, nil
}
