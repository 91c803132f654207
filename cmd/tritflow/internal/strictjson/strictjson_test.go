package strictjson

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		` {"name": "x", "list": [1]} ` + "\r\n": "",
		`{"name": "x"} {"name": "y"}`:           "more behind its end",
		`{"name": "x"} y`:                       "more behind its end",
		`{"nam": "x"}`:                          `unknown field "nam"`,
		`{"name": 3}`:                           "name cannot be a JSON number",
		`{"list": ["x"]}`:                       "list cannot be a JSON string",
		`[3]`:                                   "it cannot be a JSON array",
		"{\"name\": \"\xff\"}":                  "not valid UTF-8",
		" \n":                                   "it is empty",
		`{"name": `:                             "unexpected EOF",
	} {
		var v struct {
			Name string `json:"name"`
			List []int  `json:"list"`
		}
		err := Decode([]byte(text), &v)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
