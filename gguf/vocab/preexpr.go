package vocab

import (
	"slices"
	"strings"
)

// preferred are the names to take first where several mean the same.
var preferred = []string{"llama-bpe", "qwen2", "gpt-2", "smollm", "falcon", "starcoder"}

// PreByExpressions finds the name of the pre-tokenizer that cuts by these
// regular expressions in turn, as tokenizer.json files write them. Of several
// names one is taken whose vocabulary ignores merges for whole words as asked.
func PreByExpressions(exprs []string, ignoreMerges bool) (string, bool) {
	want := make([]string, len(exprs))
	for i, e := range exprs {
		want[i] = plainExpression(e)
	}
	t := loadPreTable()
	names := slices.Concat(preferred, PreTokenizers())
	for _, strict := range []bool{true, false} {
		for _, name := range names {
			n, ok := t.Names[name]
			if !ok || strict && n.IgnoreMerges != ignoreMerges {
				continue
			}
			typ := t.Types[n.Type]
			if typ.Custom || typ.Plain || len(typ.Splitters) != len(want) {
				continue
			}
			same := true
			for i, k := range typ.Splitters {
				same = same && plainExpression(t.Splitters[k]) == want[i]
			}
			if same {
				return name, true
			}
		}
	}
	return "", false
}

// plainExpression writes what is the same in one way: contractions in either
// case, and spaces at the end of a text, which a splitter cuts off without being told.
func plainExpression(e string) string {
	e = strings.ReplaceAll(e, `(?i:'s|'t|'re|'ve|'m|'ll|'d)`, `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`)
	if strings.HasSuffix(e, `|\s+(?!\S)|\s+`) {
		e = strings.TrimSuffix(e, `|\s+`)
	}
	return e
}
