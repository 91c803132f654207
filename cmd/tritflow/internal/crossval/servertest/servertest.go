// Package servertest has servers for tests of what asks servers: they compute
// their answers with an engine, and write them as llama.cpp and vLLM do.
package servertest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"tritflow/cmd/tritflow/internal/compare"
	"tritflow/gguf/vocab"
	"tritflow/quantkern"
	"tritflow/stages"
)

// Server computes answers with an engine. The zero value of each flag is the
// newest form that servers have.
type Server struct {
	*stages.Engine
	Fail func(error) // is told what should not happen; nil: nothing is said

	Old bool // llama.cpp before December 2024: no ids, probabilities

	NoIDs, NoEcho, NoNames bool // an OpenAI-compatible server that refuses these
	Few                    bool // and more than 5 log-probabilities
	Content                bool // the lists in the form of the chat interface

	Shift func(position int, id int32, logProb float64) float64 // lies about a log-probability
	Draw  func(position int, id int32) int32                    // lies about a token
	Vocab int                                                   // size that it tells; 0 = none
	Split func(ids []int32) []int32                             // its tokenizer gives other ids
}

// said is a token with its log-probability.
type said struct {
	id      int32
	logProb float64
}

// generate continues a prompt, and lists the likeliest tokens after every
// position: lists[i] after ids[i].
func (f *Server) generate(r *http.Request, prompt []int32, n, top int) (answer []int32, lists [][]said) {
	s, err := f.Submit(r.Context(), stages.Request{Tokens: prompt, MaxTokens: n})
	if err != nil {
		f.fail(err)
		return nil, nil
	}
	for tok, err := range s.Tokens() {
		if err != nil {
			f.fail(err)
			return nil, nil
		}
		id := tok.ID
		if f.Draw != nil {
			id = f.Draw(len(prompt)-1+len(answer), id)
		}
		answer = append(answer, id)
	}
	all := slices.Concat(prompt, answer)
	for row, err := range f.Logits(r.Context(), all, false) {
		if err != nil {
			f.fail(err)
			return nil, nil
		}
		ids, logits := quantkern.TopK(row, top, nil, nil)
		sum := compare.LogSum(row)
		var list []said
		for i, id := range ids {
			p := float64(logits[i]) - sum
			if f.Shift != nil {
				p = f.Shift(len(lists), id, p)
			}
			list = append(list, said{id, p})
		}
		lists = append(lists, list)
	}
	return answer, lists
}

func (f *Server) fail(err error) {
	if f.Fail != nil {
		f.Fail(err)
	}
}

func (f *Server) text(id int32) string { return string(f.Engine.Vocab().Piece(id, true)) }

// valid is a text as llama.cpp writes it: without what is not yet UTF-8.
func (f *Server) valid(id int32) string { return strings.ToValidUTF8(f.text(id), "") }

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

type object = map[string]any

// entry writes a token as llama.cpp does.
func (f *Server) entry(x said) object {
	bytes := []int{}
	for _, b := range []byte(f.text(x.id)) {
		bytes = append(bytes, int(b))
	}
	return object{"id": x.id, "token": f.valid(x.id), "bytes": bytes, "logprob": x.logProb}
}

func (f *Server) entries(list []said) (all []object) {
	for _, x := range list {
		all = append(all, f.entry(x))
	}
	return all
}

