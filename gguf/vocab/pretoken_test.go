package vocab

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// TestMain lets no goroutine stay but the clock of the regular expressions, which ends
// by itself some time after the last search, and here at once.
func TestMain(m *testing.M) { goleak.VerifyTestMain(clocked{m}) }

type clocked struct{ tests *testing.M }

func (c clocked) Run() int {
	defer regexp2.StopTimeoutClock()
	return c.tests.Run()
}

// TestTable: every entry of the table is usable or refused as custom, keeps
// all of a text, and nothing of the table is unused.
func TestTable(t *testing.T) {
	tab := loadPreTable()
	if len(tab.Names) < 91 || len(tab.Types) < 57 {
		t.Fatalf("%d names and %d types, the published table has 91 and 57", len(tab.Names), len(tab.Types))
	}
	const text = "It's 12345 naïve—tests, 你好 мир!\n\n\tif (a<b) {x += 3.14;}  \r\n 'LL don't ½ ٣ é😀 <sentinel:7>IMGIMGABZ  "
	// Long runs must neither be lost to the engine's limits nor take quadratic
	// time (the package's tests would not end).
	var repeated []string
	for _, s := range []string{"a", "aA", " ", "1", "\n ", "'", "\u0301", " a", "/", "你", "\t"} {
		repeated = append(repeated, strings.Repeat(s, 4_000)+"x")
	}
	used := map[string]bool{}
	for name, n := range tab.Names {
		used[n.Type] = true
		rule, err := lookupPre(name)
		if tab.Types[n.Type].Custom {
			if err == nil || slices.Contains(PreTokenizers(), name) {
				t.Errorf("%s is custom and not refused", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, text := range append(repeated, text) {
			words := splitAll(rule.split, text)
			if strings.Join(words, "") != text || slices.Contains(words, "") {
				t.Errorf("%s: %.200q", name, words)
			}
		}
	}
	for typ, rule := range tab.Types {
		if !used[typ] {
			t.Errorf("type %s has no name", typ)
		}
		for _, k := range rule.Splitters {
			if _, err := regexp2.Compile(tab.Splitters[k]); err != nil && !rule.Custom {
				t.Errorf("%s: %v", typ, err)
			}
		}
	}
	for expr := range scanners {
		if !slices.Contains(tab.Splitters, expr) {
			t.Errorf("scanner for an expression that is not in the table: %s", expr)
		}
	}
}

// TestTableIsThePublishedOne compares the package's table with the one that it
// was made from.
func TestTableIsThePublishedOne(t *testing.T) {
	const path = "../../../shared/spec/pretokenizers.json"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the published table is not here (%s)", path)
	}
	var pub struct {
		Names map[string]preName
		Types map[string]struct {
			Regex      []string
			ByteEncode bool `json:"byte_encode"`
			Custom     bool
		}
	}
	readJSON(t, path, &pub)
	tab := loadPreTable()
	names := maps.Clone(tab.Names)
	delete(names, "falcon_e") // ours
	if d := cmp.Diff(pub.Names, names); d != "" {
		t.Errorf("names (-published +ours)\n%s", d)
	}
	for name, want := range pub.Types {
		got := tab.Types[name]
		var exprs []string
		for _, k := range got.Splitters {
			exprs = append(exprs, tab.Splitters[k])
		}
		if d := cmp.Diff(want.Regex, exprs); d != "" || got.Custom != want.Custom || got.Plain == want.ByteEncode {
			t.Errorf("%s: %+v, want %+v\n%s", name, got, want, d)
		}
	}
}

func splitAll(s *splitter, text string) []string {
	var words []string
	s.each(text, func(w string) { words = append(words, w) })
	return words
}

func cutAll(c cutter, text string) []string {
	var pieces []string
	c(text, func(p string) { pieces = append(pieces, p) })
	return pieces
}

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		pre, text, want string
	}{
		{"gpt-2", "I'm 'M it's  fine\n\n x", "I|'m| '|M| it|'s| | fine|\n\n| x"},
		{"gpt-2", "a  ", "a|  "},
		{"llama-bpe", "I'M 12345 ok!!\n\nnext  \n  x", "I|'M| |123|45| ok|!!\n\n|next|  \n| | x"},
		{"llama-bpe", "$abc\tdef", "$abc|\tdef"},
		{"qwen2", "1234", "1|2|3|4"},
		{"starcoder", "ab12 3", "ab|1|2| |3"},
		{"falcon", "x1234.5", "x|123|4|.|5"},
		{"falcon_e", "x12.5", "x|1|2|.|5"},
		{"default", "a-1234", "a|-|123|4"},
		// Each fragment ends the text for the next expression: the digits cut
		// out first leave "  " at an end, so it stays together.
		{"starcoder", "a  1", "a|  |1"},
		{"gpt-2", "a  1", "a| | 1"},
		// Numbers in threes from their end, but not those that a word goes on behind.
		{"tiny_aya", "1234567 12 123456", "1|234|567| |12| |123|456"},
		{"tiny_aya", "x1234 1234x", "x|1|234| |123|4|x"},
	} {
		rule, err := lookupPre(c.pre)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(splitAll(rule.split, c.text), "|"); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.pre, c.text, got, c.want)
		}
	}
}

