"""A second forward pass, in numpy and from the file alone, that shares no arithmetic with the first: sums in float64, integers
as integers, keys and values rounded to f16 as an engine keeps them. What the two agree on is not one program's mistake."""

import numpy as np

from . import export


def _rms(x, w, eps):
    return x / np.sqrt(np.mean(x.astype(np.float64) ** 2, -1, keepdims=True) + eps) * w


def _rope(x, theta):
    """x [tokens, heads, head]: pairs (i, i + head/2) turned by position times frequency."""
    half = x.shape[-1] // 2
    angle = np.arange(len(x))[:, None, None] * theta ** (-np.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate((a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)), -1)


class Second:
    def __init__(self, path):
        self.c, self.codes, self.scales, self.rest = export.read(path)
        self.codes = {k: v.astype(np.int64) for k, v in self.codes.items()}

    def _linear(self, x, name):
        most = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-5)
        q = np.clip(np.rint(x * (127 / most)), -128, 127).astype(np.int64)
        return (q @ self.codes[name].T) * (most / 127 * self.scales[name])

    def logits(self, ids):
        """[tokens, vocab]"""
        c, n, half = self.c, len(ids), lambda x: x.astype(np.float16).astype(np.float64)
        x = self.rest["emb"][ids].astype(np.float64)
        before = np.tril(np.ones((n, n), bool))
        for i in range(c.blocks):
            p = f"blocks.{i}."
            h = _rms(x, self.rest[p + "attn_norm"], c.eps)
            q = _rope(self._linear(h, p + "q").reshape(n, c.heads, c.head), c.theta)
            k = half(_rope(self._linear(h, p + "k").reshape(n, c.kv_heads, c.head), c.theta))
            v = half(self._linear(h, p + "v").reshape(n, c.kv_heads, c.head))
            out = np.empty_like(q)
            for head in range(c.heads):
                kv = head * c.kv_heads // c.heads
                s = np.where(before, q[:, head] @ k[:, kv].T / np.sqrt(c.head), -np.inf)
                w = np.exp(s - s.max(-1, keepdims=True))
                out[:, head] = w / w.sum(-1, keepdims=True) @ v[:, kv]
            x = x + self._linear(_rms(out.reshape(n, -1), self.rest[p + "attn_sub_norm"], c.eps), p + "o")
            h = _rms(x, self.rest[p + "ffn_norm"], c.eps)
            f = np.maximum(self._linear(h, p + "gate"), 0) ** 2 * self._linear(h, p + "up")
            x = x + self._linear(_rms(f, self.rest[p + "ffn_sub_norm"], c.eps), p + "down")
        return _rms(x, self.rest["norm"], c.eps) @ self.rest["emb"].T.astype(np.float64)
