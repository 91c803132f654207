#!/usr/bin/env python3
"""Tiny models with random ternary weights, and what they answer.

    python3 ternary.py      # needs numpy; writes beside itself

For each model below: tiny-NAME.gguf, and in tiny-NAME.json prompts with the logits of every position, or for models
that pool the vector before it is normalized. The forward pass is written from the formulas (formats.md 5 and 6), shares
nothing with the program, and is not fast. Activations are quantized to int8 a row before every ternary product; a value
that lies on a rounding boundary may therefore fall to the other side in another implementation, which moves a result by
a few percent. The prompts are short, so that this is rare.
"""

import json
import math
import os
import struct

import numpy as np

F32, F16, I2S = 0, 1, 36
HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(20261125)


# --- GGUF -----------------------------------------------------------------------------------------------------------

def string(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(v):
    if isinstance(v, bool):
        return 7, struct.pack("<?", v)
    if isinstance(v, int):
        return 4, struct.pack("<I", v)
    if isinstance(v, float):
        return 6, struct.pack("<f", v)
    if isinstance(v, str):
        return 8, string(v)
    kind = value(v[0])[0]
    if kind == 4:  # lists of integers are token types
        return 9, struct.pack("<IQ", 5, len(v)) + struct.pack(f"<{len(v)}i", *v)
    return 9, struct.pack("<IQ", kind, len(v)) + b"".join(value(x)[1] for x in v)


def write(path, meta, tensors):
    head, data = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(meta))], b""
    for k, v in meta.items():
        kind, raw = value(v)
        head += [string(k), struct.pack("<I", kind), raw]
    for name, (kind, shape, raw) in tensors.items():
        head += [string(name), struct.pack("<I", len(shape)), struct.pack(f"<{len(shape)}Q", *reversed(shape)),
                 struct.pack("<IQ", kind, len(data))]
        data += raw + bytes(-len(raw) % 32)
    head = b"".join(head)
    with open(path, "wb") as f:
        f.write(head + bytes(-len(head) % 32) + data)


def i2s(trits, scale):
    """Layout A: bytes of 128 values, the first 32 in the top bits; the scale and 28 zeros at the end."""
    codes = (trits + 1).astype(np.uint8).reshape(-1, 4, 32)
    packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    return packed.tobytes() + struct.pack("<f", scale) + bytes(28)


# --- vocabularies ---------------------------------------------------------------------------------------------------

def byte_level(vocab, pre, add_eos):
    """A token for every byte, ids as bytes are numbered; then fillers; the end token is the last."""
    chars, extra = [], 0
    for b in range(256):
        if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE:
            chars.append(chr(b))
        else:
            chars.append(chr(256 + extra))
            extra += 1
    tokens = chars + [f"<filler_{i}>" for i in range(256, vocab - 1)] + ["<|end|>"]
    return {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * (vocab - 1) + [3], "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": vocab - 1, "tokenizer.ggml.add_bos_token": False, "tokenizer.ggml.add_eos_token": add_eos,
    }


