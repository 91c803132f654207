package batch

import (
	"encoding/json"
	"strconv"
)

// Setting is something that decides what the lines of a job say.
type Setting struct{ Name, Value string }

// header is the first record of a journal.
type header struct {
	Version  int         `json:"version"`
	Settings [][2]string `json:"settings"`
}

const version = 2

func newHeader(settings []Setting) ([]byte, error) {
	h := header{Version: version}
	for _, s := range settings {
		h.Settings = append(h.Settings, [2]string{s.Name, s.Value})
	}
	return json.Marshal(h)
}

// compare refuses to go on with other settings than those of a journal.
func (j *Job) compare(text []byte) error {
	var h header
	if err := json.Unmarshal(text, &h); err != nil || h.Version != version {
		return &SettingError{Output: j.output, Name: "version", Was: "of another journal", Is: strconv.Itoa(version)}
	}
	was := map[string]string{}
	for _, s := range h.Settings {
		was[s[0]] = s[1]
	}
	for _, s := range j.settings {
		if was[s.Name] != s.Value {
			return &SettingError{Output: j.output, Name: s.Name, Was: shown(was[s.Name]), Is: shown(s.Value)}
		}
	}
	return nil
}

func shown(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}
