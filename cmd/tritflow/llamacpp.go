package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// Names that llama.cpp's programs, and vLLM, have for flags of ours.
var (
	llamaEngineNames   = map[string]string{"ctx-size": "ctx", "max-model-len": "ctx"}
	llamaSamplingNames = map[string]string{
		"predict": "tokens", "n-predict": "tokens", "max-tokens": "tokens", "temperature": "temp", "typical": "typical-p", "repeat-last-n": "penalty-last-n",
	}
	llamaChatNames  = map[string]string{"system-prompt": "system"}
	llamaBatchNames = map[string]string{"parallel": "max-inflight", "max-num-seqs": "max-inflight"}
)

// alsoNamed lets flags be given under other names too; help lists ours.
func alsoNamed(fs *pflag.FlagSet, names map[string]string) {
	before := fs.GetNormalizeFunc()
	fs.SetNormalizeFunc(func(fs *pflag.FlagSet, name string) pflag.NormalizedName {
		if ours, ok := names[name]; ok {
			name = ours
		}
		return before(fs, name)
	})
}

// llamaHints say what takes the place of flags that have no counterpart here.
// They are looked for where a command line was not understood.
var llamaHints = []struct {
	flags []string
	hint  string
}{
	{[]string{"-ngl", "--gpu-layers", "--n-gpu-layers", "-mg", "--main-gpu", "-ts", "--tensor-split", "-sm", "--split-mode"},
		"--devices says which GPUs take part, for example cuda:0,cuda:1, and --split how many blocks each has"},
	{[]string{"-cnv", "--conversation", "-i", "--interactive", "-if", "--interactive-first"}, "`tritflow chat` talks"},
	{[]string{"-no-cnv", "--no-conversation"}, "`tritflow run` continues a prompt unless --chat is given"},
	{[]string{"-sys"}, "`tritflow chat --system TEXT` sets the system message"},
	{[]string{"-ctk", "--cache-type-k", "-ctv", "--cache-type-v"}, "--kv is the type of keys and values"},
	{[]string{"--no-display-prompt", "--simple-io", "--no-perf", "--log-disable"}, "prompts are not printed, and -q leaves errors alone: leave it out"},
	{[]string{"-fa", "--flash-attn", "-b", "--batch-size", "-ub", "--ubatch-size", "-tb", "--threads-batch", "--mlock", "--no-mmap", "-e", "--escape"},
		"there is nothing to set here: leave it out"},
	{[]string{"-np", "--parallel"}, "run answers several -p at once, and batch as many requests as --max-inflight says"},
	{[]string{"--host", "--port"}, "there is no server: `tritflow batch` answers files of requests, and the package stages serves programs in Go"},
}

// llamaHint is about the first of args that is a flag of llama.cpp without a
// counterpart, and none of the command's; empty when there is none.
func llamaHint(own *pflag.FlagSet, args []string) string {
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if isFlag(own, name) {
			continue
		}
		for _, h := range llamaHints {
			for _, f := range h.flags {
				if f == name {
					return name + " is a flag of llama.cpp: " + h.hint
				}
			}
		}
	}
	return ""
}

// isFlag tells whether a command has a flag of this name, as it is typed.
func isFlag(fs *pflag.FlagSet, typed string) bool {
	if name, long := strings.CutPrefix(typed, "--"); long {
		return fs.Lookup(name) != nil
	}
	return len(typed) == 2 && fs.ShorthandLookup(typed[1:]) != nil
}
