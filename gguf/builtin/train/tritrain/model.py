"""The network as it is trained: BitNet b1.58 blocks with ternary weights and int8 activations from the first step.

Every matrix product is one of small integers (exact in bfloat16) with scales put back afterwards; gradients go straight
through the roundings.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 1536
    width: int = 256
    blocks: int = 6
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    ffn: int = 768
    theta: float = 10000.0
    eps: float = 1e-5
    context: int = 512  # what the file promises; rows of training may be shorter

    def dict(self):
        return asdict(self)


MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
NORMS = ("attn_norm", "attn_sub_norm", "ffn_norm", "ffn_sub_norm")


def scale_of(w):
    """The one scale of a ternary matrix."""
    return w.abs().mean().clamp(min=1e-5)


def ternary(w):
    """(codes -1, 0, +1 with a straight-through gradient, scale)."""
    s = scale_of(w.detach())
    x = w / s
    return x + (x.round().clamp(-1, 1) - x).detach(), s


def int8(x):
    """(integers with a straight-through gradient, what one of them is worth) by row."""
    s = 127.0 / x.detach().abs().amax(-1, keepdim=True).clamp(min=1e-5)
    y = x * s
    return y + (y.round().clamp(-128, 127) - y).detach(), 1.0 / s


def rms(x, w, eps):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * w


def rope(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def rotations(config, positions):
    """cos and sin [positions, head/2]."""
    half = config.head // 2
    angles = torch.arange(positions).float()[:, None] * config.theta ** (-torch.arange(half).float() / half)
    return angles.cos(), angles.sin()


def linear(x, weights, low):
    """One product for several matrices that read the same rows."""
    codes, worth = int8(x)
    pairs = [ternary(w) for w in weights]
    y = F.linear(codes.to(low), torch.cat([c for c, _ in pairs]).to(low)).float() * worth
    parts = y.split([w.shape[0] for w in weights], -1)
    return [p * s for p, (_, s) in zip(parts, pairs)]


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        shapes = {"q": (c.heads * c.head, c.width), "k": (c.kv_heads * c.head, c.width), "v": (c.kv_heads * c.head, c.width),
                  "o": (c.width, c.heads * c.head), "gate": (c.ffn, c.width), "up": (c.ffn, c.width), "down": (c.width, c.ffn)}
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.randn(shape) * 0.02))
        for name, n in zip(NORMS, (c.width, c.heads * c.head, c.width, c.ffn)):
            setattr(self, name, nn.Parameter(torch.ones(n)))

    def forward(self, x, cos, sin, mask, low):
        c = self.c
        b, t, _ = x.shape
        q, k, v = linear(rms(x, self.attn_norm, c.eps), (self.q, self.k, self.v), low)
        q = rope(q.view(b, t, c.heads, c.head), cos, sin).to(low).transpose(1, 2)
        k = rope(k.view(b, t, c.kv_heads, c.head), cos, sin).to(low).transpose(1, 2)
        v = v.view(b, t, c.kv_heads, c.head).to(low).transpose(1, 2)
        group = c.heads // c.kv_heads
        a = F.scaled_dot_product_attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), attn_mask=mask)
        a = a.transpose(1, 2).reshape(b, t, c.heads * c.head).float()
        x = x + linear(rms(a, self.attn_sub_norm, c.eps), (self.o,), low)[0]
        gate, up = linear(rms(x, self.ffn_norm, c.eps), (self.gate, self.up), low)
        f = F.relu(gate).square() * up
        return x + linear(rms(f, self.ffn_sub_norm, c.eps), (self.down,), low)[0]


class Network(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.emb = nn.Parameter(torch.randn(c.vocab, c.width) * 0.02)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.blocks))
        self.norm = nn.Parameter(torch.ones(c.width))
        cos, sin = rotations(c, c.context)
        self.register_buffer("cos", cos[:, None, :], persistent=False)
        self.register_buffer("sin", sin[:, None, :], persistent=False)

    def loss(self, ids, weights, documents, low):
        """Weighted mean cross-entropy of rows [B, T+1]; tokens see only their own document."""
        x, target, w, d = ids[:, :-1].long(), ids[:, 1:].long(), weights[:, 1:].float(), documents[:, :-1]
        t = x.shape[1]
        mask = (d[:, :, None] == d[:, None, :]) & torch.ones(t, t, dtype=torch.bool, device=d.device).tril()
        h = F.embedding(x, self.emb)
        for block in self.blocks:
            h = block(h, self.cos[:t], self.sin[:t], mask[:, None], low)
        logits = F.linear(rms(h, self.norm, self.c.eps).to(low), self.emb.to(low)).float()
        ce = F.cross_entropy(logits.view(-1, self.c.vocab), target.reshape(-1), reduction="none").view_as(w)
        return (ce * w).sum() / w.sum()
