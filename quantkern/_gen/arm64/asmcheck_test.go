package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

var wordLine = regexp.MustCompile(`(?m)^\tWORD \$0x([0-9a-f]{8}) // (.+)$`)

// words returns the distinct machine words of the generated assembly.
func words(t *testing.T) (is []instr) {
	t.Helper()
	asm, _ := generate("neon")
	seen := map[uint32]string{}
	for _, m := range wordLine.FindAllStringSubmatch(asm, -1) {
		bits, err := strconv.ParseUint(m[1], 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		w := instr{uint32(bits), m[2]}
		if text, ok := seen[w.bits]; !ok {
			seen[w.bits] = w.text
			is = append(is, w)
		} else if text != w.text {
			t.Errorf("0x%08x is called both %q and %q", w.bits, text, w.text)
		}
	}
	if n := strings.Count(asm, "WORD"); n == 0 || n != len(wordLine.FindAllString(asm, -1)) {
		t.Fatalf("%d lines name WORD, not all in the form that is checked", n)
	}
	return is
}

// TestDecoder compares the words with what Go's decoder makes of them; it
// does not know the dot product, which only TestObjdump checks.
func TestDecoder(t *testing.T) {
	checked := 0
	for _, w := range words(t) {
		in, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, w.bits))
		switch got := strings.ReplaceAll(arm64asm.GNUSyntax(in), "\t", " "); {
		case err == nil && got != w.text:
			t.Errorf("0x%08x is %q, commented %q", w.bits, got, w.text)
		case err == nil:
			checked++
		case !strings.HasPrefix(w.text, "sdot "):
			t.Errorf("0x%08x, commented %q: %v", w.bits, w.text, err)
		}
	}
	t.Logf("%d words checked", checked)
}

// TestObjdump compares every word with what binutils make of it.
func TestObjdump(t *testing.T) {
	var tool string
	for _, name := range []string{"aarch64-linux-gnu-objdump", "objdump"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if help, err := exec.Command(path, "--help").Output(); err == nil && strings.Contains(string(help), "aarch64") {
			tool = path
			break
		}
	}
	if tool == "" {
		t.Skip("no objdump that knows aarch64: install the aarch64 binutils to check all machine words")
	}
	is := words(t)
	var code []byte
	for _, w := range is {
		code = binary.LittleEndian.AppendUint32(code, w.bits)
	}
	path := filepath.Join(t.TempDir(), "words.bin")
	if err := os.WriteFile(path, code, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-D", "-z", "-b", "binary", "-m", "aarch64", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^ *([0-9a-f]+):\t([0-9a-f]{8}) \t(.+)$`)
	found := line.FindAllStringSubmatch(string(out), -1)
	if len(found) != len(is) {
		t.Fatalf("%d lines of disassembly for %d words", len(found), len(is))
	}
	for i, m := range found {
		if m[2] != fmt.Sprintf("%08x", is[i].bits) {
			t.Fatalf("line %d is of the word %s, want %08x", i, m[2], is[i].bits)
		}
		if got := strings.ReplaceAll(m[3], "\t", " "); got != is[i].text {
			t.Errorf("0x%08x is %q, commented %q", is[i].bits, got, is[i].text)
		}
	}
	t.Logf("%d words checked", len(is))
}

// TestRegisters looks for registers that kernels must leave alone.
func TestRegisters(t *testing.T) {
	asm, _ := generate("neon")
	if m := regexp.MustCompile(`\b(R(1[678]|2[789]|3[01])|g|RSP)\b`).FindString(asm); m != "" {
		t.Errorf("the kernels use %s", m)
	}
}
