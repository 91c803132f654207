// Package vocab turns text into token ids and back with the vocabulary that a
// GGUF file carries, and chats into prompts with its chat template.
//
//	messages ─▶ Template.Render ─▶ []Segment ─┐
//	                                          ▼
//	text ───────────────────────▶ partition at special tokens
//	                                 │ fragments           │ ids of special tokens
//	                                 ▼                     │
//	             gpt2: pre-tokenizer (list of splitters)   │
//	                   words ─▶ byte-level BPE             │
//	             llama: U+2581 for spaces ─▶ SPM merges    │
//	                                 ▼                     ▼
//	                                ids ◀──────────────────┘
//	                                 │
//	       Decode (whole sequence) ◀─┴─▶ Piece, Stream (token by token)
//
// Two kinds of tokenizers exist in ternary model files: byte-level BPE
// ("gpt2", Radford et al. 2019, the tokenizer of Llama 3 and BitNet b1.58
// 2B-4T) and SentencePiece BPE ("llama", Kudo and Richardson 2018). Both merge
// adjacent symbols by priority and share one merging engine. Everything else is
// refused by name.
//
// Pre-tokenizers are data (pretokenizers.json, read out of llama.cpp): a name
// selects a list of regular expressions that cut the text in turn. The common
// ones run through a hand-written scanner, the others through a backtracking
// engine under a time limit.
//
// A Vocab is immutable after Load and safe for concurrent use; a Stream belongs
// to one goroutine. The package starts no goroutines.
package vocab
