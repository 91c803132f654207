"""Optimizer: Muon (momentum, made orthogonal) for the ternary matrices, Adam for embedding and norms; and the schedule.

Muon's update is scaled to the size of Adam's, so that one learning rate serves both.
"""

import torch


def orthogonal(g):
    """The nearest half-orthogonal matrices of a stack [n, rows, columns], by five Newton-Schulz steps."""
    wide = g if g.shape[-2] <= g.shape[-1] else g.mT
    x = wide.to(torch.bfloat16)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.float()
    return x if wide is g else x.mT


class Optimizer:
    def __init__(self, network, kind="muon", betas=(0.9, 0.95), momentum=0.95):
        named = list(network.named_parameters())
        matrices = [p for n, p in named if n.startswith("blocks") and p.dim() == 2]
        others = [p for n, p in named if not (n.startswith("blocks") and p.dim() == 2)]
        self.params, self.momentum = [p for _, p in named], momentum
        groups = [dict(params=others, decays=False)]
        self.muon, self.buffers = {}, {}
        if kind == "muon":
            for p in matrices:
                self.muon.setdefault(tuple(p.shape), []).append(p)
            self.buffers = {shape: torch.zeros((len(ps), *shape), device=ps[0].device) for shape, ps in self.muon.items()}
        else:
            groups.append(dict(params=matrices, decays=True))
        self.adam = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=1e-8, weight_decay=0.0, fused=True)

    @torch.no_grad()
    def step(self, lr, decay, clip=1.0):
        """One step; decay applies to the matrices. Gradients are gone afterwards."""
        torch.nn.utils.clip_grad_norm_(self.params, clip, foreach=True)
        for group in self.adam.param_groups:
            group["lr"], group["weight_decay"] = lr, decay if group["decays"] else 0.0
        for shape, ps in self.muon.items():
            g, m = torch.stack([p.grad for p in ps]), self.buffers[shape]
            m.mul_(self.momentum).add_(g)
            update = orthogonal(g.add(m, alpha=self.momentum))
            torch._foreach_mul_(ps, 1 - lr * decay)
            torch._foreach_add_(ps, list(update.unbind()), alpha=-lr * 0.2 * max(shape) ** 0.5)
            for p in ps:
                p.grad = None
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def state(self):
        return dict(adam=self.adam.state_dict(), muon=list(self.buffers.values()))

    def restore(self, state):
        self.adam.load_state_dict(state["adam"])
        for mine, saved in zip(self.buffers.values(), state["muon"]):
            mine.copy_(saved)


def schedule(step, steps, peak, warmup=100):
    """(learning rate, weight decay): falls slowly with decay until half time, then from half the peak to zero without."""
    p = step / steps
    lr = peak * (1 - 0.8 * p) if p < 0.5 else peak * (1 - p)
    return lr * min(1.0, (step + 1) / warmup), 0.1 if p < 0.5 else 0.0
