// Package hf reads model folders as the Hugging Face libraries write them:
// weights in safetensors files, one or several, config.json, and a tokenizer.
//
//	folder ─ Open ─┬─ Tensors: name, type, shape, file ─ At ─▶ bytes of a tensor, read when asked for
//	               ├─ Config: config.json
//	               └─ Tokenizer: tokenizer.json │ tokenizer.model ─▶ the keys tokenizer.* of a GGUF file
//
// Nothing is mapped and no tensor is kept, so that memory does not depend on
// the size of the weights. Files are not trusted: every length and offset is
// checked against the file before it is used. What is wrong or not supported is
// an *Error that names file and tensor or field.
package hf
