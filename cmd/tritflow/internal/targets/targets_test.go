package targets

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShipped(t *testing.T) {
	for _, name := range Shipped {
		s, err := Read(name)
		if err != nil || s.Name != name || len(s.Targets) < 7 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJudge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.json")
	text := `{"name":"mine","about":"","targets":[
		{"metric":"cpu.decode_tok_s","min":5},
		{"metric":"cpu.prefill_512_tok_s","min":100,"max":200},
		{"metric":"peak_rss_bytes","max":8e9},
		{"metric":"gpu.decode_tok_s","min":15},
		{"metric":"load_ms","max":1,"least_weights":1e9}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		decode, prefill, rss float64
		pass                 [3]bool
	}{
		{5, 150, 8e9, [3]bool{true, true, true}},
		{4.9, 99, 8.1e9, [3]bool{}},
		{100, 201, 1, [3]bool{true, false, true}},
	} {
		v, pass := s.Judge(Figures{Weights: 1e6, Values: map[string]float64{
			"cpu.decode_tok_s": c.decode, "cpu.prefill_512_tok_s": c.prefill, "peak_rss_bytes": c.rss, "gpu.decode_tok_s": math.NaN(), "load_ms": 7,
		}})
		want := true
		for i, p := range c.pass {
			want = want && p
			if v[i].Pass != p || v[i].Value == nil || v[i].Skipped != "" {
				t.Errorf("%v: %+v", c, v[i])
			}
		}
		if pass != want || v[3].Skipped == "" || v[3].Value != nil || !strings.Contains(v[4].Skipped, "1000 MB") {
			t.Errorf("%v: pass %v, %+v", c, pass, v)
		}
	}
}

func TestRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.json")
	for text, reason := range map[string]string{
		`{`:                            "EOF",
		`{"targets":[]}`:               "no targets",
		`{"targets":[]} {}`:            "more behind its end",
		`{"speed":5}`:                  "speed",
		`{"targets":[{"metric":"x"}]}`: `"x" is not measured`,
		`{"targets":[{"metric":"cpu.batch_x_tok_s","min":1}]}`:      "not measured",
		`{"targets":[{"metric":"cpu.batch_4_tok_ss","min":1}]}`:     "not measured",
		`{"targets":[{"metric":"load_ms"}]}`:                        "neither min nor max",
		`{"targets":[{"metric":"load_ms","max":1,"most":"often"}]}`: "most",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var fe *FileError
		if _, err := Read(path); !errors.As(err, &fe) || !strings.Contains(fe.Reason, reason) {
			t.Errorf("%s: %v", text, err)
		}
	}
	var fe *FileError
	if _, err := Read("missing.json"); !errors.As(err, &fe) || !strings.Contains(fe.Reason, "seed, tritflow") {
		t.Error(err)
	}
}
