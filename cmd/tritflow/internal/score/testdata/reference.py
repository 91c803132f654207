"""Writes reference.json: perplexity of stories.txt by the trainer's exact forward pass.

stories.txt: 150 stories of tritrain.stories.request(random.Random(2027), test=True), marks removed, one a line.
From the top of the repository, with the packages of gguf/builtin/train/requirements.txt:

    cd cmd/tritflow/internal/score/testdata
    tritflow tokenize -q < stories.txt | PYTHONPATH=../../../../../gguf/builtin/train python reference.py > reference.json
"""

import json
import math
import sys
import zlib

import torch

from tritrain.quantized import Quantized
from tritrain.tokenizer import BOS

WINDOW = 256


@torch.no_grad()
def logprobs(model, rows, skip):
    """ln p of every row's ids[skip:], each after all that stand before it in its row."""
    ids = torch.tensor(rows)
    batch, n = ids.shape
    real = torch.ones(batch, n, dtype=torch.bool)
    cache, out = model.cache(batch, n), []
    for t in range(n - 1):
        logits = model.forward(ids[:, t:t + 1], cache, t, real).double()
        if t + 1 >= skip:
            out += logits.log_softmax(-1)[range(batch), ids[:, t + 1]].tolist()
    return out


def main():
    ids = [int(x) for x in sys.stdin.read().split()]
    model = Quantized.from_gguf("../../../../../gguf/builtin/mini.gguf", device="cpu")
    size = WINDOW - 1  # every window begins with BOS
    full = len(ids) // size
    lp = logprobs(model, [[BOS] + ids[i * size:(i + 1) * size] for i in range(full)], 1)
    if full * size < len(ids):  # the last window reaches back
        tail = ids[-size:]
        lp += logprobs(model, [[BOS] + tail], size - (len(ids) - full * size) + 1)
    nll = -sum(lp) / len(lp)
    crc = zlib.crc32(" ".join(map(str, ids)).encode())
    json.dump(dict(engine="tritrain/quantized.py: float32, int8 activations, float32 keys and values", window=WINDOW, tokens=len(lp),
                   ids_crc32=crc, nll=nll, perplexity=math.exp(nll)), sys.stdout, indent=1)
    print()


main()