// oracle runs the same expression in the engine.
func oracle(t testing.TB, expr string) cutter {
	t.Helper()
	c, err := regexCutter(expr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestScannersOnAllCodePoints compares scanners and engine on every code point
// in several surroundings, assigned or not.
func TestScannersOnAllCodePoints(t *testing.T) {
	var texts []string
	var b strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r == 0x20000 {
			r = 0xE0000 // ideographs and unassigned planes between: nothing new
		}
		if r == 0xE0200 {
			r = 0x10FF00
		}
		if !utf8.ValidRune(r) {
			continue
		}
		for _, s := range []string{"a", " ", " \n", "1", "'"} {
			b.WriteString(s)
			b.WriteRune(r)
		}
		b.WriteRune(r)
		if b.Len() > 1<<16 {
			texts = append(texts, b.String())
			b.Reset()
		}
	}
	texts = append(texts, b.String())
	for _, expr := range []string{exprGPT2, exprLlama3a + `\p{N}{1,3}` + exprLlama3b + exprLlama3c} {
		scan, engine := scanners[expr], oracle(t, expr)
		for _, text := range texts {
			if d := cmp.Diff(cutAll(engine, text), cutAll(scan, text)); d != "" {
				t.Fatalf("%s (-engine +scanner)\n%.2000s", expr, d)
			}
		}
	}
}

// awkward is an alphabet in which every rule of the scanners has its letters.
var awkward = []rune(" \t\n\r\u00a0\u2003\u3000'stmdrevlSTMDREVLſaZé你\u0301019½٣Ⅷ.,$+`|^_-<>😀\u0378\u0085\uFFFD\x00\u200d")

func TestScannersRandom(t *testing.T) {
	for expr, scan := range scanners {
		engine := oracle(t, expr)
		rapid.Check(t, func(t *rapid.T) {
			text := string(rapid.SliceOfN(rapid.SampledFrom(awkward), 0, 24).Draw(t, "text"))
			if d := cmp.Diff(cutAll(engine, text), cutAll(scan, text)); d != "" {
				t.Fatalf("%s on %q (-engine +scanner)\n%s", expr, text, d)
			}
		})
	}
}

// TestRegexBound: an expression that blows up costs the time limit and no text.
func TestRegexBound(t *testing.T) {
	c, err := regexCutter(`(a|aa|aaa)+(?=(a|aa)+!)x`, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	text := "b " + strings.Repeat("a", 5000)
	if got := strings.Join(cutAll(c, text), ""); got != text {
		t.Errorf("text was lost: %d of %d bytes", len(got), len(text))
	}
}

// TestLongNumber: a number is cut in a time that grows with its length, not
// with the square of it.
func TestLongNumber(t *testing.T) {
	rule, err := lookupPre("tiny_aya")
	if err != nil {
		t.Fatal(err)
	}
	quick(t, 5*time.Second, func() {
		if words := splitAll(rule.split, strings.Repeat("1", 200_000)); len(words) != 66_667 || words[0] != "11" {
			t.Errorf("%d words", len(words))
		}
	})
}

// TestLongSpaces: so are runs of spaces where the rule has powers of two for them.
func TestLongSpaces(t *testing.T) {
	const expr = exprLlama3a + `\p{N}{1,3}` + exprLlama3b + exprJais2c
	engine := oracle(t, expr)
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 511, 512, 513, 1023, 1025, 1600} {
		for _, end := range []string{"", "x", "1", "!", "\nx", "\n"} {
			text := strings.Repeat(" ", n) + end
			if d := cmp.Diff(cutAll(engine, text), cutAll(cutJais2, text)); d != "" {
				t.Errorf("%d spaces before %q (-engine +scanner)\n%s", n, end, d)
			}
		}
	}
	rule, err := lookupPre("jais-2")
	if err != nil {
		t.Fatal(err)
	}
	quick(t, 3*time.Second, func() {
		if words := splitAll(rule.split, strings.Repeat(" ", 512*2000)+"x"); len(words) != 2009 {
			t.Errorf("%d words", len(words))
		}
	})
}

// TestUnmapped: vocabularies that are not byte-mapped split into code points
// and fall back to byte tokens.
func TestUnmapped(t *testing.T) {
	var l tokenList
	for b := range 256 {
		l.add(Byte, 0, "<0x"+strings.ToUpper(string("0123456789abcdef"[b>>4])+string("0123456789abcdef"[b&15]))+">")
	}
	l.add(Normal, 0, "▁", "a", "é", "▁a")
	v := load(t, keys{keyModel: "gpt2", keyPre: "gemma4", keyTokens: l.texts, keyTypes: l.types, keyMerges: []string{"▁ a"}})
	const text = "é a b"
	ids := v.Encode(text, EncodeOptions{})
	if got := spell(v, ids); got != "é|▁a|▁|<0x62>" {
		t.Errorf("ids %s", got)
	}
	if got := v.Decode(ids, false); got != text {
		t.Errorf("came back as %q", got)
	}
}
