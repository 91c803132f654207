package check

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// blockOf is N of "blk.N.…".
func blockOf(name string) (int, bool) {
	parts := strings.SplitN(name, ".", 3)
	if len(parts) < 3 || parts[0] != "blk" {
		return 0, false
	}
	n, err := strconv.Atoi(parts[1])
	return n, err == nil && n >= 0 && n < 1<<20
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

var hfBlock = regexp.MustCompile(`^(?:model\.)?layers\.(\d+)\.(.+)$`)

// hfNames are the names of Hugging Face checkpoints inside a block and at the
// top, without ".weight", and those of GGUF (formats.md 9.1).
var hfNames = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
	"self_attn.attn_sub_norm": "attn_sub_norm", "self_attn.inner_attn_ln": "attn_sub_norm",
	"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
	"mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
	"mlp.ffn_sub_norm": "ffn_sub_norm", "mlp.ffn_layernorm": "ffn_sub_norm",
}

var hfTop = map[string]string{
	"model.embed_tokens": "token_embd", "embed_tokens": "token_embd", "model.norm": "output_norm", "norm": "output_norm", "lm_head": "output",
}

// ggufName translates a checkpoint's tensor name; false where it is none.
func ggufName(name string) (string, bool) {
	base, suffix := name, ""
	for _, s := range []string{".weight", ".bias"} {
		if b, ok := strings.CutSuffix(name, s); ok {
			base, suffix = b, s
		}
	}
	if top, ok := hfTop[base]; ok {
		return top + suffix, true
	}
	m := hfBlock.FindStringSubmatch(base)
	if m == nil {
		return "", false
	}
	in, ok := hfNames[m[2]]
	return "blk." + m[1] + "." + in + suffix, ok
}
