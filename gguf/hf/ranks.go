package hf

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// looksLikeRanks tells a list of ranks (lines of base64 and a number) from a
// protocol buffer, whose first byte is no letter of base64.
func looksLikeRanks(raw []byte) bool {
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	code, rank, found := bytes.Cut(line, []byte(" "))
	_, err := base64.StdEncoding.DecodeString(string(code))
	_, err2 := strconv.Atoi(strings.TrimSpace(string(rank)))
	return found && err == nil && err2 == nil
}

// llama3Words is how many tokens the vocabulary of Llama 3 has before its 256
// special ones.
const llama3Words = 128000

// maxWord bounds the bytes of a token: finding the two that it is merged from
// takes the square of them. Llama 3's longest has 128.
const maxWord = 4096

// readRanks reads a tokenizer.model of tiktoken's form, which only Llama 3's
// vocabulary is known to come in. Merges are not in it: each token is what two
// earlier ones make, and which two is found by merging its bytes by rank.
func readRanks(path string, raw []byte, pre string) (*tokens, error) {
	t := &tokens{file: path, model: "gpt2", pre: pre}
	ranks := map[string]int{}
	var words []string
	for line := range bytes.Lines(raw) {
		code, rank, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if code == "" {
			continue
		}
		word, err := base64.StdEncoding.DecodeString(code)
		n, err2 := strconv.Atoi(rank)
		if err != nil || err2 != nil || n != len(words) {
			return nil, &Error{File: path, Reason: fmt.Sprintf("line %d is not the token of rank %d", len(words)+1, len(words))}
		}
		if len(word) > maxWord {
			return nil, &Error{File: path, Reason: fmt.Sprintf("the token of rank %d has %d bytes, at most %d are possible; fetch the file again", n, len(word), maxWord)}
		}
		ranks[string(word)] = n
		words = append(words, string(word))
	}
	if len(words) != llama3Words && pre == "" {
		return nil, &Error{File: path, Reason: fmt.Sprintf("a list of %d ranks is no known vocabulary; convert a folder that has tokenizer.json, or name the pre-tokenizer (--pre)", len(words))}
	}
	if pre == "" {
		t.pre = "llama-bpe"
	}
	for n, word := range words {
		t.texts = append(t.texts, byteText(word))
		t.types = append(t.types, normal)
		if left, right, ok := halves(word, n, ranks); ok {
			t.merges = append(t.merges, byteText(left)+" "+byteText(right))
		}
	}
	if len(words) == llama3Words {
		for i := range 256 {
			t.texts = append(t.texts, llama3Special(i))
			t.types = append(t.types, control)
		}
		yes := true
		t.addBOS = &yes
	}
	return t, nil
}

// halves finds the two tokens that a token of more than one byte is merged from.
func halves(word string, rank int, ranks map[string]int) (left, right string, ok bool) {
	if len(word) < 2 {
		return "", "", false
	}
	parts := make([]string, len(word))
	for i := range parts {
		parts[i] = word[i : i+1]
	}
	for len(parts) > 2 {
		best, at := rank, -1
		for i := range len(parts) - 1 {
			if r, ok := ranks[parts[i]+parts[i+1]]; ok && r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			return "", "", false // no merges make it; it is only ever a whole word
		}
		parts[at] += parts[at+1]
		parts = append(parts[:at+1], parts[at+2:]...)
	}
	return parts[0], parts[1], true
}

// byteText writes bytes in the characters of byte-level vocabularies: printable
// Latin-1 for itself, the other bytes from U+0100 on.
func byteText(word string) string {
	var b strings.Builder
	for i := range len(word) {
		b.WriteRune(byteRunes[word[i]])
	}
	return b.String()
}

var byteRunes = func() (runes [256]rune) {
	next := rune(0x100)
	for i := range runes {
		if i >= 0x21 && i <= 0x7e || i >= 0xa1 && i <= 0xac || i >= 0xae {
			runes[i] = rune(i)
			continue
		}
		runes[i] = next
		next++
	}
	return runes
}()

// llama3Special is the text of the i-th special token.
func llama3Special(i int) string {
	named := map[int]string{0: "<|begin_of_text|>", 1: "<|end_of_text|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>", 9: "<|eot_id|>"}
	switch {
	case named[i] != "":
		return named[i]
	case i < 6:
		return fmt.Sprintf("<|reserved_special_token_%d|>", i-2)
	case i == 8:
		return "<|reserved_special_token_4|>"
	}
	return fmt.Sprintf("<|reserved_special_token_%d|>", i-5)
}
