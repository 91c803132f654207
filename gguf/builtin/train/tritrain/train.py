"""The training loop: rows from the packed corpus, checkpoints from which it goes on, and a log of the losses."""

import json
import pathlib
import time

import torch

from . import pack
from .model import Config, Network
from .optim import Optimizer, schedule

VALIDATION = 128  # rows that are never trained on


class _Data:
    """The corpus on the device; the order of rows is a permutation for each epoch."""

    def __init__(self, folder, device, seed):
        self.seed, self.device = seed, device
        parts = [torch.from_numpy(p).to(device) for p in pack.load(folder)]
        self.validation, self.train = [p[:VALIDATION] for p in parts], [p[VALIDATION:] for p in parts]
        self.rows, self.epoch = len(self.train[0]), -1

    def batch(self, step, size):
        epoch, at = divmod(step * size, self.rows // size * size)
        if epoch != self.epoch:
            order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(self.seed + epoch))
            self.epoch, self.order = epoch, order.to(self.device)
        rows = self.order[at:at + size]
        return [p[rows] for p in self.train]


def train(folder, out, config=Config(), tokens=27e6, batch=16, peak=6e-3, optimizer="muon", seed=1, save_every=500,
          compiled=True, log=print):
    """Trains on the corpus in folder; checkpoint and history go to out. Goes on from the checkpoint if there is one."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    torch.set_float32_matmul_precision("high")
    data = _Data(folder, device, seed)
    context = data.train[0].shape[1] - 1
    steps = int(tokens / (batch * context))
    network = Network(config).to(device)
    opt = Optimizer(network, optimizer)
    loss_of = torch.compile(network.loss, dynamic=False) if compiled else network.loss
    low = torch.bfloat16 if compiled or device == "cuda" else torch.float32

    history, start, spent = [], 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        if saved["run"] != (run := [steps, batch, peak, optimizer, seed]):
            raise SystemExit(f"{checkpoint} is of another run {saved['run']}, this one is {run}: remove it or choose another folder")
        network.load_state_dict(saved["model"])
        opt.restore(saved["optimizer"])
        start, history, spent = saved["step"], saved["history"], saved["seconds"]
        log(f"going on from step {start}")

    def save(step):
        state = dict(model=network.state_dict(), optimizer=opt.state(), config=config.dict(), step=step, history=history,
                     seconds=spent + time.time() - began, run=[steps, batch, peak, optimizer, seed])
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    def validate():
        with torch.no_grad():
            losses = [network.loss(*[p[i:i + 16] for p in data.validation], low) for i in range(0, VALIDATION, 16)]
        return torch.stack(losses).mean().item()

    count = sum(p.numel() for p in network.parameters())
    log(f"{count:,} parameters, {data.rows:,} rows of {context}, {steps} steps of {batch} rows on {device}")
    total, since = torch.zeros((), device=device), start
    began = mark = time.time()
    for step in range(start, steps):
        lr, decay = schedule(step, steps, peak)
        loss = loss_of(*data.batch(step, batch), low)
        loss.backward()
        opt.step(lr, decay)
        total += loss.detach()
        done = step + 1
        if done % 50 == 0 or done == steps:
            entry = dict(step=done, tokens=done * batch * context, loss=round((total / (done - since)).item(), 4), lr=round(lr, 6))
            now = time.time()
            if done % save_every == 0 or done == steps:
                entry["validation"] = round(validate(), 4)
            history.append(entry)
            if done % 250 == 0 or done == steps or device == "cpu":
                rate = (done - since) * batch * context / (now - mark)
                log(f"{entry} {rate:,.0f} tokens/s, {(steps - done) * batch * context / rate / 60:.1f} min to go")
            total.zero_()
            since, mark = done, time.time()
            if "validation" in entry:
                save(done)
    if start == steps:
        log("nothing left to do")
    json.dump(dict(history=history, seconds=round(spent + time.time() - began, 1), device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
                   parameters=count, config=config.dict(), tokens=steps * batch * context, batch=batch, context=context, peak=peak,
                   optimizer=optimizer, seed=seed), open(out / "history.json", "w"), indent=1)
    return checkpoint
