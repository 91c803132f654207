"""The exact forward pass: integer activations times ternary codes, then scales; KV cache, greedy answers in batches.

This is what an engine computes, written for clarity, and the reference that tritflow is compared with. exact=False leaves
activations unrounded, to measure what rounding costs.
"""

import math

import torch
import torch.nn.functional as F

from . import export
from .model import MATRICES, Config, rms, rope, rotations, scale_of
from .tokenizer import EOS, EOT


class Quantized:
    def __init__(self, config, codes, scales, rest, device=None, exact=True):
        """codes and rest: tensors by name; the embedding has been rounded to f16."""
        torch.set_float32_matmul_precision("highest")
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.c, self.device, self.exact = config, device, exact
        self.codes = {k: v.float().to(device) for k, v in codes.items()}
        self.rest = {k: v.float().to(device) for k, v in rest.items()}
        self.scales = scales
        self.cos, self.sin = (x.to(device) for x in rotations(config, 2 * config.context))

    @staticmethod
    def from_checkpoint(path, **options):
        """What a trained network becomes: codes and scales of the matrices, the embedding in f16, norms in f32."""
        saved = torch.load(path, map_location="cpu", weights_only=True)
        codes, scales, rest = {}, {}, {}
        for name, p in saved["model"].items():
            if name.split(".")[-1] in MATRICES:
                s = scale_of(p)
                codes[name], scales[name] = (p / s).round().clamp(-1, 1), s.item()
            else:
                rest[name] = p.half() if name == "emb" else p
        return Quantized(Config(**saved["config"]), codes, scales, rest, **options)

    @staticmethod
    def from_gguf(path, **options):
        config, codes, scales, rest = export.read(path)
        tensors = lambda d: {k: torch.from_numpy(v) for k, v in d.items()}
        return Quantized(config, tensors(codes), scales, tensors(rest), **options)

    def linear(self, x, name):
        if not self.exact:
            return F.linear(x, self.codes[name]) * self.scales[name]
        return F.linear(self.round(x), self.codes[name]) * ((1.0 / self.finest(x)) * self.scales[name])

    def finest(self, x):
        """Steps of int8 in one, by row."""
        return 127.0 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)

    def round(self, x):
        return (x * self.finest(x)).round().clamp(-128, 127)

    def cache(self, batch, positions):
        shape = (2, self.c.blocks, batch, self.c.kv_heads, positions, self.c.head)
        return torch.zeros(shape, device=self.device)

    def forward(self, ids, cache, start, real, everywhere=False):
        """Logits [B, vocab] after ids [B, n] (everywhere: [B, n, vocab] after each) at positions start...; real [B, positions] says
        which are not padding."""
        c, (b, n) = self.c, ids.shape
        end = start + n
        at = torch.arange(start, end, device=self.device)
        seen = torch.arange(end, device=self.device)
        mask = ((seen <= at[:, None]) & real[:, None, None, :end]) | (seen == at[:, None])
        x = self.rest["emb"][ids]
        for i in range(c.blocks):
            p = f"blocks.{i}."
            norm = lambda y, name: rms(y, self.rest[p + name], c.eps)
            heads = lambda y, k: y.view(b, n, k, c.head).transpose(1, 2)
            h = norm(x, "attn_norm")
            q = rope(heads(self.linear(h, p + "q"), c.heads), self.cos[at], self.sin[at])
            cache[0, i, :, :, start:end] = rope(heads(self.linear(h, p + "k"), c.kv_heads), self.cos[at], self.sin[at])
            cache[1, i, :, :, start:end] = heads(self.linear(h, p + "v"), c.kv_heads)
            k, v = (cache[j, i, :, :, :end].repeat_interleave(c.heads // c.kv_heads, 1) for j in (0, 1))
            a = ((q @ k.mT) / math.sqrt(c.head)).masked_fill(~mask, -1e30).softmax(-1) @ v
            x = x + self.linear(norm(a.transpose(1, 2).reshape(b, n, -1), "attn_sub_norm"), p + "o")
            h = norm(x, "ffn_norm")
            f = F.relu(self.linear(h, p + "gate")).square() * self.linear(h, p + "up")
            x = x + self.linear(norm(f, "ffn_sub_norm"), p + "down")
        return F.linear(rms(x if everywhere else x[:, -1], self.rest["norm"], c.eps), self.rest["emb"])

    @torch.no_grad()
    def logits(self, ids):
        """After the last token of one prompt."""
        real = torch.ones(1, len(ids), dtype=torch.bool, device=self.device)
        return self.forward(torch.tensor([ids], device=self.device), self.cache(1, len(ids)), 0, real)[0].cpu()

    @torch.no_grad()
    def greedy(self, prompts, most, batch=256):
        """The likeliest continuation of every prompt, with the end token that stopped it."""
        out = [None] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for lo in range(0, len(order), batch):
            part = order[lo:lo + batch]
            for i, answer in zip(part, self._greedy([prompts[i] for i in part], most)):
                out[i] = answer
        return out

    def _greedy(self, prompts, most):
        width, b = max(map(len, prompts)), len(prompts)
        ids = torch.zeros(b, width, dtype=torch.long)
        real = torch.ones(b, width + most, dtype=torch.bool)
        for i, p in enumerate(prompts):
            ids[i, width - len(p):] = torch.tensor(p)
            real[i, :width - len(p)] = False
        real, cache = real.to(self.device), self.cache(b, width + most)
        logits = self.forward(ids.to(self.device), cache, 0, real)
        answers, done = [], torch.zeros(b, dtype=torch.bool, device=self.device)
        for t in range(most):
            best = logits.argmax(-1)
            answers.append(torch.where(done, -1, best))
            done |= (best == EOS) | (best == EOT)
            if t == most - 1 or done.all():
                break
            logits = self.forward(best[:, None], cache, width + t, real)
        rows = torch.stack(answers, 1).tolist()
        return [[x for x in row if x >= 0] for row in rows]