def pieces(vocab, add_eos):
    """SentencePiece: unknown, begin, end, the bytes, then characters that are never merged."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["▁"] + [chr(97 + i) for i in range(26)]
    types = [2, 3, 3] + [6] * 256 + [1] * 27
    tokens += [f"<filler_{i}>" for i in range(len(tokens), vocab)]
    types += [1] * (vocab - len(types))
    return {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": [-float(i) for i in range(vocab)],
        "tokenizer.ggml.token_type": types, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.add_bos_token": not add_eos, "tokenizer.ggml.add_eos_token": add_eos,
        "tokenizer.ggml.add_space_prefix": False,
    }


# --- models ---------------------------------------------------------------------------------------------------------

class Model:
    def __init__(self, name, arch, heads, kv, hd, base, eps, rope, act, **more):
        self.name, self.arch, self.heads, self.kv, self.hd = name, arch, heads, kv, hd
        self.base, self.eps, self.rope, self.act = base, eps, rope, act
        self.hidden, self.ffn, self.blocks, self.vocab = 128, 256, 2, 320
        for k in ("sub_norms", "norms_in", "head_norms", "post_norms", "widen", "own_head", "factors", "scales"):
            setattr(self, k, more.get(k, False))
        self.pool, self.tokenizer = more.get("pool", 0), more["tokenizer"]
        self.t, self.file = {}, {}
        q, k, o = heads * hd, kv * hd, heads * hd
        self.table("token_embd")
        if self.own_head:
            self.table("output")
        if self.factors:
            self.vector("rope_freqs", np.linspace(1, 8, hd // 2), F32)
        for b in range(self.blocks):
            at = f"blk.{b}."
            self.norm(at + "attn_norm", self.hidden)
            self.norm(at + "ffn_norm", self.hidden)
            for part, rows, cols in (("attn_q", q, self.hidden), ("attn_k", k, self.hidden), ("attn_v", k, self.hidden),
                                     ("attn_output", self.hidden, o), ("ffn_gate", self.ffn, self.hidden),
                                     ("ffn_up", self.ffn, self.hidden), ("ffn_down", self.hidden, self.ffn)):
                self.matrix(at + part, rows, cols)
                if self.norms_in:
                    self.norm(at + part + "_norm_in", cols, F16)
            if self.sub_norms:
                self.norm(at + "attn_sub_norm", o)
                self.norm(at + "ffn_sub_norm", self.ffn)
            if self.head_norms:
                self.norm(at + "attn_q_norm", hd, F16)
                self.norm(at + "attn_k_norm", hd, F16)
            if self.post_norms:
                self.norm(at + "post_attention_norm", self.hidden, F16)
                self.norm(at + "post_ffw_norm", self.hidden, F16)
        self.norm("output_norm", self.hidden)

    def vector(self, name, v, kind=F32):
        v = v.astype("<f2" if kind == F16 else "<f4")
        self.file[name + ".weight"] = (kind, v.shape, v.tobytes())
        self.t[name] = v.astype(np.float32)

    def norm(self, name, n, kind=F32):
        self.vector(name, rng.normal(1, 0.2, n), kind)

    def table(self, name):
        self.vector(name, rng.normal(0, 0.6 if name == "token_embd" else 0.15, (self.vocab, self.hidden)), F16)

    def matrix(self, name, rows, cols):
        trits = rng.choice([-1, 0, 1], (rows, cols), p=[0.3, 0.4, 0.3]).astype(np.int8)
        scale = np.float32(rng.uniform(0.7, 1.3) / math.sqrt(0.6 * cols))
        stored = np.float32(1) if self.scales else scale
        self.file[name + ".weight"] = (I2S, trits.shape, i2s(trits, stored))
        if self.scales:  # the scale beside the matrix
            self.file[name + ".scale"] = (F32, (1,), struct.pack("<f", scale))
        self.t[name] = (trits.astype(np.int64), scale)

    def meta(self):
        a = self.arch
        m = {
            "general.architecture": a, "general.name": f"tiny {self.name}", "general.file_type": 40,
            f"{a}.vocab_size": self.vocab, f"{a}.context_length": 256, f"{a}.embedding_length": self.hidden,
            f"{a}.block_count": self.blocks, f"{a}.feed_forward_length": self.ffn, f"{a}.attention.head_count": self.heads,
            f"{a}.attention.head_count_kv": self.kv, f"{a}.rope.dimension_count": self.hd, f"{a}.rope.freq_base": float(self.base),
            f"{a}.attention.layer_norm_rms_epsilon": self.eps,
        }
        if self.hd * self.heads != self.hidden:
            m[f"{a}.attention.key_length"] = m[f"{a}.attention.value_length"] = self.hd
        if self.pool:
            m[f"{a}.pooling_type"] = self.pool
        return m | self.tokenizer

    # The forward pass. x is [positions, width].

    def rms(self, x, name):
        mean = (x.astype(np.float64) ** 2).mean(-1, keepdims=True).astype(np.float32)
        return x * (np.float32(1) / np.sqrt(mean + np.float32(self.eps))) * self.t[name]

    def product(self, x, name):
        if self.norms_in:
            x = self.rms(x, name + "_norm_in")
        trits, scale = self.t[name]
        s = (127 / np.maximum(1e-5, np.abs(x).max(-1, keepdims=True).astype(np.float64))).astype(np.float32)
        q = np.clip(np.rint(x * s), -128, 127).astype(np.int64)
        return ((q @ trits.T).astype(np.float32) / s) * scale

    def rotate(self, x):
        n, _, half = x.shape[0], x.shape[1], self.hd // 2
        theta = np.arange(n)[:, None] * self.base ** (-2.0 * np.arange(half) / self.hd)
        if self.factors:
            theta = theta / self.t["rope_freqs"]
        c, s = np.cos(theta).astype(np.float32)[:, None], np.sin(theta).astype(np.float32)[:, None]
        y = np.empty_like(x)
        if self.rope == "neox":
            a, b = x[..., :half], x[..., half:]
            y[..., :half], y[..., half:] = a * c - b * s, a * s + b * c
        else:
            a, b = x[..., 0::2], x[..., 1::2]
            y[..., 0::2], y[..., 1::2] = a * c - b * s, a * s + b * c
        return y

    def attention(self, x, at):
        n = len(x)
        q = self.product(x, at + "attn_q").reshape(n, self.heads, self.hd)
        k = self.product(x, at + "attn_k").reshape(n, self.kv, self.hd)
        v = self.product(x, at + "attn_v").reshape(n, self.kv, self.hd)
        if self.head_norms:
            q, k = self.rms(q, at + "attn_q_norm"), self.rms(k, at + "attn_k_norm")
        q, k = self.rotate(q), self.rotate(k)
        out = np.empty((n, self.heads, self.hd), np.float32)
        for h in range(self.heads):
            g = h // (self.heads // self.kv)
            scores = q[:, h] @ k[:, g].T / math.sqrt(self.hd)
            scores[np.triu_indices(n, 1)] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, h] = (p / p.sum(-1, keepdims=True)) @ v[:, g]
        y = out.reshape(n, -1)
        if self.sub_norms:
            y = self.rms(y, at + "attn_sub_norm")
        return self.product(y, at + "attn_output")

    def feed_forward(self, x, at):
        g, u = self.product(x, at + "ffn_gate"), self.product(x, at + "ffn_up")
        if self.act == "silu":
            g = g / (1 + np.exp(-g))
        else:
            g = 0.5 * g * (1 + np.tanh(math.sqrt(2 / math.pi) * (g + 0.044715 * g ** 3)))
        y = (g * u).astype(np.float32)
        if self.sub_norms:
            y = self.rms(y, at + "ffn_sub_norm")
        return self.product(y, at + "ffn_down")

    def final(self, ids):
        x = self.t["token_embd"][ids]
        if self.widen:
            x = x * np.float32(math.sqrt(self.hidden))
        for b in range(self.blocks):
            at = f"blk.{b}."
            y = self.attention(self.rms(x, at + "attn_norm"), at)
            x = x + (self.rms(y, at + "post_attention_norm") if self.post_norms else y)
            y = self.feed_forward(self.rms(x, at + "ffn_norm"), at)
            x = x + (self.rms(y, at + "post_ffw_norm") if self.post_norms else y)
        return self.rms(x, "output_norm")

    def answer(self, ids):
        y = self.final(ids)
        if self.pool == 1:
            return y.mean(0, keepdims=True)
        if self.pool == 3:
            return y[-1:]
        return y @ self.t["output" if self.own_head else "token_embd"].T


MODELS = [
    # BitNet-embedding 0.6B and 270M in small (6.5); the first again with the mean of all positions.
    Model("qwen3-embedding", "qwen3", 4, 2, 64, 1e6, 1e-6, "neox", "silu", head_norms=True, norms_in=True, pool=3,
          tokenizer=byte_level(320, "qwen2", True)),
    Model("qwen3-mean", "qwen3", 4, 2, 64, 1e6, 1e-6, "neox", "silu", head_norms=True, norms_in=True, pool=1,
          tokenizer=byte_level(320, "qwen2", True)),
    Model("gemma3-embedding", "gemma3", 4, 1, 64, 1e4, 1e-6, "neox", "gelu", head_norms=True, norms_in=True, post_norms=True,
          widen=True, pool=3, tokenizer=pieces(320, True)),
    # Llama3-8B-1.58 and Falcon3 in small (6.4): an own head, interleaved pairs, divided angles, heads wider than usual.
    Model("llama-ternary", "llama", 4, 2, 64, 500000, 1e-6, "normal", "silu", own_head=True, factors=True,
          tokenizer=byte_level(320, "falcon3", False)),
    # Ternary-Bonsai in small: qwen3 without pooling.
    Model("qwen3-ternary", "qwen3", 4, 2, 64, 1e6, 1e-6, "neox", "silu", head_norms=True, tokenizer=byte_level(320, "qwen2", False)),
    # bitnet_b1_58-large and -3B of 1bitLLM in small (6.2), once with the scales beside the matrices.
    Model("bitnet-ternary", "bitnet", 4, 4, 32, 10000, 1e-5, "neox", "silu", sub_norms=True, tokenizer=pieces(320, False)),
    Model("bitnet-scales", "bitnet", 4, 4, 32, 10000, 1e-5, "neox", "silu", sub_norms=True, scales=True, tokenizer=pieces(320, False)),
]

TEXTS = ["ternary", "Minus one, zero, one.", "naïve café", "a b  c"]


def main():
    for m in MODELS:
        write(os.path.join(HERE, f"tiny-{m.name}.gguf"), m.meta(), m.file)
        items = []
        if m.pool:
            for text in TEXTS:
                raw = list(text.encode())
                if m.arch == "gemma3":  # bytes that are no letters or spaces are byte tokens
                    ids = [259 if b == 32 else 260 + b - 97 if 97 <= b <= 122 else 3 + b for b in raw] + [2]
                else:
                    ids = raw + [m.vocab - 1]
                items.append({"text": text, "ids": ids})
        else:
            items = [{"ids": [int(i) for i in rng.integers(0, m.vocab, n)]} for n in (1, 5, 12)]
        for it in items:
            it["answer"] = [[float(f"{v:.7g}") for v in row] for row in m.answer(it["ids"])]
        with open(os.path.join(HERE, f"tiny-{m.name}.json"), "w") as f:
            json.dump({"model": f"tiny-{m.name}.gguf", "items": items}, f, separators=(",", ":"), ensure_ascii=False)
            f.write("\n")


main()
