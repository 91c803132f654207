"""The model as GGUF, and back: architecture bitnet-b1.58, I2_S matrices (layout A), embedding in f16, norms in f32."""

import json
import struct

import numpy as np

from .model import MATRICES, NORMS, Config

_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_F32, _TENSOR_F16, _TENSOR_I2S = 0, 1, 36
_ALIGN = 32

TEMPLATE = ("{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}Assistant: {{ m['content'] }}<|eot_id|>"
            "{% else %}User: {{ m['content'] }}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}")

_NAMES = dict(q="attn_q", k="attn_k", v="attn_v", o="attn_output", gate="ffn_gate", up="ffn_up", down="ffn_down")


def _text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


_VALUE = {
    int: lambda v: struct.pack("<II", _U32, v),
    float: lambda v: struct.pack("<If", _F32, v),
    bool: lambda v: struct.pack("<IB", _BOOL, v),
    str: lambda v: struct.pack("<I", _STRING) + _text(v),
}


def _value(v):
    if isinstance(v, list):
        if isinstance(v[0], str):
            return struct.pack("<IIQ", _ARRAY, _STRING, len(v)) + b"".join(map(_text, v))
        return struct.pack("<IIQ", _ARRAY, _I32, len(v)) + np.array(v, "<i4").tobytes()
    return _VALUE[type(v)](v)


def _metadata(c, tokenizer):
    vocab, added = tokenizer["model"]["vocab"], {x["id"]: x["content"] for x in tokenizer["added_tokens"]}
    tokens = [None] * c.vocab
    for text, i in vocab.items():
        tokens[i] = text
    for i, text in added.items():
        tokens[i] = text
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    a = "bitnet-b1.58."
    return {
        "general.architecture": "bitnet-b1.58", "general.name": "tritflow mini", "general.license": "apache-2.0",
        a + "vocab_size": c.vocab, a + "context_length": c.context, a + "embedding_length": c.width, a + "block_count": c.blocks,
        a + "feed_forward_length": c.ffn, a + "rope.dimension_count": c.head, a + "attention.head_count": c.heads,
        a + "attention.head_count_kv": c.kv_heads, a + "attention.layer_norm_rms_epsilon": float(c.eps), a + "rope.freq_base": float(c.theta),
        "general.file_type": 40, "general.quantization_version": 2,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if i in added else 1 for i in range(c.vocab)], "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 1, "tokenizer.ggml.eot_token_id": 2,
        "tokenizer.ggml.add_bos_token": True, "tokenizer.chat_template": TEMPLATE,
    }


def pack_i2s(codes, scale):
    """Codes -1, 0, +1 [rows, columns]: in groups of 128, byte i holds values i, 32+i, 64+i, 96+i from its highest bits down;
    the scale follows all codes, in 32 bytes."""
    c = (codes + 1).astype(np.uint8).reshape(-1, 4, 32)
    return (c[:, 0] << 6 | c[:, 1] << 4 | c[:, 2] << 2 | c[:, 3]).tobytes() + struct.pack("<f", scale) + bytes(28)


def _tensors(model):
    c, numpy = model.c, lambda t: t.cpu().numpy()
    yield "token_embd.weight", (c.width, c.vocab), _TENSOR_F16, numpy(model.rest["emb"]).astype("<f2").tobytes()
    for i in range(c.blocks):
        for short in MATRICES:
            codes = numpy(model.codes[f"blocks.{i}.{short}"]).astype(np.int8)
            yield f"blk.{i}.{_NAMES[short]}.weight", codes.shape[::-1], _TENSOR_I2S, pack_i2s(codes, model.scales[f"blocks.{i}.{short}"])
        for name in NORMS:
            w = numpy(model.rest[f"blocks.{i}.{name}"]).astype("<f4")
            yield f"blk.{i}.{name}.weight", w.shape, _TENSOR_F32, w.tobytes()
    w = numpy(model.rest["norm"]).astype("<f4")
    yield "output_norm.weight", w.shape, _TENSOR_F32, w.tobytes()


def write(path, model, tokenizer_path):
    """model is a Quantized."""
    with open(tokenizer_path) as f:
        metadata = _metadata(model.c, json.load(f))
    tensors = list(_tensors(model))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_text(k) + _value(v) for k, v in metadata.items())
    offset = 0
    for name, dims, kind, data in tensors:
        head += _text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) + struct.pack("<IQ", kind, offset)
        offset += -(-len(data) // _ALIGN) * _ALIGN
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % _ALIGN))
        for _, _, _, data in tensors:
            f.write(data + bytes(-len(data) % _ALIGN))


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            kind, n = self.take("IQ")
            return [self.value(kind) for _ in range(n)]
        return self.take({_U32: "I", _I32: "i", _F32: "f", _BOOL: "?"}[kind])


def read(path):
    """(Config, codes, scales, other tensors) of a file that write made; names are those of the network."""
    with open(path, "rb") as f:
        r = _Reader(f.read())
    magic, version = r.take("4sI")
    count, keys = r.take("QQ")
    if magic != b"GGUF" or version != 3:
        raise SystemExit(f"{path} is not a GGUF file of version 3")
    md = {}
    for _ in range(keys):
        key = r.text()
        md[key] = r.value(r.take("I"))
    infos = []
    for _ in range(count):
        name = r.text()
        dims = [r.take("Q") for _ in range(r.take("I"))]
        infos.append((name, dims, *r.take("IQ")))
    start = -(-r.at // _ALIGN) * _ALIGN
    a = "bitnet-b1.58."
    config = Config(md[a + "vocab_size"], md[a + "embedding_length"], md[a + "block_count"], md[a + "attention.head_count"],
                    md[a + "attention.head_count_kv"], md[a + "rope.dimension_count"], md[a + "feed_forward_length"],
                    md[a + "rope.freq_base"], round(md[a + "attention.layer_norm_rms_epsilon"], 10), md[a + "context_length"])
    ours = {v: k for k, v in _NAMES.items()}
    codes, scales, rest = {}, {}, {}
    for name, dims, kind, offset in infos:
        parts = name.removesuffix(".weight").split(".")
        ours_name = {"token_embd": "emb", "output_norm": "norm"}.get(parts[0]) or f"blocks.{parts[1]}.{ours.get(parts[2], parts[2])}"
        n, shape, at = int(np.prod(dims)), dims[::-1], start + offset
        if kind == _TENSOR_I2S:
            b = np.frombuffer(r.data, np.uint8, n // 4, at).reshape(-1, 1, 32)
            c = (b >> np.array([6, 4, 2, 0], np.uint8).reshape(1, 4, 1)) & 3
            codes[ours_name] = c.astype(np.int8).reshape(shape) - 1
            scales[ours_name] = struct.unpack_from("<f", r.data, at + n // 4)[0]
        else:
            dtype = "<f2" if kind == _TENSOR_F16 else "<f4"
            rest[ours_name] = np.frombuffer(r.data, dtype, n, at).astype(np.float32).reshape(shape)
    return config, codes, scales, rest
