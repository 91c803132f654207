#!/usr/bin/env python3
"""Logits of every position, or greedy tokens, as llama.cpp computes them.

    python3 llama_logits.py MODEL.gguf --tokens 1,5,9 -o OUT.f32
    python3 llama_logits.py MODEL.gguf --tokens 1,5,9 --greedy 32

Needs the PyPI package llama-cpp-python. All tokens go through the network in one call; keys and values are float32
and attention is not the fused one, so that nothing but the types of the weights rounds. OUT is float32, little-endian,
[tokens, vocabulary]; --greedy prints JSON: the tokens and, for each, how far the second best logit was.
"""

import argparse
import ctypes
import json
import sys

import llama_cpp
import numpy as np


def open_context(path, tokens, embeddings=False):
    llama_cpp.llama_backend_init()
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    open_context.quiet = quiet  # the library keeps a pointer to it
    mp = llama_cpp.llama_model_default_params()
    mp.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(path.encode(), mp)
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    cp = llama_cpp.llama_context_default_params()
    cp.n_ctx = cp.n_batch = cp.n_ubatch = max(tokens, 32)
    cp.type_k = cp.type_v = llama_cpp.GGML_TYPE_F32
    cp.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    cp.n_threads = cp.n_threads_batch = 1
    cp.embeddings = embeddings
    ctx = llama_cpp.llama_init_from_model(model, cp)
    if not ctx:
        sys.exit(f"llama.cpp cannot make a context for {path}")
    return model, ctx


def decode(ctx, ids, start, every):
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i] = token
        batch.pos[i] = start + i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = int(every or i == len(ids) - 1)
    if llama_cpp.llama_decode(ctx, batch) != 0:
        sys.exit("llama.cpp failed to decode")
    llama_cpp.llama_batch_free(batch)


def row(ctx, i, vocab):
    return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(ctx, i), shape=(vocab,)).astype(np.float32).copy()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--tokens", required=True)
    p.add_argument("-o")
    p.add_argument("--greedy", type=int, default=0)
    a = p.parse_args()
    ids = [int(x) for x in a.tokens.split(",")]
    model, ctx = open_context(a.model, len(ids) + a.greedy)
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    if a.o:
        decode(ctx, ids, 0, True)
        np.stack([row(ctx, i, vocab) for i in range(len(ids))]).astype("<f4").tofile(a.o)
        return
    answer = {"tokens": [], "gaps": []}
    decode(ctx, ids, 0, False)
    for n in range(a.greedy):
        logits = row(ctx, -1, vocab)
        second, best = np.sort(logits)[-2:]
        answer["tokens"].append(int(np.argmax(logits)))
        answer["gaps"].append(float(best - second))
        if n + 1 < a.greedy:
            decode(ctx, answer["tokens"][-1:], len(ids) + n, False)
    json.dump(answer, sys.stdout)


main()
