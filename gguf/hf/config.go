package hf

import (
	"encoding/json"
	"fmt"
	"os"
)

// Config is what is used of config.json. A pointer is nil where the field is
// missing or null.
type Config struct {
	File string `json:"-"`

	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	Name          string   `json:"_name_or_path"`

	Hidden   int     `json:"hidden_size"`
	FFN      int     `json:"intermediate_size"`
	Blocks   int     `json:"num_hidden_layers"`
	Heads    int     `json:"num_attention_heads"`
	KVHeads  int     `json:"num_key_value_heads"`
	HeadDim  int     `json:"head_dim"`
	Vocab    int     `json:"vocab_size"`
	Context  int     `json:"max_position_embeddings"`
	Eps      float64 `json:"rms_norm_eps"`
	RopeBase float64 `json:"rope_theta"`
	Tied     *bool   `json:"tie_word_embeddings"`
	Act      string  `json:"hidden_act"`

	RopeScaling    *RopeScaling `json:"rope_scaling"`
	RopeParameters *RopeScaling `json:"rope_parameters"` // the same in newer files, with the base in it
	Partial        *float64     `json:"partial_rotary_factor"`
	Window         *int         `json:"sliding_window"`
	UseWindow      *bool        `json:"use_sliding_window"`

	Quantization *Quantization `json:"quantization_config"`

	BOS, EOS, Pad IDs `json:"-"`
}

// RopeScaling says how positions are stretched.
type RopeScaling struct {
	Type     string   `json:"rope_type"`
	OldType  string   `json:"type"`
	Base     float64  `json:"rope_theta"`
	Factor   float64  `json:"factor"`
	Low      float64  `json:"low_freq_factor"`
	High     float64  `json:"high_freq_factor"`
	Original int      `json:"original_max_position_embeddings"`
	Fast     *float64 `json:"beta_fast"`
	Slow     *float64 `json:"beta_slow"`
	Attn     *float64 `json:"attention_factor"`
}

// Kind is the name of the scaling, "default" where there is none.
func (r *RopeScaling) Kind() string {
	switch {
	case r == nil:
		return "default"
	case r.Type != "":
		return r.Type
	case r.OldType != "":
		return r.OldType
	}
	return "default"
}

// Quantization is what is used of quantization_config.
type Quantization struct {
	Method      string `json:"quant_method"`
	LinearClass string `json:"linear_class"`
	Mode        string `json:"quantization_mode"`
	RMSNorm     bool   `json:"use_rms_norm"`
}

// IDs is one token or a list of them, as files write either.
type IDs []int

// UnmarshalJSON reads a number, a list of numbers, or null.
func (i *IDs) UnmarshalJSON(raw []byte) error {
	var one int
	if string(raw) == "null" {
		return nil
	}
	if json.Unmarshal(raw, &one) == nil {
		*i = IDs{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]int)(i))
}

func readConfig(path string) (*Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{File: path, Err: err}
	}
	c := &Config{File: path}
	var ids struct {
		BOS IDs `json:"bos_token_id"`
		EOS IDs `json:"eos_token_id"`
		Pad IDs `json:"pad_token_id"`
	}
	for _, to := range []any{c, &ids} {
		if err := json.Unmarshal(raw, to); err != nil {
			return nil, &Error{File: path, Reason: "it cannot be read", Err: err}
		}
	}
	c.BOS, c.EOS, c.Pad = ids.BOS, ids.EOS, ids.Pad
	if c.RopeParameters != nil {
		c.RopeScaling = c.RopeParameters
		if c.RopeParameters.Base > 0 {
			c.RopeBase = c.RopeParameters.Base
		}
	}
	const most = 1 << 30 // the product of two still fits 64 bits
	for _, n := range []struct {
		field string
		value int
	}{
		{"hidden_size", c.Hidden}, {"intermediate_size", c.FFN}, {"num_hidden_layers", c.Blocks},
		{"num_attention_heads", c.Heads}, {"vocab_size", c.Vocab}, {"max_position_embeddings", c.Context},
	} {
		if n.value < 1 || n.value > most {
			return nil, c.Fault(n.field, fmt.Sprintf("%d: it must be a number from 1 up", n.value))
		}
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 {
		if c.Hidden%c.Heads != 0 {
			return nil, c.Fault("num_attention_heads", fmt.Sprintf("%d heads do not divide hidden_size %d, and there is no head_dim", c.Heads, c.Hidden))
		}
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.KVHeads < 1 || c.Heads%c.KVHeads != 0 {
		return nil, c.Fault("num_key_value_heads", fmt.Sprintf("%d does not divide the %d heads", c.KVHeads, c.Heads))
	}
	if c.HeadDim < 2 || c.HeadDim%2 != 0 || c.HeadDim > most/c.Heads {
		return nil, c.Fault("head_dim", fmt.Sprintf("%d is no width of a head, whose elements turn in pairs", c.HeadDim))
	}
	if !(c.Eps > 0 && c.Eps < 1) {
		return nil, c.Fault("rms_norm_eps", fmt.Sprintf("%v: it must be above 0 and below 1", c.Eps))
	}
	if c.RopeBase == 0 {
		c.RopeBase = 10000 // what the libraries assume
	}
	return c, nil
}

// Fault is an error about a field.
func (c *Config) Fault(field, reason string) error {
	return &Error{File: c.File, Field: field, Reason: reason}
}