// Llama serves llama.cpp's own interface. The caller closes it.
func (f *Server) Llama() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /props", func(w http.ResponseWriter, _ *http.Request) {
		write(w, object{"default_generation_settings": object{"n_ctx": 4096}, "model_path": "/models/fake.gguf", "build_info": "b1-fake"})
	})
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		m := object{"id": "fake.gguf", "meta": nil}
		if f.Vocab > 0 {
			m["meta"] = object{"n_vocab": f.Vocab}
		}
		write(w, object{"data": []any{m}})
	})
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Content string `json:"content"`
			Special bool   `json:"add_special"`
		}
		_ = json.NewDecoder(r.Body).Decode(&q)
		ids := f.Engine.Vocab().Encode(q.Content, vocab.EncodeOptions{AddSpecial: q.Special, ParseSpecial: true})
		if f.Split != nil {
			ids = f.Split(ids)
		}
		write(w, object{"tokens": ids})
	})
	mux.HandleFunc("POST /completion", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Prompt      []int32 `json:"prompt"`
			N           int     `json:"n_predict"`
			Probs       int     `json:"n_probs"`
			Temperature float64 `json:"temperature"`
			Cache       *bool   `json:"cache_prompt"`
			Tokens      bool    `json:"return_tokens"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Temperature > 0 || q.Cache == nil || *q.Cache || !q.Tokens {
			refuse(w, 400, object{"error": object{"code": 400, "message": fmt.Sprintf("not a greedy request of ids: %+v %v", q, err)}})
			return
		}
		answer, lists := f.generate(r, q.Prompt, q.N, q.Probs)
		out := object{"content": f.Engine.Vocab().Decode(answer, true), "tokens": answer, "truncated": false, "stop": true,
			"timings": object{"prompt_n": len(q.Prompt), "prompt_ms": 10, "predicted_n": len(answer), "predicted_ms": 20}}
		var rows []object
		for i, list := range lists[len(q.Prompt)-1:] {
			if i == q.N {
				break
			}
			id := list[0].id // the last is the end, which is not among the tokens
			if i < len(answer) {
				id = answer[i]
			}
			if !f.Old {
				row := f.entry(said{id, list[0].logProb})
				row["top_logprobs"] = f.entries(list)
				rows = append(rows, row)
				continue
			}
			var probs []object
			for k, x := range list {
				p := math.Exp(x.logProb)
				if q.Temperature == 0 {
					p = 0
					if k == 0 {
						p = 1
					}
				}
				probs = append(probs, object{"tok_str": f.valid(x.id), "prob": p})
			}
			content := f.valid(id)
			if i == len(answer) {
				content = ""
			}
			rows = append(rows, object{"content": content, "probs": probs})
		}
		if f.Old {
			delete(out, "tokens")
		}
		out["completion_probabilities"] = rows
		write(w, out)
	})
	return httptest.NewServer(mux)
}

// OpenAI serves /v1/completions as vLLM does, or with less. The caller closes it.
func (f *Server) OpenAI() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		write(w, object{"object": "list", "data": []any{object{"id": "fake", "object": "model"}}})
	})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Model    string          `json:"model"`
			Prompt   json.RawMessage `json:"prompt"`
			N        int             `json:"max_tokens"`
			Top      int             `json:"logprobs"`
			Echo     bool            `json:"echo"`
			Names    *bool           `json:"return_tokens_as_token_ids"`
			Tempered *float64        `json:"temperature"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Tempered == nil || *q.Tempered != 0 || q.Model != "fake" {
			refuse(w, 400, object{"error": object{"message": fmt.Sprintf("not a greedy request: %+v %v", q, err)}})
			return
		}
		var ids []int32
		if json.Unmarshal(q.Prompt, &ids) != nil {
			var text string
			_ = json.Unmarshal(q.Prompt, &text)
			ids = f.Engine.Vocab().Encode(text, vocab.EncodeOptions{AddSpecial: true, ParseSpecial: true})
		} else if f.NoIDs {
			refuse(w, 422, object{"detail": []any{object{"loc": []any{"body", "prompt", "str"}, "msg": "Input should be a valid string"}}})
			return
		}
		switch {
		case f.NoNames && q.Names != nil:
			refuse(w, 400, object{"error": object{"message": "Unrecognized request argument supplied: return_tokens_as_token_ids"}})
			return
		case f.NoEcho && q.Echo:
			refuse(w, 400, object{"error": object{"code": 400, "message": "Only no echo is supported", "type": "invalid_request_error"}})
			return
		case f.Few && q.Top > 5:
			refuse(w, 400, object{"error": "logprobs must be 5 or less"})
			return
		}
		answer, lists := f.generate(r, ids, q.N, q.Top)
		write(w, object{"object": "text_completion", "choices": []any{object{
			"index": 0, "text": f.Engine.Vocab().Decode(answer, true), "logprobs": f.logprobs(ids, answer, lists, q.Echo, q.Names != nil),
		}}, "usage": object{"prompt_tokens": len(ids), "completion_tokens": len(answer)}})
	})
	return httptest.NewServer(mux)
}

func (f *Server) logprobs(ids, answer []int32, lists [][]said, echo, names bool) object {
	if f.Content {
		var rows []object
		for i, id := range answer {
			row := f.entry(said{id, lists[len(ids)-1+i][0].logProb})
			row["top_logprobs"] = f.entries(lists[len(ids)-1+i])
			rows = append(rows, row)
		}
		return object{"content": rows}
	}
	name := func(id int32) string {
		if names {
			return fmt.Sprintf("token_id:%d", id)
		}
		return strings.ToValidUTF8(f.text(id), "\ufffd")
	}
	var tokens []string
	var chosen, top []any
	all := slices.Concat(ids, answer)
	for i, id := range all {
		if i < len(ids) && !echo {
			continue
		}
		tokens = append(tokens, name(id))
		if i == 0 {
			chosen, top = append(chosen, nil), append(top, nil)
			continue
		}
		of := json.RawMessage("{")
		p := math.Inf(-1)
		for k, x := range lists[i-1] {
			key, _ := json.Marshal(name(x.id))
			if k > 0 {
				of = append(of, ',')
			}
			of = append(of, fmt.Sprintf("%s:%v", key, x.logProb)...)
			if x.id == id {
				p = x.logProb
			}
		}
		top = append(top, append(of, '}'))
		if math.IsInf(p, -1) {
			chosen = append(chosen, nil) // not listed: left open
		} else {
			chosen = append(chosen, p)
		}
	}
	return object{"tokens": tokens, "token_logprobs": chosen, "top_logprobs": top}
}
