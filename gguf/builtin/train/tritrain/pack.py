"""Documents packed into rows of equal length, made by several processes and kept in shards."""

import multiprocessing
import os
import pathlib
import random

import numpy as np
from tokenizers import Tokenizer

from . import corpus
from .tokenizer import EOS, Writer

SHARDS = 16  # the same on every machine, so that the corpus is
_BATCH = 2000
_OPEN = 24


class _Rows:
    """Best fit into open rows; a row is ids, weights and the number of the document that a token belongs to (0: none)."""

    def __init__(self, length):
        self.length, self.open, self.rows = length, [], []
        self.tokens = 0

    def add(self, ids, weights):
        fits = [b for b in self.open if b[0] + len(ids) <= self.length]
        best = max(fits, key=lambda b: b[0], default=None)
        if best is None:
            best = [0, []]
            self.open.append(best)
        best[0] += len(ids)
        best[1].append((ids, weights))
        if best[0] > self.length - 8:
            self._close(best)
        elif len(self.open) > _OPEN:
            self._close(max(self.open, key=lambda b: b[0]))

    def _close(self, row):
        self.open.remove(row)
        out = np.zeros((3, self.length), np.int16)
        out[0] = EOS
        at = 0
        for n, (ids, weights) in enumerate(row[1]):
            end = at + len(ids)
            out[0, at:end], out[1, at:end], out[2, at:end] = ids, weights, n + 1
            at = end
        self.tokens += at
        self.rows.append(out)


def _shard(job):
    folder, seed, length, tokens, text = job
    r = random.Random(seed)
    writer = Writer(Tokenizer.from_file(str(folder / "tokenizer.json")))
    rows, long = _Rows(length), 0
    own = corpus.from_folder(text) if text else None
    while rows.tokens < tokens:
        documents = r.choices(own, k=_BATCH) if own else [corpus.document(r) for _ in range(_BATCH)]
        for ids, weights in writer.write(r, documents):
            if own:
                for at in range(0, len(ids), length):
                    rows.add(ids[at:at + length], weights[at:at + length])
            elif len(ids) <= length:
                rows.add(ids, weights)
            else:
                long += 1
    packed = np.stack(rows.rows)
    packed = packed[np.random.default_rng(seed).permutation(len(packed))]
    np.savez(folder / f"shard{seed:02d}.npz", ids=packed[:, 0], weights=packed[:, 1].astype(np.uint8), documents=packed[:, 2].astype(np.uint8))
    return rows.tokens, long


def build(folder, tokens, context, text=None):
    """Writes the shards of a corpus: at least so many tokens in rows of context + 1. Returns how many there are."""
    folder = pathlib.Path(folder)
    jobs = [(folder, seed, context + 1, tokens / SHARDS, text) for seed in range(SHARDS)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        made = pool.map(_shard, jobs, chunksize=1)
    return sum(n for n, _ in made), sum(long for _, long in made)


def load(folder):
    """(ids [rows, context+1] int16, weights uint8, documents uint8)."""
    shards = [np.load(pathlib.Path(folder) / f"shard{s:02d}.npz") for s in range(SHARDS)]
    return tuple(np.concatenate([s[k] for s in shards]) for k in ("ids", "weights", "documents"))
