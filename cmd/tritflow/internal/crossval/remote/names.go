package remote

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"tritflow/gguf/vocab"
)

// names finds the ids of tokens that a server writes as texts.
type names struct {
	v         *vocab.Vocab
	exact     map[string][]int32 // by the bytes of a token, and by its name in the file
	lossy     map[string][]int32 // by what is left of incomplete UTF-8 in JSON
	ambiguous map[string]int     // texts of several tokens that were left out, and how often
	unknown   map[string]int     // texts of none
	uncertain int                // positions whose likeliest token was left out
}

func newNames(v *vocab.Vocab) *names {
	return &names{v: v, ambiguous: map[string]int{}, unknown: map[string]int{}}
}

// index is made when the first text comes: servers that give ids need none.
func (n *names) index() {
	if n.exact != nil {
		return
	}
	n.exact, n.lossy = map[string][]int32{}, map[string][]int32{}
	add := func(m map[string][]int32, key string, id int32) {
		if key != "" && !slices.Contains(m[key], id) {
			m[key] = append(m[key], id)
		}
	}
	for id := range int32(n.v.Size()) {
		piece := string(n.v.Piece(id, true))
		add(n.exact, piece, id)
		if !utf8.ValidString(piece) {
			add(n.lossy, strings.ToValidUTF8(piece, "\ufffd"), id)
			add(n.lossy, replaceEach(piece), id)
			add(n.lossy, strings.ToValidUTF8(piece, ""), id)
		}
	}
	for id := range int32(n.v.Size()) {
		// "Ġthe": some servers write the file's names. Where that is another token's text, that one is meant.
		if name := n.v.Text(id); len(n.exact[name]) == 0 {
			add(n.lossy, name, id)
		}
	}
}

// replaceEach writes U+FFFD for every byte that is not UTF-8.
func replaceEach(s string) string { return string([]rune(s)) }

// of finds all ids that a text may stand for. A token of text is preferred to a
// token of one byte, which says the same where there is no other.
func (n *names) of(text string) []int32 {
	if id, ok := placeholder(text); ok {
		return []int32{id}
	}
	if raw, ok := strings.CutPrefix(text, "bytes:"); ok {
		if s, err := strconv.Unquote(`"` + raw + `"`); err == nil {
			text = s
		}
	}
	n.index()
	all := n.exact[text]
	if len(all) == 0 {
		all = n.lossy[text]
	}
	if len(all) > 1 {
		words := slices.DeleteFunc(slices.Clone(all), func(id int32) bool { t := n.v.Type(id); return t == vocab.Byte || t == vocab.Unused })
		if len(words) == 1 {
			return words
		}
	}
	return all
}

// placeholder reads vLLM's "token_id:42".
func placeholder(text string) (int32, bool) {
	digits, ok := strings.CutPrefix(text, "token_id:")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 32)
	return int32(id), err == nil
}

// one finds the id of a text; false, and counted, where it is not certain.
func (n *names) one(text string) (int32, bool) {
	all := n.of(text)
	switch len(all) {
	case 1:
		return all[0], true
	case 0:
		n.unknown[text]++
	default:
		n.ambiguous[text]++
	}
	return 0, false
}

// entry finds the id of an entry.
func (n *names) entry(e *entry) (int32, bool) {
	if e.ID != nil {
		return *e.ID, true
	}
	s, _ := e.text()
	return n.one(s)
}

// agrees tells whether a text may be that of a token. Servers leave out control
// tokens, and keep what is not yet whole UTF-8 for the token after it.
func (n *names) agrees(e *entry, id int32) bool {
	s, raw := e.text()
	piece := string(n.v.Piece(id, true))
	if s == "" || piece != "" && strings.HasSuffix(s, piece) {
		return true
	}
	return !raw && !utf8.ValidString(piece) && (strings.HasPrefix(piece, s) || strings.Contains(s, "\ufffd"))
}

// notes says what was left out.
func (n *names) notes() []string {
	var all []string
	for _, part := range []struct {
		texts map[string]int
		what  string
	}{{n.ambiguous, "several tokens of this model"}, {n.unknown, "no token of this model, or one that is written as no text"}} {
		times, first := 0, ""
		for text, k := range part.texts {
			times += k
			if first == "" || text < first {
				first = text
			}
		}
		if times > 0 {
			all = append(all, fmt.Sprintf("the server names tokens by their text: %d of those that it lists (%d texts, such as %q) may be %s; they are left out and count among the remainder",
				times, len(part.texts), first, part.what))
		}
	}
	if n.uncertain > 0 {
		all = append(all, fmt.Sprintf("at %d positions it is not certain which token the server has first; they are left out", n.uncertain))
	}
	return all
}

// pairs is an object of texts and numbers, in order and with repeated names,
// which a map would lose.
type pairs []pair

type pair struct {
	text    string
	logProb float64
}

func (p *pairs) UnmarshalJSON(data []byte) error {
	*p = nil
	d := json.NewDecoder(strings.NewReader(string(data)))
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("top_logprobs has %v where an object is expected", t)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var x float64
		if err := d.Decode(&x); err != nil {
			return err
		}
		*p = append(*p, pair{key.(string), x})
	}
	return nil
}

// row makes a row of a list; texts that occur twice stand for nothing certain.
func (n *names) row(position int, p pairs) Row {
	r, lost := Row{Position: position}, math.Inf(-1)
	for _, e := range p {
		twice := 0
		for _, o := range p {
			if o.text == e.text {
				twice++
			}
		}
		if twice > 1 {
			n.ambiguous[e.text]++
			lost = math.Max(lost, e.logProb)
		} else if id, ok := n.one(e.text); ok {
			r.add(id, e.logProb)
		} else {
			lost = math.Max(lost, e.logProb)
		}
	}
	return n.certain(r, lost)
}

// certain empties a row of which a token was left out that is at least as likely
// as the rest: nobody could say which one is the likeliest.
func (n *names) certain(r Row, lost float64) Row {
	if len(r.IDs) > 0 && slices.Max(r.LogProbs) > lost {
		return r
	}
	n.uncertain++
	return Row{Position: r.Position}
}
