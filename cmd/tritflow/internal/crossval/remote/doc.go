// Package remote asks a model server for greedy tokens and top log-probabilities.
//
//	prompt ids ─▶ Client ─▶ dialect ─▶ HTTP ─▶ JSON ─▶ dialect ─▶ Answer (ids, log-probabilities by position)
//	                        llama.cpp: /completion, /tokenize, /props
//	                        openai:    /v1/completions, /v1/models
//
// What a server is, it is asked. Tokens that come as texts become ids through
// the vocabulary of the model that is compared; what is not certain is left out
// and counted. Answers are read up to a bound and checked before they are used.
package remote
